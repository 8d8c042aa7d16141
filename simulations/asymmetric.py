"""Packets get through one way only: once the master is deaf, another time it is dumb.

**A deaf master steps down by itself**, for it hears no majority; a dumb one is replaced, for nobody
hears it.  Neither needs the cut to be healed first.
"""

from collections.abc import Iterator

from simulations.command.cli import main
from simulations.faults import Cut, Deaf, Fault
from simulations.kernel.prng import Stream
from simulations.kernel.world import MS, SECOND
from simulations.stage.jobs import film
from simulations.stage.model import Model
from simulations.stage.scenario import Bounds, Scenario


def faults(draw: Stream, model: Model) -> Iterator[Fault]:
    """The master hears nothing; some time later nobody hears the master; or the other way round."""
    first = draw.between(4 * SECOND, 6 * SECOND)
    lasts = draw.between(2 * SECOND, 6 * SECOND)
    second = first + lasts + draw.between(SECOND, 3 * SECOND)
    deaf, dumb = (first, second) if draw.chance(500) else (second, first)
    yield Deaf(deaf, lasts, "master")
    yield Cut(dumb, draw.between(2 * SECOND, 6 * SECOND), ("master",), one_way=True)


SCENARIO = Scenario(
    "asymmetric",
    "The master can send but not receive, and another time receive but not send.",
    film(36),
    faults,
    marks=("three masters", "progress during a fault"),
    # A deaf master is heard until it steps down, after 1.25 s at most; then the election begins.
    bounds=Bounds(election_ns=4500 * MS),
)

if __name__ == "__main__":
    main(SCENARIO)
