"""What a lost side of the cluster had finished, and which of it counts here.

After `nanoboost recover` the cluster goes on in a new generation, and what the lost side had done
meanwhile is known only to its nodes' disks.  An operator brings it back from there.  **A task that
has a winner here keeps it, and a result of the lost side wins only if all that it has read are
winners here**: the same rule as for every result, so merging a lost frontier is a union that can be
repeated, and never mixes two histories in one output.

How often tasks had failed there is left alone: that may have been the lost side's trouble.
"""

from attrs import frozen

from nanoboost.errors import RemoteError
from nanoboost.frontier import Frontier
from nanoboost.ids import Attempt, AttemptKey, JobId, TaskId
from nanoboost.master.events import Answer
from nanoboost.master.jobs import Job
from nanoboost.master.reign import Reign
from nanoboost.master.results import Results
from nanoboost.wire.messages import RequestRefused
from nanoboost.wire.operating import Salvage, Salvaged

WINDOW = 500
"""Tasks that are looked at for one question: no step of a master may take long."""
RUNS_MAX = 1 << 32
"""Of one task in one term, as for what agents say."""
ATTEMPTS_MAX = 1000
"""Distinct attempts among a job's winners: terms times retries, so a few dozen in real life.  What
is said here may be nonsense, and the whole frontier must go on fitting into one record."""


@frozen
class _Haul:
    """What was taken for one question; its answer waits for the commit."""

    ticket: int
    answer: Salvaged
    tasks: tuple[TaskId, ...]


class Salvaging:
    """Answers `Salvage` in one reign."""

    def __init__(self, reign: Reign, results: Results) -> None:
        self._reign = reign
        self._results = results
        self._hauls: dict[JobId, list[_Haul]] = {}

    def asked(self, now: float, ticket: int, question: Salvage, job: Job) -> None:
        """An operator brings a lost frontier of the job, whose plan has been read."""
        if job.is_ending:
            self.refuse(ticket, question, job)
            return
        try:
            lost = self._read(question, job)
        except RemoteError as error:
            self._answer(ticket, RequestRefused(question.request, str(error)))
            return
        first = max(question.first, job.frontier.watermark)
        end = max(first, min(first + WINDOW, lost.tasks))
        taken = []
        for task in map(TaskId, range(first, end)):
            winner = lost.winner(task)
            if winner is not None and self._counts(job, lost, task, winner, question.term):
                self._results.adopt(now, job, AttemptKey(job.name, task, winner))
                taken.append(task)
        answer = Salvaged(question.request, job.name, len(taken), end)
        if taken:
            self._hauls.setdefault(job.name, []).append(_Haul(ticket, answer, tuple(taken)))
        else:
            self._answer(ticket, answer)

    def refuse(self, ticket: int, question: Salvage, job: Job) -> None:
        """The job is over, or nearly."""
        state = job.proposed or job.state
        reason = f"{job.name} is {state.value} here: there is nothing to bring back"
        self._answer(ticket, RequestRefused(question.request, reason))

    def committed(self, job: Job) -> None:
        """A frontier of the job is committed: whatever is not owed any more is finished."""
        hauls = self._hauls.pop(job.name, [])
        waiting = [haul for haul in hauls if job.ledger.is_owed(haul.tasks[-1])]
        if waiting:
            self._hauls[job.name] = waiting
        for haul in hauls:
            if haul not in waiting:
                for task in haul.tasks:
                    attempt = str(job.frontier.winner(task))
                    self._reign.journal("finished", job=job.name, task=task, attempt=attempt)
                self._answer(haul.ticket, haul.answer)

    def ended(self, job: Job) -> None:
        """The job has ended before the commit that would have counted."""
        for haul in self._hauls.pop(job.name, []):
            reason = f"{job.name} has ended meanwhile ({job.state.value})"
            self._answer(haul.ticket, RequestRefused(haul.answer.request, reason))

    def waiting(self) -> list[tuple[int, int]]:
        """Ticket and request of each client that waits."""
        hauls = [haul for found in self._hauls.values() for haul in found]
        return [(haul.ticket, haul.answer.request) for haul in hauls]

    def _read(self, question: Salvage, job: Job) -> Frontier:
        if question.term >= self._reign.term:
            raise RemoteError(
                f"that node has been in term {question.term}, this cluster is in term "
                f"{self._reign.term}: it is of no lost side, start it again (nanoboost up)"
            )
        if not 0 <= question.first <= job.frontier.tasks:
            raise RemoteError(f"task {question.first} of {job.frontier.tasks}")
        return Frontier.decode(question.frontier, job.frontier.tasks)

    def _counts(self, job: Job, lost: Frontier, task: TaskId, winner: Attempt, term: int) -> bool:
        """Whether the winner there may be the winner here."""
        if job.frontier.is_done(task) or not job.plan_scheduler.is_ready(task):
            return False
        if winner.term > term or not 1 <= winner.n <= RUNS_MAX:
            return False
        if job.frontier.attempts >= ATTEMPTS_MAX:
            return False
        parents = job.plan_scheduler.parents(task)
        return all(lost.winner(parent.task) == parent.attempt for parent in parents)

    def _answer(self, ticket: int, message: object) -> None:
        self._reign.do(Answer(ticket, message))
