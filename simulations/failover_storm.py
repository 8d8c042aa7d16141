"""Each new master is killed within a second or two, ten times.

**Votes and terms survive all of it**, and as soon as the storm is over there is a master again.
"""

from collections.abc import Iterator

from simulations.command.cli import main
from simulations.faults import Fault, Kill
from simulations.kernel.prng import Stream
from simulations.kernel.world import MS, SECOND
from simulations.stage.jobs import film
from simulations.stage.model import Model
from simulations.stage.scenario import Scenario


def faults(draw: Stream, model: Model) -> Iterator[Fault]:
    """Kill whoever is master."""
    at = 3 * SECOND
    for _ in range(10):
        at += draw.between(300 * MS, 1500 * MS)
        yield Kill(at, draw.between(100 * MS, 1000 * MS), "master")


SCENARIO = Scenario(
    "failover_storm",
    "Each new master is killed within 1.5 s, ten times.",
    film(36),
    faults,
    model=lambda draw: Model(nodes=tuple(f"n{number}" for number in range(draw.choice((3, 5))))),
    marks=("three masters", "a task started again"),
)

if __name__ == "__main__":
    main(SCENARIO)
