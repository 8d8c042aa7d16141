"""The master's process is killed in the middle of a job, again and again; each comes back.

**No kill costs more than what nothing had acknowledged**: each new master goes on from the
committed frontier, and the results are as if nothing had happened.
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
    """Kill the master three times."""
    at = 3 * SECOND
    for _ in range(3):
        at += draw.between(500 * MS, 4 * SECOND)
        yield Kill(at, draw.between(500 * MS, 4 * SECOND), "master")


SCENARIO = Scenario(
    "failover",
    "The master's process is killed three times in the middle of a job, and comes back each time.",
    film(36),
    faults,
    marks=("three masters", "a node lost in the middle", "a task started again"),
)

if __name__ == "__main__":
    main(SCENARIO)
