"""The same word said twice changes nothing the second time.

**Messages repeat themselves by design** (an agent tells a result until it is acknowledged, to every
new master), so whoever hears one again must already be where it leads to.
"""

from collections import Counter
from collections.abc import Mapping

from attrs import define, field

from nanoboost.ids import TaskId
from nanoboost.plan import Plan
from nanoboost.wire.messages import Outcome
from simulations.checkers.judge import Broken
from simulations.checkers.tasks import CRASHES_MAX, LOSSES_MAX
from simulations.kernel.journal import Record

Task = tuple[str, TaskId]
DONE, LOST = Outcome.DONE.name, Outcome.LOST.name
FAILED, CRASHED = Outcome.FAILED.name, Outcome.CRASHED.name


@define
class _Reign:
    """What one master has said in one term."""

    term: int
    ended: dict[tuple[str, int, str, bool], None] = field(factory=dict)
    """Attempts whose end it has accepted, and whether that is that its node has lost them."""
    won: dict[Task, str] = field(factory=dict)


@define(eq=False)
class SaidTwiceCountsOnce:
    """A master accepts the end of an attempt once; a task that is done is accepted, refused and
    executed no more; it is called finished once in all; and a job fails only after more attempts of
    one task have failed than its class forgives, whoever told of them how often."""

    jobs: Mapping[str, Plan] = field()
    code: str = field(default="T7", init=False)
    claim: str = field(default="what is told twice counts once", init=False)
    _reigns: dict[str, _Reign] = field(factory=dict, init=False)
    _finished: dict[Task, int] = field(factory=dict, init=False)
    """The term in which its master said so."""
    _executed: Counter[Task] = field(factory=Counter, init=False)
    _failed: dict[Task, dict[str, str]] = field(factory=dict, init=False)
    """The attempts whose agents say that they have failed or crashed, and which of the two."""

    def saw(self, record: Record) -> None:
        """Look at what masters say, and at which attempts have failed."""
        if record.event == "mastership":
            self._reigns[record.node] = _Reign(record["term"] if record["is_me"] else 0)
        elif record.event in ("done", "refused", "finished", "execute"):
            reign = self._reigns.get(record.node)
            if reign is not None and reign.term:
                self._judge(reign, record, (record["job"], TaskId(record["task"])))
        elif record.event == "ended" and record["outcome"] in (FAILED, CRASHED):
            task = (record["job"], TaskId(record["task"]))
            self._failed.setdefault(task, {})[record["attempt"]] = record["outcome"]
        elif record.event == "job" and record["state"] == "failed":
            self._fails(record["job"])

    def _judge(self, reign: _Reign, record: Record, task: Task) -> None:
        attempt, what = record["attempt"], f"{record.node}: {record.event} of task {task[1]}"
        if record.event == "finished":
            if task in self._finished:
                raise Broken(f"{what}, again ({attempt})")
            self._finished[task] = reign.term
            return
        if task in reign.won:
            raise Broken(f"{what}, attempt {attempt}, after {reign.won[task]} had won it")
        if reign.term > self._finished.get(task, reign.term):
            raise Broken(f"{what}, attempt {attempt}, finished in term {self._finished[task]}")
        if record.event == "execute":
            self._executed[task] += 1
            return
        # What a node believes to have lost may end yet: a copy of its disk had told that.
        key = (*task, attempt, record.facts.get("outcome") == LOST)
        if key in reign.ended:
            raise Broken(f"{what}, attempt {attempt}, again")
        reign.ended[key] = None
        if record.event == "done" and record["outcome"] == DONE:
            reign.won[task] = attempt

    def _fails(self, job: str) -> None:
        """A crash is not always the task's own fault, so it is forgiven more often, and the death
        of a node still more; which attempts died with their node nobody may have seen, so all that
        were executed are counted there."""
        plan = self.jobs[job]
        tasks = [task for name, task in self._executed if name == job]
        for task in tasks:
            retries = plan.class_of(task).retries
            outcomes = [*self._failed.get((job, task), {}).values()]
            if outcomes.count(FAILED) > retries or len(outcomes) > retries + CRASHES_MAX:
                return
            if self._executed[job, task] > retries + LOSSES_MAX:
                return
        raise Broken(f"job {job} failed, and none of its tasks has failed often enough")

    def end(self) -> None:
        """Nothing is left to look at."""
