"""Nothing is done to the cluster: what all other scenarios are compared with.

**The job takes about as long as its work divided by the slots**, and no task runs twice.
"""

from collections.abc import Iterator

from simulations.command.cli import main
from simulations.kernel.world import SECOND
from simulations.stage.jobs import film, makespan_ns
from simulations.stage.scenario import Scenario, Stage

JOB = film(36)
OVERHEAD_NS = 3 * SECOND
"""Starting processes, reading the NAS, publishing."""


def check(stage: Stage) -> Iterator[str]:
    """Compare with list scheduling on the slots that there are."""
    model = stage.lab.model
    bound = makespan_ns(JOB, model.slots * len(model.nodes)) * 7 // 5 + OVERHEAD_NS
    took = stage.job_took_ns
    if took > bound:
        yield f"L3 the job took {took / SECOND:.1f} s, more than {bound / SECOND:.1f} s"
    if stage.finished.again:
        yield f"T1 {stage.finished.again} tasks were started again though nothing happened"


SCENARIO = Scenario(
    "calm",
    "Nothing happens; what all other scenarios are compared with.",
    JOB,
    marks=("job done",),
    check=check,
    knobs=False,
)

if __name__ == "__main__":
    main(SCENARIO)
