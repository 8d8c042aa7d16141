"""Machines are plugged in, told nothing: they find the cluster by its beacon, cut off or not.

**Whoever is plugged in becomes a member by itself**, also one that comes up while the network is
cut: alone it calls until somebody hears it, with others it becomes one of theirs, and all are one
cluster after the heal.
"""

from collections.abc import Iterator

from simulations.command.cli import main
from simulations.faults import Cut, Fault, Join
from simulations.kernel.prng import Stream
from simulations.kernel.world import MS, SECOND
from simulations.net.network import Wire
from simulations.stage.jobs import film
from simulations.stage.model import Model
from simulations.stage.scenario import Bounds, Scenario


def faults(draw: Stream, model: Model) -> Iterator[Fault]:
    """One machine comes at any time, one while it is cut off, one on the side of few."""
    at = draw.between(4 * SECOND, 8 * SECOND)
    yield Join(draw.between(0, at), 0, "m0")
    yield Join(at, 0, "m1")
    yield Cut(at + MS, draw.between(SECOND, 20 * SECOND), ("m1",))
    later = at + draw.between(SECOND, 10 * SECOND)
    yield Join(later, 0, "m2")
    yield Cut(later + MS, draw.between(SECOND, 20 * SECOND), ("m2", "follower"))


SCENARIO = Scenario(
    "plugged_in",
    "Machines that are told nothing find the cluster by its beacon, while the network is cut.",
    film(120),
    faults,
    model=lambda draw: Model(are_told=False, wire=Wire(loss_permille=draw.choice((0, 20, 100)))),
    marks=("a node joined", "somebody was found"),
    bounds=Bounds(election_ns=5 * SECOND),
)

if __name__ == "__main__":
    main(SCENARIO)
