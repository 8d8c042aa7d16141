"""Thousands of tiny tasks on two dozen machines, and masters that die over them.

**All queues stay within bounds**, and the frontier is never far behind.
"""

from collections.abc import Iterator

from simulations.command.cli import main
from simulations.faults import Fault, Kill
from simulations.kernel.prng import Stream
from simulations.kernel.world import SECOND
from simulations.stage.jobs import film
from simulations.stage.model import Model
from simulations.stage.scenario import Bounds, Scenario


def faults(draw: Stream, model: Model) -> Iterator[Fault]:
    """Kill the master twice."""
    for _ in range(2):
        yield Kill(draw.between(5 * SECOND, 12 * SECOND), 2 * SECOND, "master")


SCENARIO = Scenario(
    "backlog",
    "A graph of 2,000 tasks of 0.2 s on 12 machines with 4 slots each; the master dies twice.",
    film(2000, 0.2),
    faults,
    model=lambda draw: Model(nodes=tuple(f"n{number:02d}" for number in range(12)), slots=4),
    marks=("job done", "a new master", "a task started again"),
    bounds=Bounds(recover_ns=60 * SECOND),
)

if __name__ == "__main__":
    main(SCENARIO)
