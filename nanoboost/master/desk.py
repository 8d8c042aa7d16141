"""Where clients are answered: a submission goes into the log first, a question waits for the plan.

**`Submitted` is said only after the job is committed, `Cancelled` only after its end is**; asking
again, of this master or the next, is harmless.
"""

from attrs import define, field

from nanoboost.ids import DIGEST, JOB_ID, JobId
from nanoboost.master.closing import Closing
from nanoboost.master.events import Answer, Question, ReadPlan
from nanoboost.master.jobs import Job
from nanoboost.master.reign import Reign
from nanoboost.master.report import job_report, task_found
from nanoboost.master.salvage import Salvaging
from nanoboost.plan import Plan
from nanoboost.wire.messages import (
    Cancel,
    Cancelled,
    FindTask,
    GetJob,
    NotMaster,
    RequestRefused,
    Submit,
    Submitted,
)
from nanoboost.wire.operating import Salvage
from nanoboost.wire.records import JobSubmitted

GRAPH_NAME_MAX = 200
ERROR_MAX = 300
PARENTS_MAX = 18_000
"""An Execute names the winners of all parents, and a message has 100 000 items at most."""


@define(eq=False)
class _Submission:
    """A job on its way into the log; `plan` once that has been read."""

    submit: Submit
    plan: Plan | None = None
    asking: list[tuple[int, int]] = field(factory=list)
    """Ticket and request of each client that waits."""


class Desk:
    """Answers the clients of one term."""

    def __init__(self, reign: Reign, closing: Closing, salvaging: Salvaging) -> None:
        self._reign = reign
        self._closing = closing
        self._salvaging = salvaging
        self._submissions: dict[JobId, _Submission] = {}
        self._cancels: dict[JobId, list[tuple[int, int]]] = {}
        self._askers: dict[JobId, list[tuple[int, GetJob | FindTask | Salvage]]] = {}

    # --- questions -------------------------------------------------------------------------------

    def asked(self, now: float, ticket: int, question: Question) -> None:
        """A client asks."""
        if isinstance(question, Submit):
            self._submit(ticket, question)
            return
        job = self._reign.jobs.get(question.job)
        if job is None:
            self._refuse(ticket, question.request, f"there is no job {question.job}")
        elif isinstance(question, Cancel):
            self._cancel(ticket, question, job)
        elif isinstance(question, Salvage) and job.is_ending:
            self._salvaging.refuse(ticket, question, job)
        elif job.scheduler is None and (job.state.is_final or not isinstance(question, GetJob)):
            self._askers.setdefault(job.name, []).append((ticket, question))
            self._closing.want_plan(now, job)
        else:
            self._report(now, ticket, question, job)

    def _submit(self, ticket: int, submit: Submit) -> None:
        complaint = _complaint(submit)
        job = self._reign.jobs.get(submit.job)
        submission = self._submissions.get(submit.job)
        if job is not None:
            if job.submitted.plan != submit.plan:
                complaint = f"there is another job {submit.job}, with another plan"
        elif submission is not None and submission.submit.plan != submit.plan:
            complaint = f"another job {submit.job}, with another plan, is being submitted"
        if complaint:
            self._refuse(ticket, submit.request, complaint)
        elif job is not None:
            self._answer(ticket, Submitted(submit.request, submit.job))
        elif submission is not None:
            submission.asking.append((ticket, submit.request))
        else:
            asking = [(ticket, submit.request)]
            self._submissions[submit.job] = _Submission(submit, None, asking)
            self._reign.do(ReadPlan(submit.job, submit.plan))

    def _cancel(self, ticket: int, question: Cancel, job: Job) -> None:
        if job.state.is_final:
            self._answer(ticket, Cancelled(question.request, job.name, job.state.value))
        else:
            self._cancels.setdefault(job.name, []).append((ticket, question.request))
            self._closing.cancel(job)

    def _report(
        self, now: float, ticket: int, question: GetJob | FindTask | Salvage, job: Job
    ) -> None:
        if isinstance(question, GetJob):
            self._answer(ticket, job_report(now, self._reign, job, question.request))
            return
        if isinstance(question, Salvage):
            self._salvaging.asked(now, ticket, question, job)
            return
        task = job.plan_scheduler.find(question.task)
        if task is None:
            reason = f"{job.name} has no task {question.task[:100]}"
            self._refuse(ticket, question.request, reason)
        else:
            self._answer(ticket, task_found(self._reign, job, task, question.request))

    # --- what they wait for ----------------------------------------------------------------------

    def is_submitting(self, job: JobId) -> bool:
        """Whether the job is on its way into the log."""
        return job in self._submissions

    def submission_read(self, name: JobId, digest: str, plan: Plan) -> None:
        """The plan of a submission is here: into the log with the job."""
        submission = self._submissions[name]
        if submission.submit.plan != digest:
            return  # read for an earlier reign
        widest = max(len(task.parents) for task in plan.tasks)
        if widest > PARENTS_MAX:
            reason = f"a task with {widest} parents, but at most {PARENTS_MAX} can be told"
            self.submission_failed(name, reason)
        elif submission.plan is None:
            submission.plan = plan
            submit = submission.submit
            self._reign.propose(
                JobSubmitted(
                    submit.job,
                    submit.graph,
                    submit.plan,
                    submit.code,
                    submit.priority,
                    len(plan.tasks),
                )
            )

    def submission_failed(self, name: JobId, reason: str) -> None:
        """The plan of a submission cannot be read."""
        submission = self._submissions.get(name)
        if submission is not None and submission.plan is None:
            del self._submissions[name]
            for ticket, request in submission.asking:
                self._refuse(ticket, request, f"the plan cannot be used: {reason[:ERROR_MAX]}")

    def submitted(self, name: JobId) -> Plan | None:
        """The job is committed: tell those who wait; return its plan."""
        submission = self._submissions.pop(name, None)
        if submission is None:
            return None
        for ticket, request in submission.asking:
            self._answer(ticket, Submitted(request, name))
        return submission.plan

    def progressed(self, job: Job) -> None:
        """A frontier of the job is committed."""
        self._salvaging.committed(job)

    def ended(self, job: Job) -> None:
        """The job's end is committed: tell those who cancelled it."""
        self._salvaging.ended(job)
        for ticket, request in self._cancels.pop(job.name, ()):
            self._answer(ticket, Cancelled(request, job.name, job.state.value))

    def plan_read(self, now: float, job: Job) -> None:
        """The plan for which questions waited is here."""
        for ticket, question in self._askers.pop(job.name, ()):
            self._report(now, ticket, question, job)

    def plan_failed(self, now: float, job: Job, reason: str) -> None:
        """It cannot be read: answer what can be answered without it."""
        for ticket, question in self._askers.pop(job.name, ()):
            if isinstance(question, GetJob):
                self._report(now, ticket, question, job)
            else:
                text = f"the plan of {job.name} cannot be read: {reason[:ERROR_MAX]}"
                self._refuse(ticket, question.request, text)

    def close(self) -> None:
        """The reign is over: whoever waits must ask the next master."""
        waiting = [each for found in self._submissions.values() for each in found.asking]
        waiting += [each for found in self._cancels.values() for each in found]
        for asked in self._askers.values():
            waiting += [(ticket, question.request) for ticket, question in asked]
        waiting += self._salvaging.waiting()
        for ticket, request in waiting:
            self._answer(ticket, NotMaster(request, "", 0))

    def _answer(self, ticket: int, message: object) -> None:
        self._reign.do(Answer(ticket, message))

    def _refuse(self, ticket: int, request: int, reason: str) -> None:
        self._answer(ticket, RequestRefused(request, reason))


def _complaint(submit: Submit) -> str:
    """What is wrong with a submission on the face of it."""
    if not JOB_ID.fullmatch(submit.job):
        return "a job's id has up to 80 small letters, digits and '-'"
    if not DIGEST.fullmatch(submit.plan) or not DIGEST.fullmatch(submit.code):
        return "plan and code are named by their SHA-256"
    if not 0 < len(submit.graph) <= GRAPH_NAME_MAX:
        return f"a graph's name has 1 to {GRAPH_NAME_MAX} characters"
    return ""
