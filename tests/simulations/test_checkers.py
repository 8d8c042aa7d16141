"""Controls: each checker sees what it is for, and does not see what is allowed."""

import hashlib
from collections.abc import Callable

import pytest
from attrs import evolve

from nanoboost.frontier import Frontier
from nanoboost.ids import Attempt, JobId, NodeId, TaskId
from nanoboost.wire.messages import JobState
from nanoboost.wire.records import JobEntry, JobSubmitted
from simulations.checkers.disks import FailedDiskEndsTheNode
from simulations.checkers.frontiers import AttemptsAreUnique, FinishedIsForEver
from simulations.checkers.judge import Broken, Checker
from simulations.checkers.masters import (
    CutOffMasterCommitsNothing,
    NobodyObeysAnOldMaster,
    OneMasterATerm,
)
from simulations.checkers.repeats import SaidTwiceCountsOnce
from simulations.checkers.tasks import (
    FailuresAreCounted,
    InputsComeFirst,
    NobodyIsOverworked,
    WinnersArePublished,
)
from simulations.kernel.journal import Record
from simulations.kernel.world import MS
from simulations.stage.jobs import film

IDS = {NodeId("a"): "one", NodeId("b"): "other"}


def said(node: str, event: str, **facts: object) -> Record:
    return Record(0, node, event, dict(facts))


def master(node: str, term: int) -> Record:
    name = next(each for each in IDS if IDS[each] == node)
    return said(node, "mastership", term=term, master=name, is_me=True)


def execute(term: int, n: int = 1, task: int = 3) -> Record:
    return said("one", "execute", job="j", task=task, attempt=f"{term}.{n}", term=term)


def started(node: str, attempt: str) -> Record:
    return said(node, "started", job="j", task=3, attempt=attempt)


def finished(node: str, attempt: str) -> Record:
    return said(node, "finished", job="j", task=3, attempt=attempt)


def minority() -> Checker:
    return CutOffMasterCommitsNothing(lambda node: node == "one")


JOBS = {"j": film(2)}  # split 0, chunks 1 and 2, join 3; two retries


def ended(node: str, task: int, outcome: str) -> Record:
    return said(node, "ended", job="j", task=task, attempt="1.1", outcome=outcome)


def starts(node: str, task: int, n: int = 1) -> Record:
    return said(node, "started", job="j", task=task, attempt=f"1.{n}")


def published(attempt: str) -> Record:
    return said("one", "published", job="j", task=3, attempt=attempt, path="film")


def job(state: str) -> Record:
    return said("one", "job", job="j", state=state)


def inputs() -> Checker:
    return InputsComeFirst(JOBS)


def failures() -> Checker:
    return FailuresAreCounted(JOBS)


def winners() -> Checker:
    return WinnersArePublished({("j", 3): "2.1"})


def twice() -> Checker:
    return SaidTwiceCountsOnce(JOBS)


def done(node: str, attempt: str, outcome: str = "DONE") -> Record:
    return said(node, "done", job="j", task=3, attempt=attempt, outcome=outcome)


def later(record: Record, ms: int) -> Record:
    return evolve(record, at=ms * MS)


def down(name: str) -> Record:
    return Record(0, "world", "down", {"node": name})


FAILED = said("one", "disk_failed", why="input/output error")
WON = [master("one", 1), execute(1), done("one", "1.1")]


def failed(*attempts: str) -> list[Record]:
    facts = {"job": "j", "task": 3, "outcome": "FAILED"}
    return [said("one", "ended", attempt=attempt, **facts) for attempt in attempts]


def crashed(times: int) -> list[Record]:
    facts = {"job": "j", "task": 3, "outcome": "CRASHED"}
    return [said("one", "ended", attempt=f"1.{n + 1}", **facts) for n in range(times)]


def executed(times: int) -> list[Record]:
    return [execute(1, n + 1) for n in range(times)]


ALLOWED: list[tuple[Callable[[], Checker], list[Record]]] = [
    (lambda: OneMasterATerm(IDS), [master("one", 1), master("other", 2), master("one", 1)]),
    (NobodyObeysAnOldMaster, [started("one", "2.1"), started("other", "1.9")]),
    (FinishedIsForEver, [master("one", 2), execute(2), finished("one", "2.1"), execute(1)]),
    (FinishedIsForEver, [master("one", 2), finished("one", "2.1"), finished("one", "2.1")]),
    (AttemptsAreUnique, [execute(1, 1), started("one", "1.1"), execute(1, 2), execute(2, 1)]),
    (minority, [finished("other", "1.1"), execute(1)]),
    (inputs, [starts("one", 0), ended("one", 0, "DONE"), starts("other", 2)]),
    (failures, [*[ended("one", 1, "CRASHED")] * 5, starts("one", 1)]),
    (
        lambda: NobodyIsOverworked(lambda node: 1),
        [starts("one", 0), ended("one", 0, "DONE"), starts("one", 1)],
    ),
    (winners, [published("2.1"), job("done"), job("done")]),
    (twice, [*WON, finished("one", "1.1")]),
    (twice, [*WON, master("other", 2), done("other", "1.1"), finished("other", "1.1")]),
    (twice, [*WON[:2], done("one", "1.1", "CRASHED"), execute(1, 2), done("one", "1.2")]),
    (twice, [*WON[:2], done("one", "1.1", "LOST"), done("one", "1.1")]),  # a copy had said so
    (twice, [master("one", 1), *executed(3), *failed("1.1", "1.2", "1.3"), job("failed")]),
    (twice, [master("one", 1), *executed(11), job("failed")]),  # all nodes may have died
    (twice, [master("one", 1), *executed(6), *crashed(6), job("failed")]),
    (
        FailedDiskEndsTheNode,
        [FAILED, down("one"), later(said("one", "listening"), 2000)],
    ),
]
FORBIDDEN: list[tuple[Callable[[], Checker], list[Record]]] = [
    (lambda: OneMasterATerm(IDS), [master("one", 1), master("other", 1)]),
    (NobodyObeysAnOldMaster, [started("one", "2.1"), started("one", "1.9")]),
    (FinishedIsForEver, [master("one", 2), finished("one", "2.1"), execute(2, 2)]),
    (FinishedIsForEver, [master("one", 2), finished("one", "2.1"), execute(3)]),
    (FinishedIsForEver, [master("one", 2), finished("one", "2.1"), finished("one", "2.2")]),
    (AttemptsAreUnique, [execute(1, 1), execute(1, 1)]),
    (AttemptsAreUnique, [started("one", "1.1"), started("other", "1.1")]),
    (minority, [finished("one", "1.1")]),
    (inputs, [starts("one", 0), ended("one", 0, "FAILED"), starts("other", 2)]),
    (failures, [*[ended("one", 1, "CRASHED")] * 6, starts("one", 1)]),
    (lambda: NobodyIsOverworked(lambda node: 1), [starts("one", 0), starts("one", 1)]),
    (winners, [published("1.9")]),
    (winners, [job("cancelled"), published("2.1")]),
    (winners, [job("cancelled"), job("done")]),
    (twice, [*WON, done("one", "1.1")]),
    (twice, [*WON, done("one", "1.2")]),
    (twice, [*WON, execute(1, 2)]),
    (twice, [*WON, finished("one", "1.1"), finished("one", "1.1")]),
    (twice, [*WON, finished("one", "1.1"), master("other", 2), done("other", "1.1")]),
    (twice, [*WON[:2], done("one", "1.1", "FAILED"), done("one", "1.1", "FAILED")]),
    (twice, [*WON[:2], done("one", "1.1", "LOST"), done("one", "1.1", "LOST")]),
    (twice, [master("one", 1), *executed(2), *failed("1.1", "1.2"), job("failed")]),
    (twice, [master("one", 1), *executed(3), *failed("1.1", "1.2", "1.1"), job("failed")]),
    (twice, [master("one", 1), *executed(10), job("failed")]),
    (twice, [master("one", 1), *executed(6), *crashed(5), job("failed")]),
    (
        FailedDiskEndsTheNode,
        [FAILED, down("other"), later(said("other", "listening"), 2000)],
    ),
]


@pytest.mark.parametrize(("checker", "records"), ALLOWED)
def test_what_is_right_passes(checker: Callable[[], Checker], records: list[Record]) -> None:
    one = checker()
    for record in records:
        one.saw(record)
    one.end()


@pytest.mark.parametrize(("checker", "records"), FORBIDDEN)
def test_what_is_wrong_is_seen(checker: Callable[[], Checker], records: list[Record]) -> None:
    one = checker()
    for record in records[:-1]:
        one.saw(record)
    with pytest.raises(Broken):
        one.saw(records[-1])


def test_a_registry_holds_what_was_promised_or_is_seen() -> None:
    frontier = Frontier.empty(5)
    frontier.finish(TaskId(3), Attempt(2, 1))
    digest = hashlib.sha256(b"").hexdigest()
    job = JobSubmitted(JobId("j"), "J", digest, digest, 0, 5)
    entry = JobEntry(job, JobState.RUNNING, "", frontier.encode())
    checker = FinishedIsForEver()
    checker.hold([entry], {("j", 3): "2.1"})
    for promised in ({("j", 3): "2.2"}, {("j", 4): "2.1"}, {("k", 3): "2.1"}):
        with pytest.raises(Broken):
            checker.hold([entry], promised)
