"""What agents say of their results is said again, late, to the next master too.

**The first accepted result wins and the same said again changes nothing**, whoever hears it.
"""

from collections.abc import Iterator

from simulations.command.cli import main
from simulations.faults import Fault, Kill, RepeatDone
from simulations.kernel.prng import Stream
from simulations.kernel.world import MS, SECOND
from simulations.stage.jobs import film
from simulations.stage.model import Model
from simulations.stage.scenario import Scenario


def faults(draw: Stream, model: Model) -> Iterator[Fault]:
    """Let all repeat themselves, and kill the master now and then."""
    for name in model.nodes:
        yield RepeatDone(2 * SECOND, 14 * SECOND, name, draw.between(1 * MS, 4 * SECOND))
    for _ in range(2):
        at = draw.between(4 * SECOND, 12 * SECOND)
        yield Kill(at, draw.between(SECOND, 3 * SECOND), "master")


SCENARIO = Scenario(
    "duplicate_done",
    "Every result is told twice, the second time up to 4 s later, across failovers.",
    film(60),
    faults,
    marks=("a result repeated", "a new master"),
)

if __name__ == "__main__":
    main(SCENARIO)
