"""The agent's shell: from a master's word to a child, and back to the master and the journal."""

from typing import Any

import pytest
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

from nanoboost.agent.messages import AttemptEnded, ChildReady
from nanoboost.agent.runner import CROSSING_S
from nanoboost.agent.service import SHUT_DOWN_S, Agent
from nanoboost.config import NodeConfig
from nanoboost.ids import Address, Attempt, AttemptKey, JobId, NodeId, TaskId
from nanoboost.wire.messages import (
    NODE_DIED,
    Acknowledge,
    AgentHello,
    Execute,
    MasterHere,
    Outcome,
    TaskDone,
)
from tests.agent.fakes import PuppetReactor, runtime

ME, MASTER = NodeId("1" * 16), NodeId("2" * 16)
KEY = AttemptKey(JobId("job"), TaskId(3), Attempt(1, 1))
NEXT = AttemptKey(JobId("job"), TaskId(4), Attempt(2, 1))
EXECUTE = Execute(1, KEY, "plan", "code", (), 0.0, "Nap-0003")


class Bench:
    """An agent, its children's strings, and what it said to whom."""

    def __init__(self) -> None:
        self.reactor = PuppetReactor()
        self.said: list[tuple[NodeId, object]] = []
        self.crashes: list[Failure] = []
        self.runtime = runtime(self.reactor)
        self.start()

    def start(self) -> None:
        """The node's process, on the disk that it has."""
        config = NodeConfig(
            name="one",
            state_dir="/state",
            nas_dir="/nas",
            listen=Address("127.0.0.1", 0),
            labels=("gpu",),
            slots=1,
        )
        self.agent = Agent(
            ME,
            config,
            self.runtime,
            lambda node, message: self.said.append((node, message)),
            self.crashes.append,
        )
        self.agent.startService()


@implementer(ILogObserver)
class Records:
    """A log observer that keeps what a journal would."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    def __call__(self, event: LogEvent) -> None:
        if "event" in event:
            self.seen.append({name: event[name] for name in event if not name.startswith("log_")})


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_the_walk_of_an_attempt(bench: Bench) -> None:
    records = Records()
    globalLogPublisher.addObserver(records)
    try:
        bench.agent.receive(MASTER, MasterHere(1))
        bench.agent.receive(MASTER, EXECUTE)
        (puppet,) = bench.reactor.puppets
        bench.reactor.advance(2.0)
        puppet.says(ChildReady(), AttemptEnded(KEY, Outcome.DONE, (), 1.5))
    finally:
        globalLogPublisher.removeObserver(records)
    assert bench.said == [
        (MASTER, AgentHello(1, 1, 0.5, ("gpu",), (), (), "", False)),
        (MASTER, TaskDone(KEY, Outcome.DONE, (), 2.0, 1.5)),
    ]
    facts = {"job": "job", "task": 3, "attempt": "1.1"}
    assert records.seen == [
        {"event": "started", "name": "Nap-0003", **facts},
        {"event": "ended", "outcome": "DONE", **facts},
    ]
    assert bench.crashes == []


def test_a_node_that_starts_again_tells_what_it_had_run(bench: Bench) -> None:
    bench.agent.receive(MASTER, EXECUTE)
    bench.reactor.advance(0.01)
    bench.start()
    bench.agent.receive(MASTER, MasterHere(2))
    lost = TaskDone(KEY, Outcome.LOST, (), 0.0, 0.0, NODE_DIED)
    assert bench.said[-1] == (MASTER, lost)
    bench.agent.receive(MASTER, Acknowledge(2, (KEY,)))
    bench.agent.receive(MASTER, Execute(2, NEXT, "plan", "code", (), 0.0, "Nap-0004"))
    bench.reactor.advance(0.01)
    bench.start()
    bench.agent.receive(MASTER, MasterHere(3))
    hello = AgentHello(3, 1, 0.5, ("gpu",), (), (NEXT,), "", False)
    assert (MASTER, hello) in bench.said, "and not what a master has counted"


def test_a_start_that_fails_is_told_as_well(bench: Bench) -> None:
    bench.reactor.has_no_room = True
    bench.agent.receive(MASTER, EXECUTE)
    _, done = bench.said[-1]
    assert isinstance(done, TaskDone)
    assert done.outcome is Outcome.UNFIT


def test_draining_is_over_when_the_last_result_is_acknowledged(bench: Bench) -> None:
    bench.agent.receive(MASTER, EXECUTE)
    first, second = bench.agent.drain(), bench.agent.drain()
    bench.reactor.puppets[0].says(ChildReady(), AttemptEnded(KEY, Outcome.DONE, (), 1.5))
    assert not first.called
    bench.agent.receive(MASTER, Acknowledge(1, (KEY,)))
    bench.reactor.advance(CROSSING_S)
    assert first.called
    assert second.called


def test_an_unfit_nas_is_told(bench: Bench) -> None:
    bench.agent.receive(MASTER, MasterHere(1))
    bench.agent.nas_changed("not mounted")
    assert bench.said[-1] == (
        MASTER,
        AgentHello(1, 1, 0.5, ("gpu",), (), (), "not mounted", False),
    )


def test_stopping_kills_what_runs_and_says_nothing_more(bench: Bench) -> None:
    bench.agent.receive(MASTER, EXECUTE)
    (puppet,) = bench.reactor.puppets
    said = len(bench.said)
    stopped = bench.agent.stopService()
    assert bench.reactor.killed == [puppet.pid]
    assert not stopped.called
    puppet.ends(signal=9)
    assert stopped.called
    assert len(bench.said) == said
    bench.reactor.advance(0.01)  # the disk notes that nothing was lost
    assert bench.reactor.getDelayedCalls() == []


def test_stopping_does_not_wait_for_a_child_that_cannot_be_killed(bench: Bench) -> None:
    bench.agent.receive(MASTER, EXECUTE)
    stopped = bench.agent.stopService()
    bench.reactor.advance(SHUT_DOWN_S)
    assert stopped.called
