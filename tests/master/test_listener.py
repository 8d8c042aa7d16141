"""What reaches the core and what costs a peer its connection."""

from typing import Any

import pytest

from nanoboost.errors import RemoteError
from nanoboost.ids import Attempt, AttemptKey, JobId, TaskId
from nanoboost.master.events import Asked, DoneReceived, HelloReceived
from nanoboost.master.listener import Listener
from nanoboost.wire.messages import AgentHello, GetJob, Outcome, Parent, TaskDone
from tests.master.plans import node

JOB = JobId("job")


def key(task: int, n: int = 1, term: int = 1) -> AttemptKey:
    return AttemptKey(JOB, TaskId(task), Attempt(term, n))


def hello(**facts: Any) -> AgentHello:
    defaults: dict[str, Any] = {"slots": 1, "speed": 1.0, "running": (), "held": (), "fit": ""}
    return AgentHello(term=1, labels=(), draining=False, **{**defaults, **facts})


def done(task: int, *read: int) -> TaskDone:
    parents = tuple(Parent(TaskId(each), Attempt(1, 1)) for each in read)
    return TaskDone(key(task), Outcome.DONE, parents, 1.0, 1.0)


class Client:
    def __init__(self) -> None:
        self.heard: list[object] = []

    def send(self, message: object) -> None:
        self.heard.append(message)


def listener(fed: list[Any]) -> Listener:
    return Listener(fed.append, lambda job: 5 if job == JOB else None)


@pytest.mark.parametrize(
    "nonsense",
    [
        hello(slots=-1),
        hello(slots=100_000),
        hello(speed=0.0),
        hello(speed=1e300),
        hello(fit="x" * 100_000),
        hello(running=(key(5),)),
        hello(held=(key(-1),)),
        hello(running=(key(0, n=0),)),
        hello(running=(key(0, n=(1 << 63) - 1),)),
        hello(held=(key(0, term=-1),)),
        done(5),
        done(-1),
        done(3, 3),
        done(3, -1),
        TaskDone(key(0, term=-1), Outcome.DONE, (), 1.0, 1.0),
        TaskDone(key(0), Outcome.DONE, (), 1e300, 1.0),
        TaskDone(key(0), Outcome.FAILED, (), 1.0, 1.0, "x" * 100_000),
        TaskDone(key(0), Outcome.DONE, (), 1.0, 1e300),
    ],
)
def test_nonsense_is_the_peers_fault(nonsense: AgentHello | TaskDone) -> None:
    fed: list[Any] = []
    with pytest.raises(RemoteError):
        listener(fed).receive(node(1), nonsense)
    assert fed == []


def test_sense_becomes_an_event() -> None:
    fed: list[Any] = []
    found = listener(fed)
    other = AttemptKey(JobId("unknown"), TaskId(99), Attempt(1, 1))
    for message in (hello(running=(key(4), other)), done(3, 0, 2)):
        found.receive(node(1), message)
    assert fed == [
        HelloReceived(node(1), hello(running=(key(4), other))),
        DoneReceived(node(1), done(3, 0, 2)),
    ]


def test_each_client_gets_its_own_answer() -> None:
    fed: list[Any] = []
    found = listener(fed)
    one, two = Client(), Client()
    for client in (one, two):
        found.answer(client, GetJob(1, JOB))
    first, second = fed
    assert (first, second) == (Asked(1, GetJob(1, JOB)), Asked(2, GetJob(1, JOB)))
    found.reply(2, "for two")
    found.reply(1, "for one")
    assert (one.heard, two.heard) == (["for one"], ["for two"])
