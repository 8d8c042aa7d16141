"""A job's way from its last task to its end, and whatever the NAS must do for it.

**A job's results are published only after the frontier that finishes it is committed, and not once
it is cancelled; its leftovers are removed only after its end is committed, and when nothing of it
may still be running.**  What the NAS cannot do is tried again, ever more slowly, and told meanwhile
in the job's note.
"""

from attrs import define

from nanoboost.ids import JobId
from nanoboost.master.events import Chore, CleanJob, PublishResults, ReadPlan
from nanoboost.master.jobs import STATE_ORDER, Job
from nanoboost.master.reign import Reign
from nanoboost.wire.messages import JobState
from nanoboost.wire.records import JobEnded

AGAIN_S_MIN, AGAIN_S_MAX = 0.5, 15.0
CLEANS_MAX = 10
"""Leftovers that cannot be removed by then stay; nothing depends on them."""
PLANS_KEPT = 8
"""Of so many ended jobs the plan and all attempts are kept, for questions about them."""
ENDED_KEPT = 256
"""So many ended jobs are remembered (as many as the log remembers)."""
CLEAN_AGAIN = 4
"""So many of the latest ended jobs are cleaned again by a new master: perhaps the old one died."""


@define(eq=False)
class _Due:
    """When the NAS is to do something; `due_at` is None while it is at it."""

    due_at: float | None
    failures: int = 0
    is_last: bool = False
    """The job is cancelled if the NAS cannot do it this time."""


class Closing:
    """Starts and repeats the chores, and moves the jobs' states on."""

    def __init__(self, reign: Reign) -> None:
        self._reign = reign
        self._chores: dict[tuple[JobId, Chore], _Due] = {}
        self._with_plan: dict[JobId, None] = {}
        """Ended jobs whose plan is still here, oldest end first."""

    def begin(self, now: float) -> None:
        """A new master has read the jobs: read the plans of those that are not over."""
        ended = [job for job in self._reign.jobs.values() if job.state.is_final]
        for job in ended[-CLEAN_AGAIN:]:
            self._want(now, job, Chore.CLEAN)
        for job in self._reign.jobs.values():
            if not job.state.is_final:
                self.want_plan(now, job)

    def want_plan(self, now: float, job: Job) -> None:
        """Have the job's plan read, unless that is being done already."""
        if (job.name, Chore.PLAN) not in self._chores:
            self._want(now, job, Chore.PLAN)

    # --- states ----------------------------------------------------------------------------------

    def move(self, job: Job, state: JobState, reason: str = "") -> None:
        """Propose the job's next state; none of its tasks is started any more."""
        known = job.state if job.proposed is None else job.proposed
        if STATE_ORDER[state] > STATE_ORDER[known]:
            job.proposed = state
            self._reign.shut(job)
            self._reign.propose(JobEnded(job.name, state, reason))

    def cancel(self, job: Job) -> None:
        """Its user wants the job no more: it ends at once, but where the NAS is publishing its
        results at this moment.  Then it is done if they get there, and cancelled if they cannot."""
        publishing = self._chores.get((job.name, Chore.PUBLISH))
        if publishing is not None and publishing.due_at is None:
            publishing.is_last = True
        else:
            self.move(job, JobState.CANCELLED, "by request")

    def check(self, job: Job) -> None:
        """A frontier was committed: was it the last?"""
        if job.state is JobState.RUNNING and job.scheduler and job.scheduler.is_complete:
            if job.ledger.is_clean:
                self.move(job, JobState.PUBLISHING)

    def moved(self, now: float, job: Job, record: JobEnded) -> bool:
        """The state is committed; return whether that was news."""
        if STATE_ORDER[record.state] <= STATE_ORDER[job.state]:
            return False
        job.state, job.reason = record.state, record.reason
        if job.proposed is not None and STATE_ORDER[job.proposed] <= STATE_ORDER[job.state]:
            job.proposed = None
        self._reign.shut(job)
        self._reign.journal("job", job=job.name, state=job.state.value)
        if job.state is JobState.PUBLISHING:
            self._want(now, job, Chore.PUBLISH)
        else:
            self._reign.cancel(
                run for run in self._reign.agents.runs(job.name) if not run.is_cancelled
            )
            job.parked.clear()
            job.trouble = ""
            self._chores.pop((job.name, Chore.PUBLISH), None)
            self._want(now, job, Chore.CLEAN)
            self.keep_plan(job)
            self._forget_the_oldest()
        return True

    # --- chores ----------------------------------------------------------------------------------

    def plan_read(self, now: float, job: Job) -> None:
        """The job's plan is here."""
        self._chores.pop((job.name, Chore.PLAN), None)
        job.trouble = ""
        if job.state is JobState.PUBLISHING:
            self._want(now, job, Chore.PUBLISH)
        elif job.state.is_final:
            self.keep_plan(job)
        else:
            self.check(job)

    def done(self, job: Job, chore: Chore) -> None:
        """The NAS has done what it was asked for."""
        if self._chores.pop((job.name, chore), None) is not None and chore is Chore.PUBLISH:
            job.trouble = ""
            self.move(job, JobState.DONE)

    def failed(self, now: float, job: Job, chore: Chore, reason: str) -> None:
        """The NAS could not: again later, unless it does not matter that much."""
        due = self._chores.get((job.name, chore))
        if due is None or due.due_at is not None:
            return
        if due.is_last:
            del self._chores[job.name, chore]
            self.cancel(job)
            return
        due.failures += 1
        due.due_at = now + min(AGAIN_S_MAX, AGAIN_S_MIN * 2 ** min(due.failures - 1, 10))
        if not job.state.is_final:
            what = "reading the plan" if chore is Chore.PLAN else "publishing the results"
            job.trouble = f"{what} failed, trying again: {reason}"
        elif chore is Chore.PLAN or due.failures >= CLEANS_MAX:
            del self._chores[job.name, chore]

    def work(self, now: float) -> None:
        """Start the chores that are due."""
        for (name, chore), due in list(self._chores.items()):
            if due.due_at is None or due.due_at > now:
                continue
            job = self._reign.jobs[name]
            if chore is Chore.CLEAN and self._reign.agents.occupies(name):
                continue  # the end of its last attempt comes as an event
            if chore is Chore.PUBLISH and (job.scheduler is None or job.proposed is not None):
                continue  # the plan is being read, or the job is being cancelled
            due.due_at = None
            if chore is Chore.CLEAN:
                self._reign.do(CleanJob(name))
            elif chore is Chore.PLAN:
                self._reign.do(ReadPlan(name, job.submitted.plan))
            else:
                self._reign.do(PublishResults(name, job.results()))

    def deadline(self, now: float) -> float | None:
        """When the next chore is due."""
        moments = [
            due.due_at
            for due in self._chores.values()
            if due.due_at is not None and due.due_at > now
        ]
        return min(moments, default=None)

    def _want(self, now: float, job: Job, chore: Chore) -> None:
        self._chores[job.name, chore] = _Due(now)

    # --- forgetting ------------------------------------------------------------------------------

    def keep_plan(self, job: Job) -> None:
        """The job is over: its plan is kept until that of a few others is."""
        if job.scheduler is not None:
            self._with_plan.pop(job.name, None)
            self._with_plan[job.name] = None
        while len(self._with_plan) > PLANS_KEPT:
            oldest = next(iter(self._with_plan))
            del self._with_plan[oldest]
            if oldest in self._reign.jobs:
                self._reign.jobs[oldest].shelve()

    def _forget_the_oldest(self) -> None:
        ended = [job.name for job in self._reign.jobs.values() if job.state.is_final]
        for name in ended[:-ENDED_KEPT]:
            del self._reign.jobs[name]
            self._with_plan.pop(name, None)
            for chore in Chore:
                self._chores.pop((name, chore), None)
