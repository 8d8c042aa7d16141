"""Progress: what was said to be finished stays finished, and is never done again.

**The frontier is the product's promise**: `finished` is said only of what a committed frontier
covers, and from then on no loss of machines takes it back.
"""

from collections.abc import Iterable

from attrs import define, field

from nanoboost.frontier import Frontier
from nanoboost.ids import JobId, TaskId
from nanoboost.plan import Plan
from nanoboost.wire.records import JobEntry
from simulations.checkers.judge import Broken
from simulations.kernel.journal import Record

Task = tuple[str, int]
UNKNOWN = 1 << 62
"""A term above all others."""


@define(eq=False)
class FinishedIsForEver:
    """An acknowledged task keeps its winner, in every later master's registry too, and is never
    executed again by a master of its time or later.

    (A deposed master that does not know better may; nobody takes its word.)
    """

    code: str = field(default="F2", init=False)
    claim: str = field(default="nothing finished is lost or done again", init=False)
    winners: dict[Task, str] = field(factory=dict, init=False)
    _finished_in: dict[Task, int] = field(factory=dict, init=False)
    _term_of_master: dict[str, int] = field(factory=dict, init=False)
    again: int = field(default=0, init=False)
    """Tasks that were started once more, rightly: nothing had been acknowledged."""
    _executed: dict[Task, int] = field(factory=dict, init=False)

    def saw(self, record: Record) -> None:
        """Look at what masters say."""
        if record.event == "mastership" and record["is_me"]:
            self._term_of_master[record.node] = record["term"]
        elif record.event == "finished":
            task = (record["job"], record["task"])
            known = self.winners.setdefault(task, record["attempt"])
            if known != record["attempt"]:
                raise Broken(f"task {task[1]} was won by {known}, now by {record['attempt']}")
            # (A journal that has lost its beginning does not tell the term.)
            term = self._term_of_master.get(record.node, UNKNOWN)
            self._finished_in.setdefault(task, term)
        elif record.event == "execute":
            task = (record["job"], record["task"])
            if record["term"] >= self._finished_in.get(task, record["term"] + 1):
                raise Broken(
                    f"{record.node} executes task {task[1]} in term {record['term']}, "
                    f"which was finished in term {self._finished_in[task]}"
                )
            self._executed[task] = self._executed.get(task, 0) + 1
            self.again += self._executed[task] > 1

    def end(self) -> None:
        """Nothing is left to look at."""

    def hold(self, entries: Iterable[JobEntry], promised: dict[Task, str]) -> None:
        """Compare a registry with what was promised before it was asked.  Raises `Broken`."""
        jobs = {entry.submitted.job: entry for entry in entries}
        frontiers: dict[str, Frontier] = {}
        for (job, task), attempt in promised.items():
            entry = jobs.get(JobId(job))
            if entry is None:
                raise Broken(f"job {job} is forgotten")
            if job not in frontiers:
                frontiers[job] = Frontier.decode(entry.frontier, entry.submitted.tasks)
            winner = frontiers[job].winner(TaskId(task))
            if winner is None or str(winner) != attempt:
                raise Broken(f"task {task} was finished by {attempt}, the registry says {winner}")


def must_be_closed(entry: JobEntry, plan: Plan) -> None:
    """Raise `Broken` if a task of the job is finished and one that it depends on is not."""
    frontier = Frontier.decode(entry.frontier, entry.submitted.tasks)
    for task in frontier.done():
        for parent in plan.tasks[task].parents:
            if not frontier.is_done(parent):
                raise Open(entry.submitted.job, task, parent)


class Open(Broken):
    """A frontier is not closed under dependencies."""

    code = "I9"
    claim = "a frontier never shrinks, and is closed under dependencies"

    def __init__(self, job: JobId, task: TaskId, parent: TaskId) -> None:
        super().__init__(f"{job}: task {task} is finished and its parent {parent} is not")


@define(eq=False)
class AttemptsAreUnique:
    """No attempt is started twice."""

    code: str = field(default="T1", init=False)
    claim: str = field(default="an attempt runs once", init=False)
    _executed: dict[tuple[str, int, str], str] = field(factory=dict, init=False)
    _started: dict[tuple[str, int, str], str] = field(factory=dict, init=False)

    def saw(self, record: Record) -> None:
        """Look at orders and starts."""
        known = {"execute": self._executed, "started": self._started}.get(record.event)
        if known is not None:
            key = (record["job"], record["task"], record["attempt"])
            before = known.setdefault(key, record.node)
            if before != record.node:
                raise Broken(f"attempt {key} is said to be {record.event} at {before} and again")
            known[key] = f"{record.node} (before)"

    def end(self) -> None:
        """Nothing is left to look at."""
