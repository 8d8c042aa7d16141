"""A job is under way; the master is cut off from the others, and comes back.

**The side without a majority commits nothing**; the other side elects a master, which goes on from
the committed frontier; after the heal there is one master, and the job's results are as if nothing
had happened.
"""

from collections.abc import Iterator

from simulations.command.cli import main
from simulations.faults import Cut, Fault
from simulations.kernel.prng import Stream
from simulations.kernel.world import SECOND
from simulations.stage.jobs import film
from simulations.stage.model import Model
from simulations.stage.scenario import Scenario


def faults(draw: Stream, model: Model) -> Iterator[Fault]:
    """Cut the master off, alone or with the client."""
    few = ("master", "client") if draw.chance(300) else ("master",)
    yield Cut(
        at=draw.between(4 * SECOND, 8 * SECOND),
        lasts=draw.between(4 * SECOND, 10 * SECOND),
        left=few,
    )


SCENARIO = Scenario(
    "partition",
    "The master is cut off in the middle of a job, with no majority on its side, and comes back.",
    film(36),
    faults,
    marks=("a new master", "progress during a fault", "a task started again"),
)

if __name__ == "__main__":
    main(SCENARIO)
