"""The work: what may start, how often it may fail, and what may be published.

**Judged by what agents started and what masters accepted**, with the plan of each job at hand.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from attrs import define, field

from nanoboost.plan import Plan
from simulations.checkers.judge import Broken
from simulations.kernel.journal import Record

CRASHES_MAX = 3
"""So many crashes a task is forgiven beyond its retries."""
LOSSES_MAX = 8
"""And so many where its node died."""


@define(eq=False)
class InputsComeFirst:
    """No attempt starts before all that its task waits for was done."""

    jobs: Mapping[str, Plan] = field()
    code: str = field(default="T3", init=False)
    claim: str = field(default="no task starts before its inputs are made", init=False)
    _done: dict[tuple[str, int], None] = field(factory=dict, init=False)

    def saw(self, record: Record) -> None:
        """Look at ends and starts.  (An attempt that ends well may be told much later.)"""
        if record.event == "ended" and record["outcome"] == "DONE":
            self._done[record["job"], record["task"]] = None
        elif record.event == "started":
            job, task = record["job"], record["task"]
            for parent in _parents(self.jobs[job], task):
                if (job, parent) not in self._done:
                    raise Broken(f"{record.node} starts task {task}, and {parent} is not done")

    def end(self) -> None:
        """Nothing is left to look at."""


def _parents(plan: Plan, task: int) -> Iterator[int]:
    found = plan.tasks[task]
    yield from found.after
    yield from (ref.task for each in found.inputs for ref in each.files if ref.task >= 0)


@define(eq=False)
class FailuresAreCounted:
    """A task fails no oftener than its class allows, over all masters together."""

    jobs: Mapping[str, Plan] = field()
    code: str = field(default="T4", init=False)
    claim: str = field(default="no task fails more often than it may", init=False)
    _failed: Counter[tuple[str, int]] = field(factory=Counter, init=False)
    _told: dict[tuple[str, int, str], None] = field(factory=dict, init=False)

    def saw(self, record: Record) -> None:
        """Look at what agents say of ended attempts."""
        if record.event != "started":
            if record.event == "ended" and record["outcome"] in ("FAILED", "CRASHED"):
                self._failed[record["job"], record["task"]] += 1
            return
        job, task = record["job"], record["task"]
        retries = self.jobs[job].class_of(task).retries
        if self._failed[job, task] > retries + CRASHES_MAX:
            raise Broken(f"task {task} is started again after {self._failed[job, task]} failures")

    def end(self) -> None:
        """Nothing is left to look at."""


@define(eq=False)
class NobodyIsOverworked:
    """An agent runs no more attempts at a time than it has slots."""

    slots: Callable[[str], int] = field()
    """Of the node called so."""
    code: str = field(default="T5", init=False)
    claim: str = field(default="no agent has more than its slots", init=False)
    _running: dict[str, int] = field(factory=dict, init=False)

    def saw(self, record: Record) -> None:
        """Count."""
        if record.event == "listening":
            self._running[record.node] = 0
        elif record.event == "started":
            count = self._running[record.node] = self._running.get(record.node, 0) + 1
            slots = self.slots(record.node)
            if count > slots:
                raise Broken(f"{record.node} runs {count} attempts with {slots} slots")
        elif record.event == "ended":
            self._running[record.node] = self._running.get(record.node, 0) - 1

    def end(self) -> None:
        """Nothing is left to look at."""


@define(eq=False)
class WinnersArePublished:
    """What gets its user's name was made by the attempt that won, of a job that was not cancelled
    before; and a job has one end."""

    winners: Mapping[tuple[str, int], str] = field()
    code: str = field(default="T6", init=False)
    claim: str = field(default="only winners are published", init=False)
    _ended: dict[str, str] = field(factory=dict, init=False)

    def saw(self, record: Record) -> None:
        """Look at what is published, and at the ends of jobs."""
        if record.event == "published":
            winner = self.winners.get((record["job"], record["task"]))
            if winner not in (None, record["attempt"]):  # None: its master died before it said so
                path, attempt = record["path"], record["attempt"]
                raise Broken(f"{path} is published from {attempt}, the winner is {winner}")
            if self._ended.get(record["job"]) in ("failed", "cancelled"):
                raise Broken(f"{record['path']} is published of a job that has ended otherwise")
        elif record.event == "job" and record["state"] in ("done", "failed", "cancelled"):
            known = self._ended.setdefault(record["job"], record["state"])
            if known != record["state"]:
                raise Broken(f"job {record['job']} was {known}, and now is {record['state']}")

    def end(self) -> None:
        """Nothing is left to look at."""
