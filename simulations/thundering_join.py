"""Many machines are switched on in the same moment.

**All are in within seconds**, and those who were there before notice nothing of it.
"""

from collections.abc import Iterator

from simulations.command.cli import main
from simulations.faults import Fault, Join
from simulations.kernel.prng import Stream
from simulations.kernel.world import MS, SECOND
from simulations.stage.jobs import film
from simulations.stage.model import Model
from simulations.stage.scenario import Scenario


def faults(draw: Stream, model: Model) -> Iterator[Fault]:
    """Switch on two dozen machines within 100 ms."""
    at = draw.between(3 * SECOND, 5 * SECOND)
    for number in range(24):
        yield Join(at + draw.between(0, 100 * MS), 0, f"m{number:02d}")


SCENARIO = Scenario(
    "thundering_join",
    "Two dozen machines join within 100 ms.",
    film(120),
    faults,
    marks=("a node joined",),
)

if __name__ == "__main__":
    main(SCENARIO)
