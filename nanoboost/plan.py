"""The frozen, numbered plan of a job: what travels, what is digested, what master and child read.

**Tasks are numbered topologically**: every parent has a smaller number than its child.  A plan is
made once, from a `NanoGraph`, by whoever submits; its SHA-256 goes into the replicated log, and
whoever reads the plan from the NAS checks it against that.
"""

import hashlib
from collections.abc import Iterator
from typing import Any

from attrs import field, frozen, validators

from nanoboost.errors import RemoteError
from nanoboost.ids import TaskId
from nanoboost.wire.codec import Catalog, Value, message
from nanoboost.wire.packing import Reader, write_block

PLAN_VERSION = 1
TASKS_MAX = 1_000_000
PLAN_ITEMS_MAX = 50_000_000
SIZE_MIN, SIZE_MAX = 1e-9, 1e18
"""Of a task: what lies outside would overflow where sizes are compared."""
PART_TASKS = 100
"""So many are decoded at a time: 4 ms on a server, 25 ms on a Raspberry Pi 4."""


@frozen
class FileRef:
    """A file that a task reads.  With `task` -1 it lies on the NAS at `path`; otherwise it is what
    that task puts under `path` (one of its `PlanOutput.paths`), to be found in the directory of
    the attempt that won."""

    task: int
    path: str


@frozen
class PlanInput:
    """An input field of a Nano and the files behind it.  `many` tells a list from a single one."""

    name: str
    files: tuple[FileRef, ...]
    many: bool


@frozen
class PlanOutput:
    """An output field of a Nano and the files it makes, as paths relative to the NAS root: where
    they are published if they are results, and their names inside the attempt's directory."""

    name: str
    paths: tuple[str, ...]
    many: bool


@frozen
class PlanClass:
    """A Nano class: where its code is in the bundle, and what its tasks need.

    `tools` are programs that must be on the machine, `labels` must all be among a node's labels,
    `cores` is how many slots an attempt takes.  `retries` counts the failures that are forgiven.
    """

    name: str
    module: str
    qualname: str
    tools: tuple[str, ...]
    labels: tuple[str, ...]
    cores: int = field(validator=validators.ge(1))
    retries: int = field(validator=validators.ge(0))
    timeout_s: float = field(validator=validators.ge(0.0))


def _is_size(_task: object, _attribute: object, size: float) -> None:
    if size and not SIZE_MIN <= size <= SIZE_MAX:
        raise ValueError(f"size {size}: 0, or from {SIZE_MIN} to {SIZE_MAX}")


@frozen
class PlanTask:
    """One Nano of the graph.  `cls` and `after` are numbers (of a class, of tasks); `ordinal`
    counts the tasks of its class from 0; `size` is the user's estimate of its work, relative to
    the other tasks of the class (0: no estimate)."""

    cls: int
    ordinal: int
    params: Value
    inputs: tuple[PlanInput, ...]
    outputs: tuple[PlanOutput, ...]
    after: tuple[int, ...]
    size: float = field(validator=_is_size)

    @property
    def parents(self) -> tuple[TaskId, ...]:
        """The tasks that must be done first, in ascending order."""
        read = {ref.task for each in self.inputs for ref in each.files if ref.task >= 0}
        return tuple(TaskId(task) for task in sorted(read.union(self.after)))


def _is_topological(plan: "Plan", _attribute: object, tasks: tuple[PlanTask, ...]) -> None:
    if not 0 < len(tasks) <= TASKS_MAX:
        raise ValueError(f"a plan has 1 to {TASKS_MAX} tasks, not {len(tasks)}")
    for number, task in enumerate(tasks):
        if not 0 <= task.cls < len(plan.classes):
            raise ValueError(f"task {number} is of no known class")
        parents = task.parents
        if parents and not 0 <= parents[0] <= parents[-1] < number:
            raise ValueError(f"task {number} comes before one of its parents")


def _are_tasks(plan: "Plan", _attribute: object, results: tuple[int, ...]) -> None:
    for task in results:
        if not 0 <= task < len(plan.tasks):
            raise ValueError(f"result {task} of {len(plan.tasks)} tasks")


@frozen
class Plan:
    """A whole job.  `results` are the tasks whose outputs are published under the users' names."""

    version: int
    graph: str
    classes: tuple[PlanClass, ...]
    tasks: tuple[PlanTask, ...] = field(validator=_is_topological)
    results: tuple[int, ...] = field(validator=_are_tasks)

    def name(self, task: TaskId) -> str:
        """How people call the task: `Compress-0003`."""
        found = self.tasks[task]
        return f"{self.classes[found.cls].name}-{found.ordinal:04d}"

    def class_of(self, task: TaskId) -> PlanClass:
        """The task's Nano class."""
        return self.classes[self.tasks[task].cls]


class Family:
    """Parents and children of every task of a plan, computed once."""

    def __init__(self, plan: Plan) -> None:
        children: list[list[TaskId]] = [[] for _ in plan.tasks]
        self.parents = tuple(task.parents for task in plan.tasks)
        """For each task, the tasks it waits for, ascending."""
        for number, parents in enumerate(self.parents):
            for parent in parents:
                children[parent].append(TaskId(number))
        self.children = tuple(tuple(each) for each in children)
        """For each task, the tasks that wait for it, ascending."""


@message(190)
class PlanHead:
    """The beginning of an encoded plan: all of it but its tasks."""

    version: int
    graph: str
    classes: tuple[PlanClass, ...]
    results: tuple[int, ...]


@message(191)
class PlanPart:
    """The next tasks of an encoded plan."""

    tasks: tuple[PlanTask, ...]


_CATALOG = Catalog((PlanHead, PlanPart), items_max=PLAN_ITEMS_MAX)
_HEAD, _PART = range(2)


def encode_plan(plan: Plan) -> bytes:
    """The plan as it lies on the NAS.  The same plan gives the same bytes."""
    out = bytearray()
    head = PlanHead(plan.version, plan.graph, plan.classes, plan.results)
    write_block(out, _HEAD, _CATALOG.encode(head))
    for start in range(0, len(plan.tasks), PART_TASKS):
        part = PlanPart(plan.tasks[start : start + PART_TASKS])
        write_block(out, _PART, _CATALOG.encode(part))
    return bytes(out)


def decode_plan(data: bytes, digest: str) -> Plan:
    """The plan that `data` holds.  Raises `RemoteError` unless its SHA-256 is `digest`."""
    *_, plan = plan_reading(data, digest)
    assert plan is not None, "the last that is read is the plan"
    return plan


def plan_reading(data: bytes, digest: str) -> Iterator[Plan | None]:
    """As `decode_plan`, but in steps of a few milliseconds, each of which gives None, the last one
    the plan: a master that decoded 10 000 tasks at once would miss its own heartbeats."""
    if plan_digest(data) != digest:
        raise RemoteError("the plan's digest differs from the one in the log")
    read = Reader(data)
    head: PlanHead = _block(read, _HEAD)
    if head.version != PLAN_VERSION:
        raise RemoteError(f"plan of version {head.version}, this is {PLAN_VERSION}")
    tasks: list[PlanTask] = []
    while not read.is_at_end:
        part: PlanPart = _block(read, _PART)
        tasks += part.tasks
        yield None
    try:
        yield Plan(head.version, head.graph, head.classes, tuple(tasks), head.results)
    except ValueError as error:
        raise RemoteError(f"Plan: {error}") from None


def _block(read: Reader, wanted: int) -> Any:
    form, body = read.block()
    found = _CATALOG.decode(body)
    if form != wanted or type(found) is not (PlanHead, PlanPart)[wanted]:
        raise RemoteError("the parts of a plan in the wrong order")
    return found


def plan_digest(data: bytes) -> str:
    """The SHA-256 of an encoded plan, as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()
