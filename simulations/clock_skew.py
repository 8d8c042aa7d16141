"""Wall clocks jump by hours and back, and the monotonic clocks run unequally fast.

**Nothing that matters looks at the wall clock**, and nobody compares his own clock with another's.
"""

from collections.abc import Iterator

from simulations.command.cli import main
from simulations.faults import Drift, Fault, Kill, StepClock
from simulations.kernel.prng import Stream
from simulations.kernel.world import SECOND
from simulations.stage.jobs import film
from simulations.stage.model import Model
from simulations.stage.scenario import Scenario


def faults(draw: Stream, model: Model) -> Iterator[Fault]:
    """All clocks are wrong, each in its own way; the master is killed meanwhile."""
    for name in model.nodes:
        yield Drift(SECOND, 20 * SECOND, name, draw.between(-10_000, 10_000))
        for _ in range(2):
            at = draw.between(SECOND, 12 * SECOND)
            by = draw.choice((-3_600_000, -60_000, -1_000, 1_000, 86_400_000))
            yield StepClock(at, draw.between(SECOND, 8 * SECOND), name, by)
    yield Kill(draw.between(5 * SECOND, 9 * SECOND), 2 * SECOND, "master")


SCENARIO = Scenario(
    "clock_skew",
    "Wall clocks jump by up to a day; monotonic clocks are 1 % fast or slow.",
    film(60),
    faults,
    marks=("a new master", "progress during a fault"),
)

if __name__ == "__main__":
    main(SCENARIO)
