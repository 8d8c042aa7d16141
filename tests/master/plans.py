"""Plans for tests."""

from collections.abc import Sequence
from random import Random

from nanoboost.ids import NodeId
from nanoboost.plan import PLAN_VERSION, FileRef, Plan, PlanClass, PlanInput, PlanOutput, PlanTask

DIGEST = "a" * 64
CODE = "c" * 64


def node(number: int) -> NodeId:
    return NodeId(f"{number:016x}")


def nano(name: str = "Nano", **changes: object) -> PlanClass:
    facts: dict[str, object] = {
        "name": name,
        "module": "m",
        "qualname": name,
        "tools": (),
        "labels": (),
        "cores": 1,
        "retries": 0,
        "timeout_s": 0.0,
    }
    return PlanClass(**{**facts, **changes})  # type: ignore[arg-type]


def plan(
    parents: Sequence[Sequence[int]],
    classes: Sequence[PlanClass] = (nano(),),
    cls: Sequence[int] | None = None,
    sizes: Sequence[float] | None = None,
) -> Plan:
    """A plan whose task i reads the outputs of `parents[i]`; its last task's are the results."""
    tasks = tuple(
        PlanTask(
            cls=cls[number] if cls else 0,
            ordinal=number,
            params={},
            inputs=(
                PlanInput("i", tuple(FileRef(each, f"{each}.out") for each in found), many=True),
            ),
            outputs=(PlanOutput("o", (f"{number}.out",), many=False),),
            after=(),
            size=sizes[number] if sizes else 0.0,
        )
        for number, found in enumerate(parents)
    )
    return Plan(PLAN_VERSION, "Graph", tuple(classes), tasks, (len(tasks) - 1,))


def random_plan(rng: Random, tasks: int) -> Plan:
    """Any DAG."""
    classes = [nano(f"C{number}", retries=3) for number in range(3)]
    parents = [
        sorted(rng.sample(range(number), min(number, rng.choice((0, 1, 1, 2, 3)))))
        for number in range(tasks)
    ]
    return plan(parents, classes, [rng.randrange(3) for _ in range(tasks)])
