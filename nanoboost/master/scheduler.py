"""How far one job is: which tasks are left, which have become ready, how long the way to the end.

**A task becomes ready once, when the last of its parents is done**; the frontier says what is done,
and nothing here forgets or doubts it.  Finishing a task costs as much as it has children.
"""

from array import array
from collections.abc import Iterator, Sequence

from attrs import frozen

from nanoboost.frontier import Frontier
from nanoboost.ids import Attempt, TaskId
from nanoboost.plan import Family, Plan
from nanoboost.wire.messages import Parent


@frozen
class Pace:
    """How long tasks of a class are expected to take on the reference machine: `unsized_s`, or
    `wait_s` and so much for each unit of the task's size."""

    unsized_s: float
    wait_s: float
    per_size_s: float


class Scheduler:
    """The progress of one job through its plan; `frontier` is shared with the job's owner."""

    def __init__(self, plan: Plan, frontier: Frontier) -> None:
        assert len(plan.tasks) == frontier.tasks, "the log and the plan count the same tasks"
        self.plan = plan
        self._frontier = frontier
        self._family = Family(plan)
        self._cls = array("l", (task.cls for task in plan.tasks))
        self._size = array("d", (task.size for task in plan.tasks))
        self._missing = array("l", map(len, self._family.parents))
        self.levels = array("d", bytes(8 * frontier.tasks))
        """For each task, the expected seconds from its start to the end of the job."""
        self.done = [0] * len(plan.classes)
        """For each class, how many of its tasks are done."""
        self.total = [0] * len(plan.classes)
        self.size_done = [0.0] * len(plan.classes)
        """For each class, the sum of the sizes of its tasks that are done."""
        self.size_total = [0.0] * len(plan.classes)
        self._number_by_name: dict[str, TaskId] | None = None
        for number, task in enumerate(plan.tasks):
            self.total[task.cls] += 1
            self.size_total[task.cls] += task.size
            if frontier.is_done(TaskId(number)):
                self._count(TaskId(number))

    @property
    def is_complete(self) -> bool:
        """Whether every task is done."""
        return self._frontier.done_count == self._frontier.tasks

    def finish(self, task: TaskId, attempt: Attempt) -> list[TaskId]:
        """The task is done, won by `attempt`; return what that made ready, ascending."""
        assert not self._frontier.is_done(task)
        assert self.is_ready(task)
        self._frontier.finish(task, attempt)
        return [child for child in self._count(task) if not self._missing[child]]

    def is_ready(self, task: TaskId) -> bool:
        """Whether all of the task's parents are done."""
        return not self._missing[task]

    def ready(self) -> Iterator[TaskId]:
        """All tasks that are undone and ready, ascending."""
        return (task for task in self._frontier.undone() if not self._missing[task])

    def parents(self, task: TaskId) -> tuple[Parent, ...]:
        """The winners whose outputs the task reads; all of its parents are done."""
        found = []
        for parent in self._family.parents[task]:
            winner = self._frontier.winner(parent)
            assert winner is not None, "a task is started after its parents"
            found.append(Parent(parent, winner))
        return tuple(found)

    def measure(self, paces: Sequence[Pace]) -> None:
        """Compute the levels anew (b-level: the longest way to the end); a pace for each class."""
        levels, children, classes, sizes = self.levels, self._family.children, self._cls, self._size
        for number in range(len(levels) - 1, -1, -1):
            below = 0.0
            for child in children[number]:
                if levels[child] > below:
                    below = levels[child]
            pace, size = paces[classes[number]], sizes[number]
            levels[number] = below + (
                pace.wait_s + pace.per_size_s * size if size > 0 else pace.unsized_s
            )

    def find(self, name: str) -> TaskId | None:
        """The task that people call `name`."""
        if self._number_by_name is None:
            numbers = map(TaskId, range(len(self.plan.tasks)))
            self._number_by_name = {self.plan.name(number): number for number in numbers}
        return self._number_by_name.get(name)

    def _count(self, task: TaskId) -> tuple[TaskId, ...]:
        """The task is done: its children wait for one parent less; return them."""
        found = self.plan.tasks[task]
        self.done[found.cls] += 1
        self.size_done[found.cls] += found.size
        children = self._family.children[task]
        for child in children:
            self._missing[child] -= 1
        return children
