"""One job as its master knows it.

**What is committed can be read again; all the rest here is soft** and ends with the term: which
attempts there were and where, what is parked, who waits for an answer.
"""

from collections import deque

from attrs import define, field, frozen

from nanoboost.frontier import Frontier
from nanoboost.ids import Attempt, AttemptKey, JobId, NodeId, TaskId
from nanoboost.master.estimates import ClassKey
from nanoboost.master.ledger import Ledger
from nanoboost.master.scheduler import Scheduler
from nanoboost.nas.messages import Published
from nanoboost.wire.messages import JobState, Outcome, TaskDone
from nanoboost.wire.records import JobEntry, JobSubmitted

FAILURES_KEPT = 20
STATE_ORDER = {
    JobState.RUNNING: 0,
    JobState.PUBLISHING: 1,
    JobState.DONE: 2,
    JobState.FAILED: 2,
    JobState.CANCELLED: 2,
}
"""A job's state is only replaced by one of a higher order (the registry has the same rule)."""


@frozen
class Past:
    """What is known of an attempt; `outcome` is None while it has not ended."""

    node: NodeId
    outcome: Outcome | None = None
    error: str = ""
    tail: str = ""


@define(eq=False)
class Job:
    """A job; `scheduler` is None until its plan has been read."""

    submitted: JobSubmitted
    frontier: Frontier
    state: JobState = JobState.RUNNING
    reason: str = ""
    is_inherited: bool = False
    """It was there before this term: agents may be running attempts of it."""
    scheduler: Scheduler | None = None
    is_open: bool = False
    """Its tasks may be started."""
    proposed: JobState | None = None
    """The highest state that is on its way into the log."""
    ledger: Ledger = field(factory=Ledger)
    started: dict[TaskId, int] = field(factory=dict)
    """How many runs of each task this master has started (the `n` of attempts)."""
    ran: int = 0
    past: dict[TaskId, dict[Attempt, Past]] = field(factory=dict)
    failures: deque[tuple[TaskId, Attempt]] = field(factory=lambda: deque(maxlen=FAILURES_KEPT))
    counting: dict[TaskId, None] = field(factory=dict)
    """Tasks that wait until the log says how often they have failed."""
    parked: dict[TaskId, dict[Attempt, tuple[NodeId, TaskDone]]] = field(factory=dict)
    """Results that cannot be judged before their parents are done, or the plan is read."""
    ended: int = 0
    """How many of its tasks this master has seen done."""
    measure_at: int = 0
    """At how many its levels are computed anew."""
    trouble: str = ""
    """What the NAS could not do for the job, until it can."""

    @classmethod
    def inherited(cls, entry: JobEntry) -> "Job":
        """The job as a new master reads it from the log."""
        frontier = Frontier.decode(entry.frontier, entry.submitted.tasks)
        return cls(entry.submitted, frontier, entry.state, entry.reason, is_inherited=True)

    @property
    def name(self) -> JobId:
        """The job's id."""
        return self.submitted.job

    @property
    def plan_scheduler(self) -> Scheduler:
        """The scheduler, where the plan has been read."""
        assert self.scheduler is not None
        return self.scheduler

    @property
    def is_ending(self) -> bool:
        """Whether no more of its tasks are to be started."""
        return self.proposed is not None or self.state is not JobState.RUNNING

    def class_key(self, cls: int) -> ClassKey:
        """Under which name is learned what tasks of the class take."""
        return (self.submitted.graph, self.plan_scheduler.plan.classes[cls].name)

    def remember(self, key: AttemptKey, past: Past) -> None:
        """This is known of the attempt now."""
        self.past.setdefault(key.task, {})[key.attempt] = past

    def recall(self, key: AttemptKey) -> Past | None:
        """What is known of the attempt."""
        return self.past.get(key.task, {}).get(key.attempt)

    def has_ended(self, key: AttemptKey) -> bool:
        """Whether the end of the attempt is known, whatever it was."""
        past = self.recall(key)
        return past is not None and past.outcome is not None

    def failed_on(self, task: TaskId) -> frozenset[NodeId]:
        """The nodes on which the task has failed or crashed, as far as is known."""
        return frozenset(
            past.node
            for past in self.past.get(task, {}).values()
            if past.outcome is not None and past.outcome.is_failure
        )

    def shelve(self) -> None:
        """Keep only what a report shows: the job has ended long ago, and there are many like it."""
        kept = [AttemptKey(self.name, task, attempt) for task, attempt in self.failures]
        known = [(key, self.recall(key)) for key in kept]
        self.scheduler = None
        self.past = {}
        self.started.clear()
        for key, past in known:
            if past is not None:
                self.remember(key, past)

    def next_attempt(self, task: TaskId, term: int) -> AttemptKey:
        """A name for a run that was never used before."""
        n = self.started[task] = self.started.get(task, 0) + 1
        return AttemptKey(self.name, task, Attempt(term, n))

    def results(self) -> tuple[Published, ...]:
        """The files that go to the user's names, with the attempts that won."""
        found = []
        plan = self.plan_scheduler.plan
        for number in plan.results:
            winner = self.frontier.winner(TaskId(number))
            assert winner is not None, "results are published after the last task"
            paths = tuple(path for output in plan.tasks[number].outputs for path in output.paths)
            found.append(Published(AttemptKey(self.name, TaskId(number), winner), paths))
        return tuple(found)
