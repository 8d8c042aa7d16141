"""One term of a master: everything it knows, shared by those who decide with it.

**A reign begins with what is committed and ends with its term; nothing of it outlives that**, but
what was learned about classes and machines, and the names of the nodes.
"""

from collections.abc import Iterable

from nanoboost.config import MasterTiming
from nanoboost.ids import JobId, NodeId, TaskId
from nanoboost.master.agents import Agents, Run
from nanoboost.master.dispatcher import Demand, Dispatcher
from nanoboost.master.estimates import Estimates
from nanoboost.master.events import Effect, Journal, Propose, Send
from nanoboost.master.jobs import Job
from nanoboost.master.takeover import Takeover
from nanoboost.master.taskqueue import FIRST, TaskQueue, Waiting
from nanoboost.wire.messages import CancelAttempt
from nanoboost.wire.records import Record

PROPOSE_AGAIN_S = 0.1
MEASURE_EVERY = 25
"""A job's levels are computed anew when so many tasks have ended, and half as many again, ..."""


class Reign:
    """The state of one term."""

    def __init__(
        self,
        term: int,
        timing: MasterTiming,
        estimates: Estimates,
        names: dict[NodeId, str],
        takeover: Takeover,
        outbox: list[Effect],
        me: NodeId | None = None,
    ) -> None:
        self.term = term
        self.timing = timing
        self.estimates = estimates
        self.names = names
        self.takeover = takeover
        self.jobs: dict[JobId, Job] = {}
        """In order of submission."""
        self.agents = Agents()
        self.queue = TaskQueue()
        self.dispatcher = Dispatcher(self.agents, self.queue, estimates, me)
        self.refused: list[tuple[float, Record]] = []
        """Records that did not get into the log, and when to try again."""
        self._outbox = outbox

    # --- saying ----------------------------------------------------------------------------------

    def do(self, effect: Effect) -> None:
        """Have something done."""
        self._outbox.append(effect)

    def send(self, node: NodeId, message: object) -> None:
        """Say something to a node."""
        self._outbox.append(Send(node, message))

    def propose(self, record: Record) -> None:
        """Put a record into the log."""
        self._outbox.append(Propose(self.term, record))

    def journal(self, event: str, **facts: str | int) -> None:
        """Write a fact into the journal."""
        self._outbox.append(Journal(event, tuple(facts.items())))

    def name(self, node: NodeId) -> str:
        """How people call the node."""
        return self.names.get(node, node)

    # --- tasks -----------------------------------------------------------------------------------

    def prepare(self, job: Job) -> None:
        """The job's plan has been read: what its classes and its runs are is known now."""
        plan = job.plan_scheduler.plan
        sizes: list[list[float]] = [[] for _ in plan.classes]
        for task in plan.tasks:
            sizes[task.cls].append(task.size)
        for number, found in enumerate(sizes):
            self.estimates.expect(job.class_key(number), found)
        for run in self.agents.runs(job.name):
            self.agents.resize(run, max(1, plan.class_of(run.key.task).cores))

    def open(self, job: Job) -> None:
        """The job's tasks may be started from now on: all that are ready wait for a slot."""
        scheduler = job.plan_scheduler
        assert not job.is_open
        job.is_open = True
        self.queue.open(job.name, job.submitted.priority)
        self.measure(job)
        for task in scheduler.ready():
            self.expose(job, task)

    def shut(self, job: Job) -> None:
        """None of the job's tasks is started any more."""
        job.is_open = False
        self.queue.close(job.name)

    def expose(self, job: Job, task: TaskId, level: float | None = None) -> None:
        """The task waits for a slot, if it should run at all and no attempt of it does."""
        if not job.is_open or job.frontier.is_done(task) or task in job.parked:
            return
        scheduler = job.plan_scheduler
        if scheduler.is_ready(task) and not self.agents.is_wanted(job.name, task):
            found = scheduler.levels[task] if level is None else level
            self.queue.push(Waiting(job.name, scheduler.plan.tasks[task].cls, task, found))

    def expose_again(self, job: Job, task: TaskId) -> None:
        """The task was started before, and goes in front."""
        self.expose(job, task, FIRST)

    def demand(self, waiting: Waiting) -> Demand:
        """What a waiting task asks of a machine."""
        job = self.jobs[waiting.job]
        key = job.class_key(waiting.cls)
        plan = job.plan_scheduler.plan
        work_s = self.estimates.work_s(key, plan.tasks[waiting.task].size)
        cls, wait_s = plan.classes[waiting.cls], self.estimates.wait_s(key)
        if not job.frontier.failures(waiting.task):
            return Demand(cls, key, work_s, wait_s)
        return Demand(cls, key, work_s, wait_s, True, job.failed_on(waiting.task))

    def measure(self, job: Job) -> None:
        """Compute the job's levels from what is known now."""
        scheduler = job.plan_scheduler
        classes = range(len(scheduler.plan.classes))
        scheduler.measure([self.estimates.pace(job.class_key(cls)) for cls in classes])
        job.measure_at = job.ended + max(MEASURE_EVERY, job.ended // 2)
        if job.is_open:
            self.queue.relevel(job.name, lambda task: scheduler.levels[task])

    def learn(
        self, job: Job, run: Run | None, task: TaskId, node: NodeId, times: tuple[float, float]
    ) -> None:
        """A task has taken so much wall clock and processor time; measure anew now and then."""
        found = job.plan_scheduler.plan.tasks[task]
        key = job.class_key(found.cls)
        is_first = not self.estimates.knows(key)
        work_s = self.estimates.learn(key, found.size, node, *times)
        self.queue.charge(job.name, work_s - (run.charged_s if run is not None else 0.0))
        job.ended += 1
        if job.is_open and (is_first or job.ended >= job.measure_at):
            self.measure(job)

    # --- attempts --------------------------------------------------------------------------------

    def cancel(self, runs: Iterable[Run]) -> None:
        """Nobody wants these runs any more; their slots are free when their agents say so."""
        for run in runs:
            if not run.is_held:
                run.is_cancelled = True
                self.send(run.node, CancelAttempt(self.term, run.key))

    def lose(self, runs: Iterable[Run]) -> None:
        """These runs are no more: their tasks go to the front of the queue."""
        for run in runs:
            job = self.jobs.get(run.key.job)
            if job is not None:
                self.queue.charge(job.name, -run.charged_s)
                if job.scheduler is not None:
                    self.expose_again(job, run.key.task)
