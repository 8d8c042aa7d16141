"""The journal: what happened at one node, one JSON object a line, in its state directory.

Log events that carry a fact called `event` (mastership, execute, done, frontier, ...) are records;
the rest of the log is prose.  **A record is written before the next event is handled**, so what a
killed node did is on file.  Checkers of the simulator and of real runs read the same records.
"""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from twisted.logger import ILogObserver, LogEvent
from zope.interface import implementer

JOURNAL = "journal.jsonl"
RAFT_JOURNAL = "raft.jsonl"
OLD_SUFFIX = ".old.jsonl"
JOURNAL_BYTES_MAX = 16 << 20
"""At this size a journal starts anew; one older file is kept."""


class Lines:
    """A file of JSON lines; each is with the operating system when `write` returns.

    While the disk is full lines are lost, and the next one that fits is preceded by how many: a
    node must not die of what it tells.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._size = 0
        self._lost = 0
        self._open()
        if not _ends_whole(path):
            self._file.write(b"\n")

    def write(self, line: Mapping[str, Any]) -> None:
        """Append a line; start anew if the file has become too large."""
        data = _encode(line).encode() + b"\n"
        if self._lost:  # the first newline ends what may have been written of the first lost line
            gap = _encode({"event": "lines_lost", "count": self._lost})
            data = b"\n" + gap.encode() + b"\n" + data
        try:
            written = self._file.write(data)
        except OSError:
            written = 0
        self._size += written
        self._lost = 0 if written == len(data) else self._lost + 1
        if self._size > JOURNAL_BYTES_MAX:
            with suppress(OSError):  # no space for another file: this one goes on for now
                self._start_anew()

    def _start_anew(self) -> None:
        full = self._file
        if self._path.exists():
            self._path.rename(self._path.with_suffix(OLD_SUFFIX))
        self._open()
        full.close()

    def _open(self) -> None:
        self._file = self._path.open("ab", buffering=0)
        self._size = self._path.stat().st_size

    def close(self) -> None:
        """Close the file."""
        self._file.close()


_encode = json.JSONEncoder(separators=(",", ":"), default=str).encode


@implementer(ILogObserver)
class Journal:
    """A log observer.  `monotonic` in a record is `reactor.seconds()`: the same clock for all
    processes of one machine; `time` is for people."""

    def __init__(self, state_dir: str, name: str, clock: Any) -> None:
        self._name = name
        self._clock = clock
        self._lines = Lines(Path(state_dir) / JOURNAL)

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
        self._lines.write({**record, **facts})

    def close(self) -> None:
        """Close the file."""
        self._lines.close()


class RaftJournal:
    """The records of consensus, in a file of their own: they are many, and for checkers only."""

    def __init__(self, state_dir: str, name: str, clock: Any) -> None:
        self._name = name
        self._clock = clock
        self._lines = Lines(Path(state_dir) / RAFT_JOURNAL)

    def __call__(self, facts: Mapping[str, Any]) -> None:
        """Write one record (`nanoboost.consensus.chronicle`)."""
        now = self._clock.seconds()
        self._lines.write({"monotonic": now, "at": self._name, "event": "raft", **facts})

    def close(self) -> None:
        """Close the file."""
        self._lines.close()


class Tail:
    """Reads a journal as it grows, each record once, over a change of files too.

    `is_new`: only what is written from now on.  A line that a killed node left unfinished is
    skipped.
    """

    def __init__(self, state_dir: Path, *, is_new: bool = False, name: str = JOURNAL) -> None:
        self._path = state_dir / name
        self._rest = b""
        first = self._path if is_new else self._path.with_suffix(OLD_SUFFIX)
        self._file = first.open("rb") if first.exists() else None
        if self._file is not None and is_new:
            self._file.seek(0, 2)

    def read(self) -> list[dict[str, Any]]:
        """The records that have come since the last call, oldest first."""
        records: list[dict[str, Any]] = []
        while True:
            if self._file is None:
                if not self._path.exists():
                    return records
                self._file = self._path.open("rb")
            is_last = self._is_current(self._file)
            *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
            for line in lines:
                with suppress(ValueError):
                    records.append(json.loads(line))
            if is_last:
                return records
            self._file.close()
            self._file, self._rest = None, b""

    def _is_current(self, file: BinaryIO) -> bool:
        """Whether the node still writes to this file, or has not begun the next one yet."""
        return not self._path.exists() or os.path.samestat(
            os.fstat(file.fileno()), self._path.stat()
        )

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
        self._file = None


def read_journal(state_dir: Path) -> list[dict[str, Any]]:
    """The records of a node, oldest first."""
    tail = Tail(state_dir)
    records = tail.read()
    tail.close()
    return records


def _ends_whole(path: Path) -> bool:
    """Whether the last line has its end: one cut short by a power failure must not swallow the
    next."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 1))
        return file.read() in (b"", b"\n")
