"""A machine comes back with an empty disk under its old name, and one has a copy of another's disk.

**A new disk is a new node**, whose votes are not its predecessor's; **and two machines are never
one node**, whatever their disks say: the newer one takes a name of its own.
"""

from collections.abc import Iterator

from simulations.command.cli import main
from simulations.faults import Clone, Fault, Kill, Wipe
from simulations.kernel.prng import Stream
from simulations.kernel.world import SECOND
from simulations.stage.jobs import film
from simulations.stage.model import Model
from simulations.stage.scenario import Scenario


def faults(draw: Stream, model: Model) -> Iterator[Fault]:
    """Wipe one machine, clone another, kill the master a while later."""
    at = draw.between(6 * SECOND, 9 * SECOND)  # three voters by then
    yield Wipe(at, draw.between(SECOND // 3, 6 * SECOND), draw.choice(("voter", "n0")))
    if draw.chance(600):
        at += draw.between(SECOND, 10 * SECOND)
        yield Clone(at, 0, "n5", "copy")  # no part of Raft: a copied vote is beyond it
    yield Kill(at + draw.between(5 * SECOND, 15 * SECOND), SECOND, "master")


SCENARIO = Scenario(
    "identity_clash",
    "A machine gets a new disk under its old name; another is switched on with a copied disk.",
    film(100),
    faults,
    model=lambda draw: Model(nodes=("n0", "n1", "n2", "n3", "n4", "n5")),
    marks=("a node joined", "a node lost in the middle"),
)

if __name__ == "__main__":
    main(SCENARIO)
