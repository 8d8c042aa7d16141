"""Watching the machines: what is told of a change, and that nothing ends it but the user."""

import io
import json
from typing import Any

import pytest
from rich.console import Console
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from nanoboost.cli.cluster import Unreachable
from nanoboost.cli.watch import (
    CHANGES_SHOWN,
    LOOK_S,
    JsonScreen,
    LiveScreen,
    PlainScreen,
    changes,
    watch,
)
from nanoboost.ids import NodeId
from nanoboost.wire.messages import NodeReport, StatusReport

ONE, TWO, THREE = (NodeId(digit * 16) for digit in "123")

failure_of = SynchronousTestCase().failureResultOf


def node(identity: NodeId, name: str, state: str = "alive", note: str = "") -> NodeReport:
    return NodeReport(identity, name, "10.0.0.1", 7470, state, "voter", 2, 0, 1.0, (), note)


def report(*nodes: NodeReport, master: NodeId = ONE) -> StatusReport:
    return StatusReport(1, "c" * 16, ONE, master, 3, 1, "/nas", nodes, ())


BEFORE = report(node(ONE, "one"), node(TWO, "two"))


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (BEFORE, []),
        (report(*BEFORE.nodes, node(THREE, "three")), [("three", "joined")]),
        (report(node(ONE, "one"), node(TWO, "two", "suspect")), [("two", "suspect")]),
        (report(node(ONE, "one"), node(TWO, "two", "dead")), [("two", "dead")]),
        (report(node(ONE, "one"), node(TWO, "two", "left")), [("two", "left")]),
        (report(node(ONE, "one")), [("two", "forgotten")]),
        (report(*BEFORE.nodes, master=TWO), [("two", "master")]),
        (report(*BEFORE.nodes, master=NodeId("")), [("", "no master")]),
        (report(node(ONE, "one"), node(TWO, "two", note="no NAS")), [("two", "no NAS")]),
        (report(*BEFORE.nodes, node(THREE, "two")), [("two~3333", "joined")]),
    ],
)
def test_what_has_changed(now: StatusReport, told: list[tuple[str, str]]) -> None:
    assert list(changes(BEFORE, now)) == told


def test_what_is_well_again() -> None:
    ill = report(node(ONE, "one", note="no NAS"), node(TWO, "two", "dead"))
    assert list(changes(ill, BEFORE)) == [("one", "fit again"), ("two", "alive again")]
    assert list(changes(None, BEFORE)) == []


class Answers:
    """A cluster that answers as told; the last answer for ever."""

    def __init__(self, *answers: StatusReport | Exception) -> None:
        self.answers = list(answers)

    async def status(self) -> StatusReport:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Told:
    """A screen that remembers."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self.shown = 0
        self.is_closed = False

    def show(self, report: StatusReport) -> None:
        self.shown += 1

    def tell(self, at: str, node: str, change: str) -> None:
        assert len(at) == 8
        self.lines.append((node, change))

    def close(self) -> None:
        self.is_closed = True


def test_it_goes_on_through_everything_until_it_is_cancelled() -> None:
    gone = Unreachable("nobody listens at 10.0.0.1:7470")
    cluster: Any = Answers(BEFORE, gone, gone, report(node(ONE, "one"), node(TWO, "two", "dead")))
    told, clock = Told(), Clock()
    watching: Deferred[int] = Deferred.fromCoroutine(watch(clock, cluster, told))
    clock.pump([LOOK_S] * 10)
    assert told.lines == [("", f"{gone}; asking on"), ("two", "dead")]
    assert told.shown == 9
    watching.cancel()
    failure_of(watching, CancelledError)
    assert told.is_closed


def test_a_terminal_shows_the_table_and_the_last_changes() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    screen = LiveScreen(console)
    screen.show(BEFORE)
    for number in range(CHANGES_SHOWN + 5):
        screen.tell("12:00:00", "two", f"change {number}.")
    screen.close()
    assert isinstance(console.file, io.StringIO)
    last = console.file.getvalue().split("labels")[-1]
    assert "two" in last
    assert "Survives the loss of: 1" in last
    assert [f"change {n}." in last for n in range(CHANGES_SHOWN + 5)] == [False] * 5 + [
        True
    ] * CHANGES_SHOWN


def test_a_file_gets_who_is_there_and_a_line_for_each_change(
    capsys: pytest.CaptureFixture[str],
) -> None:
    screen = PlainScreen()
    screen.show(BEFORE)
    screen.show(BEFORE)
    screen.tell("12:00:00", "two", "dead")
    screen.tell("12:00:01", "", "no master")
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("node ") for line in lines) == 1
    assert lines[-2:] == ["12:00:00  two  dead", "12:00:01  no master"]


def test_a_program_gets_objects(capsys: pytest.CaptureFixture[str]) -> None:
    screen = JsonScreen()
    screen.show(BEFORE)
    screen.show(BEFORE)
    screen.tell("12:00:00", "two", "dead")
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [
        {"event": "nodes", "states": {ONE: "alive", TWO: "alive"}},
        {"event": "change", "at": "12:00:00", "node": "two", "change": "dead"},
    ]
