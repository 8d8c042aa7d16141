"""Sample jobs: plans of the usual shapes, without a user's code behind them."""

from nanoboost.plan import (
    PLAN_VERSION,
    FileRef,
    Plan,
    PlanClass,
    PlanInput,
    PlanOutput,
    PlanTask,
)
from simulations.kernel.world import SECOND

SOURCE = "film.mkv"


def _class(name: str, timeout_s: float) -> PlanClass:
    return PlanClass(
        name=name,
        module="film",
        qualname=name,
        tools=(),
        labels=(),
        cores=1,
        retries=2,
        timeout_s=timeout_s,
    )


def _task(cls: int, ordinal: int, reads: tuple[FileRef, ...], path: str, size: float) -> PlanTask:
    return PlanTask(
        cls=cls,
        ordinal=ordinal,
        params={},
        inputs=(PlanInput("read", reads, many=len(reads) > 1),),
        outputs=(PlanOutput("made", (path,), many=False),),
        after=(),
        size=size,
    )


def film(chunks: int, size: float = 1.0, name: str = "film", *, timeout_s: float = 0.0) -> Plan:
    """Split a film, compress its `chunks`, and join them: the shape of the main example."""
    split = _task(0, 0, (FileRef(-1, SOURCE),), "parts", size / 2)
    compressed = tuple(
        _task(1, number, (FileRef(0, "parts"),), f"part-{number:03d}", size)
        for number in range(chunks)
    )
    parts = tuple(FileRef(1 + number, f"part-{number:03d}") for number in range(chunks))
    join = _task(2, 0, parts, f"{name}-small.mkv", size / 2)
    classes = tuple(_class(name, timeout_s) for name in ("Split", "Compress", "Join"))
    tasks = (split, *compressed, join)
    return Plan(PLAN_VERSION, "Film", classes, tasks, (len(tasks) - 1,))


def makespan_ns(plan: Plan, slots: int) -> int:
    """How long the plan takes on so many slots of the reference machine, at the most: Graham's
    bound for list scheduling, the longest path and a fair share of all work."""
    longest: list[float] = []
    for task in plan.tasks:
        parents = [ref.task for each in task.inputs for ref in each.files if ref.task >= 0]
        before = max((longest[each] for each in (*parents, *task.after)), default=0.0)
        longest.append(before + task.size)
    work = sum(task.size for task in plan.tasks)
    return int((max(longest, default=0.0) + work / max(1, slots)) * SECOND)
