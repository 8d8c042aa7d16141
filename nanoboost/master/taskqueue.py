"""The tasks that are ready and wait for a slot: fair between jobs, longest way first inside a job.

**The next task is of the job with the highest priority, among these of the one that has had the
least work done for it, and in that job the one with the longest way to the end.**  What was
started before and lost goes in front of its job.
"""

import heapq
from collections.abc import Callable, Container

from attrs import define, field, frozen

from nanoboost.ids import JobId, TaskId

FIRST = float("inf")
"""The level of a task that goes before all others of its job."""

Pool = tuple[JobId, int]
"""The tasks of one class of one job: whatever keeps one of them from a slot keeps all."""


@frozen
class Waiting:
    """A task that waits, and how urgent it is in its job."""

    job: JobId
    cls: int
    task: TaskId
    level: float


@define(eq=False)
class _JobQueue:
    """The waiting tasks of one job, a heap for each class.  Entries that `level_by_task` does not
    confirm are forgotten ones."""

    priority: int
    order: int
    attained_s: float = 0.0
    level_by_task: dict[TaskId, float] = field(factory=dict)
    heaps: dict[int, list[tuple[float, TaskId]]] = field(factory=dict)

    @property
    def rank(self) -> tuple[int, float, int]:
        """The job with the smallest goes first."""
        return (-self.priority, self.attained_s, self.order)

    def push(self, cls: int, task: TaskId, level: float) -> None:
        self.level_by_task[task] = level
        heapq.heappush(self.heaps.setdefault(cls, []), (-level, task))

    def head(self, job: JobId, blocked: Container[Pool]) -> int | None:
        """The class whose first task is the most urgent one."""
        best: tuple[float, TaskId, int] | None = None
        for cls, heap in self.heaps.items():
            if (job, cls) in blocked:
                continue
            while heap and self.level_by_task.get(heap[0][1]) != -heap[0][0]:
                heapq.heappop(heap)
            if heap and (best is None or (*heap[0], cls) < best):
                best = (*heap[0], cls)
        return None if best is None else best[2]


class TaskQueue:
    """All waiting tasks of all jobs."""

    def __init__(self) -> None:
        self._queues: dict[JobId, _JobQueue] = {}
        self._opened = 0

    def open(self, job: JobId, priority: int) -> None:
        """Tasks of the job may come."""
        self._opened += 1
        self._queues[job] = _JobQueue(priority, self._opened)

    def close(self, job: JobId) -> None:
        """Forget the job and its tasks."""
        self._queues.pop(job, None)

    def is_open(self, job: JobId) -> bool:
        """Whether tasks of the job may come."""
        return job in self._queues

    def push(self, waiting: Waiting) -> None:
        """The task waits (again)."""
        self._queues[waiting.job].push(waiting.cls, waiting.task, waiting.level)

    def discard(self, job: JobId, task: TaskId) -> None:
        """The task does not wait any more."""
        if job in self._queues:
            self._queues[job].level_by_task.pop(task, None)

    def charge(self, job: JobId, work_s: float) -> None:
        """So much work was begun for the job (or, negative, was not needed)."""
        if job in self._queues:
            self._queues[job].attained_s += work_s

    def pop(self, blocked: Container[Pool] = ()) -> Waiting | None:
        """Take the next task that is of none of the `blocked` pools."""
        for job, queue in sorted(self._queues.items(), key=lambda item: item[1].rank):
            cls = queue.head(job, blocked)
            if cls is not None:
                level, task = heapq.heappop(queue.heaps[cls])
                del queue.level_by_task[task]
                return Waiting(job, cls, task, -level)
        return None

    def classes(self, job: JobId) -> list[int]:
        """The classes of the job of which a task waits, ascending."""
        queue = self._queues.get(job)
        if queue is None:
            return []
        return [
            cls
            for cls, heap in sorted(queue.heaps.items())
            if any(queue.level_by_task.get(task) == -level for level, task in heap)
        ]

    def relevel(self, job: JobId, level: Callable[[TaskId], float]) -> None:
        """The levels have changed; what goes first keeps going first."""
        queue = self._queues[job]
        for heap in queue.heaps.values():
            alive = {task: old for old, task in heap if queue.level_by_task.get(task) == -old}
            heap.clear()
            for task, old in alive.items():
                new = FIRST if -old == FIRST else level(task)
                queue.level_by_task[task] = new
                heap.append((-new, task))
            heapq.heapify(heap)

    def __len__(self) -> int:
        return sum(len(queue.level_by_task) for queue in self._queues.values())
