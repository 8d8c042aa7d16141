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

SOURCE = "film.mkv"


def _class(name: str) -> PlanClass:
    return PlanClass(
        name=name,
        module="film",
        qualname=name,
        tools=(),
        labels=(),
        cores=1,
        retries=2,
        timeout_s=0.0,
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


def film(chunks: int, size: float = 1.0) -> Plan:
    """Split a film, compress its `chunks`, and join them: the shape of the main example."""
    split = _task(0, 0, (FileRef(-1, SOURCE),), "parts", size / 2)
    compressed = tuple(
        _task(1, number, (FileRef(0, "parts"),), f"part-{number:03d}", size)
        for number in range(chunks)
    )
    parts = tuple(FileRef(1 + number, f"part-{number:03d}") for number in range(chunks))
    join = _task(2, 0, parts, "film-small.mkv", size / 2)
    classes = (_class("Split"), _class("Compress"), _class("Join"))
    tasks = (split, *compressed, join)
    return Plan(PLAN_VERSION, "Film", classes, tasks, (len(tasks) - 1,))
