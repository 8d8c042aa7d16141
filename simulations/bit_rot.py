"""One bit turns over on the disk of a machine that is off: of a vote, a frontier, an identity.

**The node that sees it does not start, and says what to do**; it then joins as new, and what it had
comes from the others.  Nothing damaged is ever voted by, sent on or applied.
"""

from collections.abc import Iterator

from simulations.command.cli import main
from simulations.faults import Fault, Kill, RotDisk
from simulations.kernel.prng import Stream
from simulations.kernel.world import SECOND
from simulations.stage.jobs import film
from simulations.stage.model import Model
from simulations.stage.scenario import Scenario


def model(draw: Stream) -> Model:
    """Five nodes: one is lost for good with its disk, and another is killed."""
    return Model(nodes=tuple(f"n{number}" for number in range(5)))


def faults(draw: Stream, model: Model) -> Iterator[Fault]:
    """Damage one disk; kill the master a while later."""
    at = draw.between(4 * SECOND, 7 * SECOND)
    who = draw.choice(("master", "voter", "voter", "n0", "n4"))
    yield RotDisk(at, draw.between(SECOND, 4 * SECOND), who, draw.below(1 << 30))
    yield Kill(at + draw.between(4 * SECOND, 8 * SECOND), 2 * SECOND, "master")


SCENARIO = Scenario(
    "bit_rot",
    "A bit turns over on the disk of a machine without power; later the master is killed.",
    film(60),
    faults,
    model,
    marks=("a disk damaged", "a new master"),
)

if __name__ == "__main__":
    main(SCENARIO)
