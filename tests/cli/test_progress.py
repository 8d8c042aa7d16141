"""What a running job looks like, in each of its three forms."""

import json
from io import StringIO

import pytest
from rich.console import Console

from nanoboost.cli.progress import (
    JsonDisplay,
    PlainDisplay,
    TerminalDisplay,
    duration,
    failure_lines,
    where,
)
from nanoboost.ids import Attempt, JobId
from nanoboost.wire.codec import evolve
from nanoboost.wire.messages import ClassProgress, FailureReport, JobReport, JobState

COMPRESS = ClassProgress("Compress", 64, 37, 0, (("one", 6), ("two", 21)))
REPORT = JobReport(
    1, JobId("film-1"), "Film", JobState.RUNNING, (COMPRESS,), (), ran=40, left_s=370.0, note=""
)
FAILURE = FailureReport(
    "Compress-0041", Attempt(3, 1), "three", "ValueError: no ink", "a\nb\n", ".nanoboost/x/log"
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1.0, "--:--"), (0.0, "00:00"), (370.0, "06:10"), (59.7, "01:00"), (3970.0, "1:06:10")],
)
def test_durations_read_like_a_clock(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_where_names_the_nodes() -> None:
    assert where(COMPRESS) == "one 6 · two 21"


def test_a_failure_shows_its_error_and_the_end_of_its_log() -> None:
    lines = failure_lines(FAILURE)
    assert "Compress-0041" in lines[0]
    assert "three" in lines[0]
    assert lines[1].endswith("ValueError: no ink")
    assert [line.split()[-1] for line in lines[2:4]] == ["a", "b"]
    assert ".nanoboost/x/log" in lines[-1]


def test_plain_lines_come_only_when_something_has_changed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    display = PlainDisplay()
    display.show(REPORT)
    display.show(evolve(REPORT, left_s=300.0))
    display.show(evolve(REPORT, note="waits for a node with ffmpeg"))
    assert capsys.readouterr().out.splitlines() == [
        "running  Compress 37/64",
        "running  Compress 37/64  (waits for a node with ffmpeg)",
    ]


def test_json_lines_are_one_object_each(capsys: pytest.CaptureFixture[str]) -> None:
    display = JsonDisplay()
    display.tell("job film-1")
    display.show(REPORT)
    display.show(REPORT)
    display.fail(FAILURE)
    note, progress, failure = map(json.loads, capsys.readouterr().out.splitlines())
    assert note == {"event": "note", "text": "job film-1"}
    assert progress["classes"][0]["running"] == {"one": 6, "two": 21}
    assert progress["left_s"] == 370.0
    assert failure["task"] == "Compress-0041"
    assert failure["attempt"] == "3.1"


def test_an_unknown_time_left_is_null_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    JsonDisplay().show(evolve(REPORT, left_s=-1.0))
    assert json.loads(capsys.readouterr().out)["left_s"] is None


def test_a_terminal_shows_bar_counts_places_and_time_left() -> None:
    screen = StringIO()
    display = TerminalDisplay(Console(file=screen, force_terminal=True, width=100))
    display.show(REPORT)
    display.close()
    shown = screen.getvalue()
    for part in ("Compress", "█", "37/64", "one 6 · two 21", "06:10 left"):
        assert part in shown


def test_what_users_named_is_never_taken_for_markup() -> None:
    screen = StringIO()
    display = TerminalDisplay(Console(file=screen, force_terminal=True, width=100))
    display.show(evolve(REPORT, classes=(evolve(COMPRESS, running=(("[bold]", 1),)),)))
    display.tell("[red]a line[/red]")
    display.close()
    assert "[bold] 1" in screen.getvalue()
    assert "[red]a line[/red]" in screen.getvalue()
