"""How attempts have ended, and what follows from it.

**The first result of a task that has read only winners' outputs wins it, for ever.**  One that has
read others is refused and the task runs again; one whose parents are not done yet (a new master may
hear of the child first) is parked until they are.
"""

from collections import deque
from collections.abc import Iterable

from nanoboost.frontier import Cause
from nanoboost.ids import AttemptKey, NodeId, TaskId
from nanoboost.master.agents import Run
from nanoboost.master.closing import Closing
from nanoboost.master.jobs import Job, Past
from nanoboost.master.reign import Reign
from nanoboost.wire.messages import NODE_DIED, Acknowledge, JobState, Outcome, TaskDone

CAUSES = {
    Outcome.FAILED: Cause.FAILED,
    Outcome.CRASHED: Cause.CRASHED,
    Outcome.LOST: Cause.LOST,
}
FORGIVEN = {Cause.FAILED: 0, Cause.CRASHED: 3, Cause.LOST: 8}
"""So many failures of a cause, and of those before it, are forgiven beyond a task's retries.  A
process may die by its machine's fault.  A node dies with all that runs there, and one after the
other when a site is in trouble, innocent tasks with them; but each task that is poison may take as
many nodes along."""
ERROR_MAX, TAIL_MAX = 500, 4000
"""Of an error and of a log so many characters are kept: twenty must fit in one report."""


class Results:
    """Judges the results of one reign."""

    def __init__(self, reign: Reign, closing: Closing) -> None:
        self._reign = reign
        self._closing = closing

    def take(self, now: float, node: NodeId, done: TaskDone) -> None:
        """An attempt has ended, so its agent says."""
        key = done.key
        if key.attempt.term > self._reign.term:
            return  # a newer master exists, and this one will hear of it
        job = self._reign.jobs.get(key.job)
        if job is None or job.state is not JobState.RUNNING:
            self._release(key)
            self._acknowledge(node, key)
        elif job.scheduler is None:
            self._park(job, node, done)
        else:
            self._judge_all(now, job, [(node, done)])

    def plan_read(self, now: float, job: Job) -> None:
        """What came before the plan can be judged now; parents come before their children."""
        parked, job.parked = job.parked, {}
        ready = [each for task in sorted(parked) for each in parked[task].values()]
        self._judge_all(now, job, ready)

    def adopt(self, now: float, job: Job, key: AttemptKey) -> None:
        """A result that no agent holds wins its task; `salvage` says why it may."""
        assert job.plan_scheduler.is_ready(key.task)
        parked: list[tuple[NodeId, TaskDone]] = []
        for child in self._finish(job, key):
            parked.extend(job.parked.pop(child, {}).values())
            self._reign.expose(job, child)
        job.ledger.note(key.task)
        self._reign.journal("salvaged", job=job.name, task=key.task, attempt=str(key.attempt))
        self._judge_all(now, job, parked)

    # --- judging ---------------------------------------------------------------------------------

    def _judge_all(self, now: float, job: Job, found: list[tuple[NodeId, TaskDone]]) -> None:
        """Judge these results, and those for which they were parked."""
        pending = deque(found)
        while pending:
            node, done = pending.popleft()
            for child in self._judge(now, job, node, done):
                pending.extend(job.parked.pop(child, {}).values())
                self._reign.expose(job, child)

    def _judge(self, now: float, job: Job, node: NodeId, done: TaskDone) -> list[TaskId]:
        """Judge one result; return the tasks that it made ready."""
        key, task = done.key, done.key.task
        if job.frontier.is_done(task):
            self._release(key)
            self._needless(job, node, key)
            return []
        if done.outcome is Outcome.DONE:
            if not job.plan_scheduler.is_ready(task):
                self._park(job, node, done)
                return []
            if self._has_read_winners(job, done):
                return self._win(now, job, node, done)
        if job.has_ended(key):  # it has been heard of before
            self._release(key)
            if not job.ledger.is_owed(task):
                self._acknowledge(node, key)
            return []
        job.remember(key, Past(node, done.outcome, done.error[:ERROR_MAX], done.tail[-TAIL_MAX:]))
        facts: dict[str, str | int] = {"job": job.name, "task": task, "attempt": str(key.attempt)}
        if done.outcome is Outcome.DONE:
            self._reign.journal("refused", **facts)
        else:
            self._reign.journal("done", **facts, outcome=done.outcome.name)
        self._refund(job, key)
        if done.outcome.is_failure:
            self._fail(now, job, node, done)
        else:
            if done.outcome is Outcome.UNFIT:
                pool = (job.name, job.plan_scheduler.plan.tasks[task].cls)
                self._reign.agents.avoid(now, node, pool, done.error[:ERROR_MAX])
            self._acknowledge(node, key)
        self._reign.expose_again(job, task)
        return []

    def _has_read_winners(self, job: Job, done: TaskDone) -> bool:
        return all(job.frontier.winner(parent.task) == parent.attempt for parent in done.read)

    def _win(self, now: float, job: Job, node: NodeId, done: TaskDone) -> list[TaskId]:
        """The task is done: its children may start, and nobody else need run it."""
        reign, key, task = self._reign, done.key, done.key.task
        run = self._release(key)
        job.remember(key, Past(node, Outcome.DONE))
        reign.journal("done", job=job.name, task=task, attempt=str(key.attempt), outcome="DONE")
        children = self._finish(job, key)
        job.ledger.owe(task, node, key)
        pool = (job.name, job.plan_scheduler.plan.tasks[task].cls)
        reign.agents.succeeded(node, pool)
        reign.learn(job, run, task, node, (done.wall_s, done.cpu_s))
        return children

    def _finish(self, job: Job, key: AttemptKey) -> list[TaskId]:
        """The task is won: nobody need run it any more; return what that made ready."""
        reign, task = self._reign, key.task
        children = job.plan_scheduler.finish(task, key.attempt)
        reign.queue.discard(job.name, task)
        reign.cancel(run for run in reign.agents.runs_of(job.name, task) if not run.is_cancelled)
        job.parked.pop(task, None)
        return children

    def died(self, now: float, runs: Iterable[Run]) -> None:
        """The node's process has ended while these ran there.  One of them may be why: it must not
        take one node after another along.  So it runs again only once that is in the log: else it
        could take all nodes along before anybody had counted."""
        for run in runs:
            job = self._reign.jobs.get(run.key.job)
            if job is None or job.scheduler is None or job.state is not JobState.RUNNING:
                continue
            if job.frontier.is_done(run.key.task):
                continue
            job.remember(run.key, Past(run.node, Outcome.LOST, NODE_DIED))
            job.ledger.note(run.key.task)
            job.counting[run.key.task] = None
            self._reign.queue.discard(job.name, run.key.task)
            self._count(now, job, run.node, run.key, Outcome.LOST, NODE_DIED)

    def counted(self, job: Job) -> None:
        """A frontier is committed: what waited for that may run again."""
        for task in [each for each in job.counting if not job.ledger.is_owed(each)]:
            del job.counting[task]
            if job.scheduler is not None and job.state is JobState.RUNNING:
                self._reign.expose_again(job, task)

    def _fail(self, now: float, job: Job, node: NodeId, done: TaskDone) -> None:
        """The attempt failed: once too often?"""
        job.ledger.owe(done.key.task, node, done.key)
        self._count(now, job, node, done.key, done.outcome, done.error[:ERROR_MAX])

    def _count(
        self, now: float, job: Job, node: NodeId, key: AttemptKey, outcome: Outcome, error: str
    ) -> None:
        task = key.task
        job.failures.append((task, key.attempt))
        cause = CAUSES[outcome]
        count = job.frontier.fail(task, key.attempt, cause)
        if cause is Cause.CRASHED:
            self._reign.agents.crashed(now, node, key)
        if count > job.plan_scheduler.plan.class_of(task).retries + FORGIVEN[cause]:
            name = job.plan_scheduler.plan.name(task)
            self._closing.move(job, JobState.FAILED, f"{name} failed: {error}")

    # --- the same for all ------------------------------------------------------------------------

    def _release(self, key: AttemptKey) -> Run | None:
        """The attempt occupies its agent no more."""
        run = self._reign.agents.find(key)
        if run is not None:
            self._reign.agents.end(run)
        return run

    def _refund(self, job: Job, key: AttemptKey) -> None:
        """The attempt was for nothing: its job has attained nothing by it."""
        run = self._release(key)
        if run is not None:
            self._reign.queue.charge(job.name, -run.charged_s)

    def _park(self, job: Job, node: NodeId, done: TaskDone) -> None:
        """It cannot be judged yet, but its slot is free."""
        run = self._reign.agents.find(done.key)
        if run is not None:
            self._reign.agents.hold(run)
        job.parked.setdefault(done.key.task, {})[done.key.attempt] = (node, done)

    def _needless(self, job: Job, node: NodeId, key: AttemptKey) -> None:
        """The task is won already, perhaps by this very attempt."""
        if job.ledger.is_owed(key.task):
            job.ledger.join(key.task, node, key)  # until the winner is committed, keep the other
        else:
            self._acknowledge(node, key)

    def _acknowledge(self, node: NodeId, key: AttemptKey) -> None:
        self._reign.send(node, Acknowledge(self._reign.term, (key,)))
