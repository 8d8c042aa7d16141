"""The journal: what happened at one node, one JSON object a line, in its state directory.

Log events that carry a fact called `event` (mastership, execute, done, frontier, ...) are records;
the rest of the log is prose.  **A record is written before the next event is handled**, so what a
killed node did is on file.  Checkers of the simulator and of real runs read the same records.
"""

import json
from pathlib import Path
from typing import Any

from twisted.logger import ILogObserver, LogEvent
from zope.interface import implementer

JOURNAL = "journal.jsonl"
OLD_SUFFIX = ".old.jsonl"
JOURNAL_BYTES_MAX = 16 << 20
"""At this size the journal starts anew; one older file is kept."""


@implementer(ILogObserver)
class Journal:
    """A log observer.  `monotonic` in a record is `reactor.seconds()`: the same clock for all
    processes of one machine; `time` is for people."""

    def __init__(self, state_dir: str, name: str, clock: Any) -> None:
        self._path = Path(state_dir) / JOURNAL
        self._name = name
        self._clock = clock
        self._file = self._path.open("a", buffering=1)
        if not _ends_whole(self._path):
            self._file.write("\n")

    def __call__(self, event: LogEvent) -> None:
        """Write the event if it is a record."""
        if "event" not in event:
            return
        facts = {
            name: value if isinstance(value, int | float | str | bool) else str(value)
            for name, value in event.items()
            if not name.startswith("log_")
        }
        record = {"monotonic": self._clock.seconds(), "time": event["log_time"], "at": self._name}
        self._file.write(json.dumps({**record, **facts}) + "\n")
        if self._file.tell() > JOURNAL_BYTES_MAX:
            self._file.close()
            self._path.rename(self._path.with_suffix(OLD_SUFFIX))
            self._file = self._path.open("a", buffering=1)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_journal(state_dir: Path) -> list[dict[str, Any]]:
    """The records of a node, oldest first; a line that a killed node left unfinished is skipped."""
    path = state_dir / JOURNAL
    records = []
    for each in (path.with_suffix(OLD_SUFFIX), path):
        lines = each.read_text(errors="replace").splitlines() if each.exists() else []
        for line in lines:
            try:
                records.append(json.loads(line))
            except ValueError:
                continue
    return records


def _ends_whole(path: Path) -> bool:
    """Whether the last line has its end: one cut short by a power failure must not swallow the
    next."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 1))
        return file.read() in (b"", b"\n")
