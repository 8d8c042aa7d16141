"""Bugs of the master and of the agents: what runs where, and what of it counts."""

from typing import Any
from unittest.mock import patch

from nanoboost.agent import runner
from nanoboost.agent.runner import Runner
from nanoboost.frontier import Frontier
from nanoboost.ids import NodeId, TaskId
from nanoboost.master.closing import Closing
from nanoboost.master.events import Chore
from nanoboost.master.jobs import Job
from nanoboost.master.reign import Reign
from nanoboost.master.scheduler import Scheduler
from nanoboost.master.takeover import Takeover
from nanoboost.wire.messages import JobState, Parent
from tests.simulations.planting import Patches, planted


@planted("master", "a lost agent's attempts are waited for", "monkey", "L3", 2, 10)
def _() -> Patches:
    with patch.object(Reign, "lose", lambda self, runs: None):
        yield


@planted("master", "a new master starts from an empty frontier", "failover", "F2", 0, 5)
def _() -> Patches:
    inherited = Job.inherited

    def begin(entry: Any) -> Job:
        job = inherited(entry)
        job.frontier = Frontier.empty(entry.submitted.tasks)
        return job

    with patch.object(Job, "inherited", begin):
        yield


@planted("master", "the number of an attempt is used again", "monkey", "T1", 0, 5)
def _() -> Patches:
    next_attempt = Job.next_attempt

    def again(self: Job, task: TaskId, term: int) -> Any:
        self.started.pop(task, None)
        return next_attempt(self, task, term)

    with patch.object(Job, "next_attempt", again):
        yield


@planted("master", "a task starts before its last parent is done", "calm", "T3", 0, 5)
def _() -> Patches:
    finish = Scheduler.finish

    def known(self: Scheduler, task: TaskId) -> tuple[Parent, ...]:
        found = ((each, self._frontier.winner(each)) for each in self._family.parents[task])
        return tuple(Parent(each, winner) for each, winner in found if winner is not None)

    def hasty(self: Scheduler, task: TaskId, attempt: Any) -> list[TaskId]:
        finish(self, task, attempt)
        return list(self._family.children[task])

    with (
        patch.object(Scheduler, "finish", hasty),
        patch.object(Scheduler, "is_ready", lambda self, task: True),
        patch.object(Scheduler, "parents", known),
    ):
        yield


@planted("master", "a failed attempt is not counted", "user_crash", "L3 T4", 4, 20)
def _() -> Patches:
    def fail(self: Frontier, *_: Any, **__: Any) -> int:
        return 0

    with patch.object(Frontier, "fail", fail):
        yield


@planted("master", "a job is done before its results are published", "calm", "T2", 0, 5)
def _() -> Patches:
    want = Closing._want

    def skip(self: Closing, now: float, job: Job, chore: Chore) -> None:
        if chore is Chore.PUBLISH:
            self.move(job, JobState.DONE)
        else:
            want(self, now, job, chore)

    with patch.object(Closing, "_want", skip):
        yield


@planted("master", "agents are asked in the order of a set", "failover", "S4", 0, 5, elsewhere=True)
def _() -> Patches:
    ask = Takeover.ask

    def leak(self: Takeover, now: float, busy: Any) -> list[NodeId]:
        return list({*ask(self, now, busy)})

    with patch.object(Takeover, "ask", leak):
        yield


@planted("master", "the end of an attempt counts each time it is told", "user_crash", "T7", 0, 5)
def _() -> Patches:
    counts = patch.object(Job, "has_ended", lambda self, key: False)
    with counts, patch.object(runner, "RESEND_S", 0.001):
        yield


@planted("agent", "any master is obeyed, an old one too", "asymmetric", "M2", 0, 5)
def _() -> Patches:
    def obeys(self: Runner, now: float, sender: NodeId, message: Any) -> bool:
        if message.term != self._term or sender != self._master:
            self._term, self._master = message.term, sender
            self._introduce(now)
        return True

    with patch.object(Runner, "_obeys", obeys):
        yield


@planted("agent", "a result is forgotten once it has been told", "failover", "T8", 0, 5)
def _() -> Patches:
    tell = Runner._tell

    def forget(self: Runner, now: float, key: Any) -> None:
        tell(self, now, key)
        del self._held[key]

    with patch.object(Runner, "_tell", forget):
        yield


@planted("agent", "who can keep no more results does not say so", "identity_clash", "S2", 0, 5)
def _() -> Patches:
    def fit(self: Runner) -> str:
        return self._fit

    with patch.object(runner, "HELD_MAX", 1), patch.object(Runner, "_fit_now", property(fit)):
        yield
