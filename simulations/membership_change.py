"""A voter is lost for good, another leaves, and new machines come, while packets are cut.

**Voters follow the members, one change at a time**: who is dead for long is replaced, and at every
moment a majority of the voters holds what was acknowledged.
"""

from collections.abc import Iterator

from simulations.command.cli import main
from simulations.faults import Cut, Fault, Join, Kill, Leave
from simulations.kernel.prng import Stream
from simulations.kernel.world import MS, SECOND
from simulations.stage.jobs import film
from simulations.stage.model import Model
from simulations.stage.scenario import Bounds, Scenario


def faults(draw: Stream, model: Model) -> Iterator[Fault]:
    """A voter dies for 45 s, which is long enough to be replaced; others change meanwhile."""
    at = draw.between(4 * SECOND, 8 * SECOND)
    yield Kill(at, 45 * SECOND, "voter")
    yield Join(at + draw.between(SECOND, 10 * SECOND), 0, "m0")
    yield Join(at + draw.between(SECOND, 10 * SECOND), 0, "m1")
    yield Leave(at + draw.between(36 * SECOND, 44 * SECOND), 0, "n3")
    for _ in range(3):
        start = at + draw.between(25 * SECOND, 40 * SECOND)
        yield Cut(start, draw.between(200 * MS, 3 * SECOND), (draw.choice(("master", "m0")),))


SCENARIO = Scenario(
    "membership_change",
    "A voter dies for long and is replaced, a node leaves, others join, amid short cuts.",
    film(150),
    faults,
    model=lambda draw: Model(nodes=("n0", "n1", "n2", "n3")),
    marks=("a node joined", "a node left", "other voters"),
    bounds=Bounds(election_ns=5 * SECOND),
)

if __name__ == "__main__":
    main(SCENARIO)
