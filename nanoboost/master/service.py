"""The shell around the pipeline: consensus, the NAS, the agents, the clients, the journal.

**No decision is made here**: each event is fed to the core, each effect of it done in order, and
each answer of the world becomes the next event.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from nanoboost.config import MasterTiming
from nanoboost.errors import LocalError, NasError, RemoteError
from nanoboost.ids import JobId, NodeId
from nanoboost.master.events import (
    Answer,
    Chore,
    ChoreDone,
    ChoreFailed,
    CleanJob,
    Effect,
    Event,
    FrontierFailed,
    FrontierRead,
    Journal,
    MastershipChanged,
    MemberLost,
    MemberRefused,
    MemberUp,
    PlanRead,
    ProposalRefused,
    Propose,
    PublishResults,
    Question,
    ReadFrontier,
    ReadPlan,
    RecordCommitted,
    Send,
)
from nanoboost.master.listener import Listener, Sender
from nanoboost.master.pipeline import Pipeline
from nanoboost.master.report import AgentView
from nanoboost.nas.messages import Published
from nanoboost.net.pump import Pump
from nanoboost.plan import Plan, plan_reading
from nanoboost.runtime import Runtime
from nanoboost.wire.messages import AgentHello, JobSummary, TaskDone
from nanoboost.wire.records import FrontierSet, JobEntry, Record

PROSE = {
    "submitted": "job {job} is submitted",
    "execute": "{name} of {job} goes to {agent} as attempt {attempt}",
    "done": "task {task} of {job}: attempt {attempt} is {outcome}",
    "refused": "task {task} of {job}: attempt {attempt} has read what did not win",
    "salvaged": "task {task} of {job}: attempt {attempt} of a lost side counts here",
    "finished": "task {task} of {job} is finished for ever by attempt {attempt}",
    "job": "job {job} is {state}",
}
"""How the facts in the journal read."""


class Log(Protocol):
    """What the master needs of consensus."""

    def get_frontier(self) -> "Deferred[tuple[JobEntry, ...]]":
        """All that is committed; fails with `LocalError` if this node is not the master."""

    def set_frontier(self, term: int, job: JobId, frontier: bytes) -> bool:
        """Put a job's frontier into the log; False if refused."""

    def propose(self, term: int, record: Record) -> bool:
        """Put a record into the log; False if refused."""

    def catch_up(self) -> None:
        """Notice now if this process has slept: a master that did is none any more."""


class Shared(Protocol):
    """What the master needs of the NAS; failures are `NasError`."""

    def read_plan(self, digest: str) -> "Deferred[bytes]":
        """The plan with this SHA-256."""

    def publish(self, results: tuple[Published, ...]) -> "Deferred[None]":
        """Bring results to the users' names."""

    def clean(self, job: JobId) -> "Deferred[None]":
        """Remove what a job's attempts have left."""


class Master(Service):
    """The master of one node: it works while the node is master, and waits while it is not."""

    _log = Logger()

    def __init__(
        self,
        me: NodeId,
        timing: MasterTiming,
        runtime: Runtime,
        send: Callable[[NodeId, object], None],
        consensus: Log,
        nas: Shared,
        crashed: Callable[[Failure], None],
    ) -> None:
        self._clock = runtime.reactor
        self._send = send
        self._consensus = consensus
        self._nas = nas
        self._crashed = crashed
        self._pipeline = Pipeline(me, timing)
        self._pump: Pump[Event, Effect] = Pump(
            self._pipeline, runtime.reactor, self._perform, crashed, ahead=consensus.catch_up
        )
        self._listener = Listener(self._pump.feed, self._pipeline.tasks_of)

    # --- life ------------------------------------------------------------------------------------

    def startService(self) -> None:
        """Begin to listen."""
        super().startService()
        self._pump.start()

    def stopService(self) -> None:
        """Take no more events."""
        super().stopService()
        self._pump.stop()

    # --- what the node tells ---------------------------------------------------------------------

    def receive(self, sender: NodeId, message: AgentHello | TaskDone) -> None:
        """An agent speaks.  Raises `RemoteError` if that is nonsense."""
        self._listener.receive(sender, message)

    def answer(self, session: Sender, question: Question) -> None:
        """A client asks; it is answered on `session`, now or later."""
        self._listener.answer(session, question)

    def member_up(self, node: NodeId, name: str) -> None:
        """A member is there (again)."""
        self._pump.feed(MemberUp(node, name))

    def member_down(self, node: NodeId) -> None:
        """A member is dead, or has left."""
        self._pump.feed(MemberLost(node))

    def member_refused(self, node: NodeId) -> None:
        """A member's host refuses our connection."""
        self._pump.feed(MemberRefused(node))

    def mastership_changed(self, term: int, is_me: bool) -> None:
        """Who is master has changed."""
        self._pump.feed(MastershipChanged(term, is_me))

    def committed(self, term: int, record: Record) -> None:
        """A record was applied."""
        self._pump.feed(RecordCommitted(term, record))

    # --- what others may look at -----------------------------------------------------------------

    def agents(self) -> Mapping[NodeId, AgentView]:
        """The agents, if this node is master."""
        return self._pipeline.agents(self._clock.seconds())

    def summaries(self) -> tuple[JobSummary, ...]:
        """The jobs, if this node is master."""
        return self._pipeline.summaries()

    # --- effects ---------------------------------------------------------------------------------

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Send(node, message):
                self._send(node, message)
            case Propose(term, record):
                self._propose(term, record)
            case Answer(ticket, message):
                self._listener.reply(ticket, message)
            case Journal(event, facts):
                self._log.info(PROSE[event], event=event, **dict(facts))
            case ReadFrontier(term):
                self._consensus.get_frontier().addCallbacks(
                    lambda entries: self._pump.feed(FrontierRead(term, entries)),
                    lambda failure: self._unread(term, failure),
                )
            case ReadPlan(job, digest):
                Deferred.fromCoroutine(self._read_plan(digest)).addCallbacks(
                    lambda found: self._pump.feed(PlanRead(job, digest, found)),
                    lambda failure: self._failed(job, Chore.PLAN, failure),
                )
            case PublishResults(job, results):
                self._watch(self._nas.publish(results), job, Chore.PUBLISH)
            case CleanJob(job):
                self._watch(self._nas.clean(job), job, Chore.CLEAN)

    async def _read_plan(self, digest: str) -> Plan:
        """Decode a part a turn of the reactor: heartbeats go on meanwhile."""
        plan = None
        for plan in plan_reading(await self._nas.read_plan(digest), digest):
            if plan is None:
                await deferLater(self._clock, 0)
        assert plan is not None, "the last that is read is the plan"
        return plan

    def _propose(self, term: int, record: Record) -> None:
        if isinstance(record, FrontierSet):
            taken = self._consensus.set_frontier(term, record.job, record.frontier)
        else:
            taken = self._consensus.propose(term, record)
        if not taken:
            self._pump.feed(ProposalRefused(term, record))

    def _unread(self, term: int, failure: Failure) -> None:
        if failure.check(LocalError):
            self._pump.feed(FrontierFailed(term))
        else:
            self._crashed(failure)

    def _watch(self, work: "Deferred[None]", job: JobId, chore: Chore) -> None:
        work.addCallbacks(
            lambda _: self._pump.feed(ChoreDone(job, chore)),
            lambda failure: self._failed(job, chore, failure),
        )

    def _failed(self, job: JobId, chore: Chore, failure: Failure) -> None:
        if failure.check(NasError, RemoteError):
            self._pump.feed(ChoreFailed(job, chore, failure.getErrorMessage()))
        elif self.running:
            self._crashed(failure)
