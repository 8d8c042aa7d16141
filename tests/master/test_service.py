"""The shell: a master with a clock, a log and a NAS that are fakes."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure

from nanoboost.config import MasterTiming
from nanoboost.errors import LocalError, NasError
from nanoboost.ids import Attempt, AttemptKey, JobId, NodeId, TaskId
from nanoboost.master.service import PROSE, Master
from nanoboost.nas.messages import Published
from nanoboost.plan import encode_plan, plan_digest
from nanoboost.wire.messages import (
    Acknowledge,
    AgentHello,
    Execute,
    GetJob,
    JobReport,
    JobState,
    MasterHere,
    NotMaster,
    Outcome,
    RequestRefused,
    Submit,
    Submitted,
    TaskDone,
)
from nanoboost.wire.records import FrontierSet, JobEntry, Record
from tests.master.plans import CODE, node, plan

ME = node(1)
JOB = JobId("job")
PLAN = encode_plan(plan([[]]))
SUBMIT = Submit(1, JOB, "Graph", plan_digest(PLAN), CODE, 0)
TIMING = MasterTiming(0.02, 1.0, 0.25)


class Log:
    """A log of one: what is taken is committed when the clock moves."""

    def __init__(self) -> None:
        self.taken: list[Record] = []
        self.frontier: Deferred[tuple[JobEntry, ...]] = succeed(())
        self.refuses = False
        self.overdue: Callable[[], None] = lambda: None

    def get_frontier(self) -> "Deferred[tuple[JobEntry, ...]]":
        return self.frontier

    def set_frontier(self, term: int, job: JobId, frontier: bytes) -> bool:
        return self.propose(term, FrontierSet(job, frontier))

    def catch_up(self) -> None:
        self.overdue()

    def propose(self, term: int, record: Record) -> bool:
        if not self.refuses:
            self.taken.append(record)
        return not self.refuses


class Nas:
    """A shared directory with one plan; `trouble` is what it answers instead."""

    def __init__(self) -> None:
        self.trouble: Exception | None = None
        self.published: list[tuple[Published, ...]] = []
        self.cleaned: list[JobId] = []
        self.plan = PLAN

    def read_plan(self, digest: str) -> "Deferred[bytes]":
        return fail(self.trouble) if self.trouble else succeed(self.plan)

    def publish(self, results: tuple[Published, ...]) -> "Deferred[None]":
        self.published.append(results)
        return fail(self.trouble) if self.trouble else succeed(None)

    def clean(self, job: JobId) -> "Deferred[None]":
        self.cleaned.append(job)
        return fail(self.trouble) if self.trouble else succeed(None)


class Client:
    def __init__(self) -> None:
        self.heard: list[Any] = []

    def send(self, message: object) -> None:
        self.heard.append(message)


class World:
    """A running master and its surroundings."""

    def __init__(self) -> None:
        self.clock, self.log, self.nas, self.client = Clock(), Log(), Nas(), Client()
        self.sent: list[Any] = []
        self.crashes: list[Failure] = []
        runtime: Any = SimpleNamespace(reactor=self.clock)

        def send(to: NodeId, message: object) -> None:
            self.sent.append(message)

        self.master = Master(ME, TIMING, runtime, send, self.log, self.nas, self.crashes.append)
        self.master.startService()
        self.master.member_up(ME, "one")

    def elect(self) -> None:
        self.master.mastership_changed(1, True)
        hello = AgentHello(1, 1, 1.0, (), (), (), "", False)
        self.master.receive(ME, hello)

    def commit(self) -> None:
        while self.log.taken:
            self.master.committed(1, self.log.taken.pop(0))

    def answer(self, question: Any) -> Any:
        self.master.answer(self.client, question)
        self.clock.advance(0)  # the plan is decoded a part a turn
        self.commit()
        return self.client.heard[-1]


def test_a_job_runs_from_its_submission_to_its_end() -> None:
    records: list[dict[str, Any]] = []
    globalLogPublisher.addObserver(records.append)  # type: ignore[arg-type]
    try:
        world = World()
        world.elect()
        assert world.sent == [MasterHere(1)]
        assert world.answer(SUBMIT) == Submitted(1, JOB)
        key = AttemptKey(JOB, TaskId(0), Attempt(1, 1))
        assert [type(each) for each in world.sent] == [MasterHere, Execute]
        assert world.master.agents()[ME].busy == 1
        world.master.receive(ME, TaskDone(key, Outcome.DONE, (), 1.0, 1.0))
        world.commit()
    finally:
        globalLogPublisher.removeObserver(records.append)  # type: ignore[arg-type]
    assert world.sent[-1] == Acknowledge(1, (key,))
    assert world.nas.published == [(Published(key, ("0.out",)),)]
    assert world.nas.cleaned == [JOB]
    (summary,) = world.master.summaries()
    assert summary.state is JobState.DONE
    told = [record["event"] for record in records if "event" in record]
    assert told == ["submitted", "execute", "done", "finished", "job", "job"]
    assert set(told) < set(PROSE)
    assert world.crashes == []


def test_a_master_that_slept_hears_of_its_end_before_anything_else() -> None:
    world = World()
    world.elect()
    world.answer(SUBMIT)
    sent = list(world.sent)

    # Its agent's result lay in the socket while another was elected.
    def notice() -> None:
        world.log.overdue = lambda: None
        world.master.mastership_changed(1, False)

    world.log.overdue = notice
    key = AttemptKey(JOB, TaskId(0), Attempt(1, 1))
    world.master.receive(ME, TaskDone(key, Outcome.CANCELLED, (), 1.0, 1.0))
    assert world.sent == sent, "no other attempt"


def test_a_plan_that_is_missing_or_another_is_refused() -> None:
    world = World()
    world.elect()
    world.nas.trouble = NasError("no such plan")
    assert world.answer(SUBMIT) == RequestRefused(1, "the plan cannot be used: no such plan")
    world.nas.trouble, world.nas.plan = None, PLAN + b"!"
    refused = world.answer(SUBMIT)
    assert isinstance(refused, RequestRefused)
    assert "digest" in refused.reason
    assert world.crashes == []


def test_what_the_log_refuses_is_tried_again_by_the_clock() -> None:
    world = World()
    world.elect()
    world.log.refuses = True
    world.master.answer(world.client, SUBMIT)
    world.log.refuses = False
    assert world.log.taken == []
    world.clock.advance(0.2)
    world.commit()
    assert world.client.heard == [Submitted(1, JOB)]


def test_a_barrier_that_fails_is_tried_again_and_clients_wait_meanwhile() -> None:
    world = World()
    world.log.frontier = fail(LocalError("not the master"))
    world.master.mastership_changed(1, True)
    assert world.answer(GetJob(1, JOB)) == NotMaster(1, "", 0)
    world.log.frontier = succeed(())
    world.clock.advance(0.1)
    assert world.sent == [MasterHere(1)]


def test_publishing_that_fails_is_told_and_tried_again() -> None:
    world = World()
    world.elect()
    world.answer(SUBMIT)
    world.nas.trouble = NasError("No space left on device")
    key = AttemptKey(JOB, TaskId(0), Attempt(1, 1))
    world.master.receive(ME, TaskDone(key, Outcome.DONE, (), 1.0, 1.0))
    world.commit()
    report = world.answer(GetJob(2, JOB))
    assert isinstance(report, JobReport)
    assert (report.state, "No space left" in report.note) == (JobState.PUBLISHING, True)
    world.nas.trouble = None
    world.clock.advance(1.0)
    world.commit()
    assert world.answer(GetJob(3, JOB)).state is JobState.DONE


def test_a_bug_stops_the_node_and_not_just_the_job() -> None:
    world = World()
    world.elect()
    world.nas.trouble = ZeroDivisionError("a bug")
    world.master.answer(world.client, SUBMIT)
    (crash,) = world.crashes
    assert crash.check(ZeroDivisionError)


def test_a_stopped_master_does_nothing() -> None:
    world = World()
    world.elect()
    world.master.stopService()
    world.master.answer(world.client, SUBMIT)
    world.clock.advance(10.0)
    assert world.client.heard == []
    assert world.clock.getDelayedCalls() == []
