"""How a running job is shown: redrawn lines on a terminal, plain lines or JSON elsewhere.

One line per Nano class: done of total, where its tasks run, and the time left for the whole.
**Every failed task is told once, with its error and the end of its log, whatever the form.**
"""

import json
import sys
from typing import Protocol

from attrs import define, field
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from nanoboost.wire.messages import ClassProgress, FailureReport, JobReport, JobState

BAR_CELLS = 20
TAIL_LINES = 15


class Display(Protocol):
    """What shows a job."""

    def show(self, report: JobReport) -> None:
        """The job is as `report` says now."""

    def tell(self, line: str) -> None:
        """Something happened that is worth a line."""

    def fail(self, failure: FailureReport) -> None:
        """An attempt failed."""

    def close(self) -> None:
        """Leave the terminal as it should be."""


def duration(seconds: float) -> str:
    """`06:10`, or `1:06:10` from an hour on; `--:--` while unknown (negative)."""
    if seconds < 0:
        return "--:--"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes:02d}:{rest:02d}"


def where(progress: ClassProgress) -> str:
    """`one 6 · two 21`: the nodes that run tasks of the class now."""
    return " · ".join(f"{node} {count}" for node, count in progress.running)


def failure_lines(failure: FailureReport) -> list[str]:
    """What a user needs to see of a failed attempt, right there."""
    lines = [
        f"✗ {failure.task}  failed on {failure.node or 'a node that is gone'} "
        f"(attempt {failure.attempt})",
        f"  error   {failure.error}",
    ]
    tail = failure.tail.splitlines()[-TAIL_LINES:]
    lines += [
        f"  {'log     ' if not number else '        '}{line}" for number, line in enumerate(tail)
    ]
    return [*lines, f"  file    {failure.log} on the NAS"]


@define
class PlainDisplay:
    """Lines that make sense in a file: one whenever a count has changed."""

    _last: str = field(default="", init=False)

    def show(self, report: JobReport) -> None:
        """Print one line if it differs from the last."""
        counts = "  ".join(f"{each.name} {each.done}/{each.total}" for each in report.classes)
        line = f"{report.state.value}  {counts}"
        if report.note:
            line += f"  ({report.note})"
        if line != self._last:
            self._last = line
            print(line, flush=True)

    def tell(self, line: str) -> None:
        """Print the line."""
        print(line, flush=True)

    def fail(self, failure: FailureReport) -> None:
        """Print the failure to the error output."""
        print("\n".join(failure_lines(failure)), file=sys.stderr, flush=True)

    def close(self) -> None:
        """Nothing to restore."""


@define
class JsonDisplay:
    """One JSON object a line, for programs."""

    _last: str = field(default="", init=False)

    def show(self, report: JobReport) -> None:
        """Print the report if anything in it has changed."""
        line = json.dumps(
            {
                "event": "progress",
                "job": report.job,
                "state": report.state.value,
                "classes": [
                    {
                        "name": each.name,
                        "done": each.done,
                        "failed": each.failed,
                        "total": each.total,
                        "running": dict(each.running),
                    }
                    for each in report.classes
                ],
                "left_s": report.left_s if report.left_s >= 0 else None,
                "note": report.note,
            }
        )
        if line != self._last:
            self._last = line
            print(line, flush=True)

    def tell(self, line: str) -> None:
        """Print the line as an event."""
        print(json.dumps({"event": "note", "text": line}), flush=True)

    def fail(self, failure: FailureReport) -> None:
        """Print the failure as an event."""
        print(
            json.dumps(
                {
                    "event": "failure",
                    "task": failure.task,
                    "attempt": str(failure.attempt),
                    "node": failure.node,
                    "error": failure.error,
                    "tail": failure.tail,
                    "log": failure.log,
                }
            ),
            flush=True,
        )

    def close(self) -> None:
        """Nothing to restore."""


class TerminalDisplay:
    """Redraws a few lines in place; what is told scrolls by above them."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=4, transient=False)
        self._live.start()

    def show(self, report: JobReport) -> None:
        """Redraw."""
        table = Table.grid(padding=(0, 2))
        for each in report.classes:
            filled = BAR_CELLS * each.done // max(1, each.total)
            bar = Text("█" * filled, style="green") + Text("░" * (BAR_CELLS - filled), style="dim")
            count = f"{each.done}/{each.total}" + (f"  {each.failed} failed" if each.failed else "")
            table.add_row(escape(each.name), bar, count, escape(where(each)))
        if report.state is JobState.RUNNING:
            last = f"{duration(report.left_s)} left"
        else:
            last = report.state.value
        note = f"  {escape(report.note)}" if report.note else ""
        self._live.update(Group(table, Text.from_markup(f"{last}{note}")))

    def tell(self, line: str) -> None:
        """Print above the redrawn lines."""
        self._live.console.print(line, markup=False, highlight=False)

    def fail(self, failure: FailureReport) -> None:
        """Print above the redrawn lines."""
        for line in failure_lines(failure):
            self._live.console.print(line, markup=False, highlight=False)

    def close(self) -> None:
        """Stop redrawing; the last state stays on the screen."""
        self._live.stop()


def display_for(*, as_json: bool) -> Display:
    """The display that fits where the output goes."""
    if as_json:
        return JsonDisplay()
    console = Console()
    return TerminalDisplay(console) if console.is_terminal else PlainDisplay()
