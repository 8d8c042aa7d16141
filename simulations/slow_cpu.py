"""A processor is slow, or others keep it busy: each thing that a node does takes up to 0.3 s.

**Who is slow holds nobody up**: the others go on, with it or without, and while it takes no more
than some hundredths of a second for a thing, it is as good a member and master as any.
"""

from collections.abc import Iterator

from simulations.command.cli import main
from simulations.faults import Fault, SlowCpu
from simulations.kernel.prng import Stream
from simulations.kernel.world import SECOND
from simulations.stage.jobs import film
from simulations.stage.model import Model
from simulations.stage.scenario import Scenario


def faults(draw: Stream, model: Model) -> Iterator[Fault]:
    """First one machine, then all of them, or the master's again."""
    at = draw.between(3 * SECOND, 5 * SECOND)
    lasts = draw.between(5 * SECOND, 10 * SECOND)
    yield SlowCpu(at, lasts, draw.choice(("master", "voter")), _event_us(draw))
    at += lasts + SECOND
    lasts = draw.between(5 * SECOND, 10 * SECOND)
    if draw.chance(500):
        for name in model.nodes:
            yield SlowCpu(at, lasts, name, draw.choice((1, 3, 10)) * 1000)
    else:
        yield SlowCpu(at, lasts, "master", _event_us(draw))


def _event_us(draw: Stream) -> int:
    return draw.choice((1, 3, 10, 30, 100, 300)) * 1000


SCENARIO = Scenario(
    "slow_cpu",
    "A processor takes 1 to 300 ms for each thing that its node does; then all, or the master's.",
    film(60),
    faults,
    marks=("a new master", "progress during a fault"),
)

if __name__ == "__main__":
    main(SCENARIO)
