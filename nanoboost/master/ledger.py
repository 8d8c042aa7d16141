"""What the master knows about one job and the log does not hold yet.

**At most one SetFrontier of a job is in flight, and an agent is told to forget a result only when a
frontier that covers it is committed.**  Whatever ends meanwhile goes into the next one.
"""

from attrs import define, field

from nanoboost.ids import AttemptKey, NodeId, TaskId

Owed = dict[TaskId, list[tuple[NodeId, AttemptKey]]]
"""For each task, whose results of which attempts wait for an Acknowledge."""


@define(eq=False)
class Ledger:
    """`next_at` is when the next SetFrontier may be proposed at the earliest."""

    next_at: float = 0.0
    in_flight: bytes | None = None
    _open: Owed = field(factory=dict)
    _covered: Owed = field(factory=dict)

    @property
    def is_clean(self) -> bool:
        """Whether all that is known is committed."""
        return not self._open and not self._covered

    @property
    def due_at(self) -> float | None:
        """When to propose the frontier; None while there is nothing new, or one is in flight."""
        return self.next_at if self._open and self.in_flight is None else None

    def owe(self, task: TaskId, node: NodeId, key: AttemptKey) -> None:
        """The result of the attempt is in the frontier, or is not needed because of it."""
        known = (*self._open.get(task, ()), *self._covered.get(task, ()))
        if (node, key) not in known:
            self._open.setdefault(task, []).append((node, key))

    def join(self, task: TaskId, node: NodeId, key: AttemptKey) -> None:
        """The result is not needed, for another has won the task that is owed: the commit for which
        the winner waits is enough for both."""
        waiting = self._open if task in self._open else self._covered
        if (node, key) not in waiting[task]:
            waiting[task].append((node, key))

    def note(self, task: TaskId) -> None:
        """The task is in the frontier by a result that no agent holds."""
        self._open.setdefault(task, [])

    def is_owed(self, task: TaskId) -> bool:
        """Whether something about the task is not committed yet."""
        return task in self._open or task in self._covered

    def propose(self, now: float, frontier: bytes, interval_s: float) -> None:
        """The whole frontier is on its way into the log."""
        assert self.in_flight is None
        self.in_flight = frontier
        self.next_at = now + interval_s
        self._covered, self._open = self._open, {}

    def refused(self) -> None:
        """It did not get into the log: all of it is open again."""
        self.in_flight = None
        for task, owed in self._covered.items():
            self._open[task] = owed + self._open.get(task, [])
        self._covered = {}

    def committed(self) -> Owed:
        """It is committed: return what that covers."""
        self.in_flight = None
        covered, self._covered = self._covered, {}
        return covered

    def abandon(self) -> Owed:
        """The job is over: nothing of it need be committed any more; return all that is owed."""
        found = {
            task: self._covered.get(task, []) + self._open.get(task, [])
            for task in {**self._covered, **self._open}
        }
        self.in_flight, self._covered, self._open = None, {}, {}
        return found
