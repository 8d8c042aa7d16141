"""A task takes its whole node along, each time that it runs.

**It is not sent round for ever**: after a few nodes the job is given up and the cluster lives on.
"""

from collections.abc import Iterator

from simulations.command.cli import main
from simulations.faults import Fault, Misbehave
from simulations.kernel.prng import Stream
from simulations.kernel.world import SECOND
from simulations.stage.jobs import film
from simulations.stage.model import Model
from simulations.stage.scenario import Bounds, Scenario, Stage

DEATHS_MAX = 25


def faults(draw: Stream, model: Model) -> Iterator[Fault]:
    """One task is poison."""
    yield Misbehave(2 * SECOND, 0, draw.between(1, 36), "poison", 1000)


def check(stage: Stage) -> Iterator[str]:
    """Count the dead."""
    deaths = sum(record.event == "misdeed" for record in stage.lab.records.records)
    if deaths > DEATHS_MAX:
        yield f"T4 the task has killed {deaths} nodes"


SCENARIO = Scenario(
    "poison_task",
    "One task kills its node each time that it runs.",
    film(36),
    faults,
    model=lambda draw: Model(nodes=tuple(f"n{number}" for number in range(7))),
    marks=("user code went wrong", "a job failed"),
    check=check,
    bounds=Bounds(recover_ns=45 * SECOND),
    exits=(1,),
)

if __name__ == "__main__":
    main(SCENARIO)
