"""The journal: records on file before the next event, and read back whatever happened."""

import errno
import json
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import Logger, LogPublisher
from twisted.python.failure import Failure

from nanoboost.world import journal as module
from nanoboost.world.journal import JOURNAL, Journal, Tail, read_journal


class Node:
    """A logger whose events go to a journal."""

    def __init__(self, directory: Path) -> None:
        self.clock = Clock()
        self.journal = Journal(str(directory), "pi-1", self.clock)
        self.log = Logger(namespace="test", observer=LogPublisher(self.journal))


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_a_record_is_on_file_at_once(node: Node, tmp_path: Path) -> None:
    node.clock.advance(12.5)
    node.log.info("term {term}: the master is {master}", event="mastership", term=3, is_me=True)
    (record,) = read_journal(tmp_path)
    assert record.pop("time") > 1e9
    assert record == {
        "monotonic": 12.5, "at": "pi-1", "event": "mastership", "term": 3, "is_me": True,
    }  # fmt: skip


def test_prose_is_no_record(node: Node, tmp_path: Path) -> None:
    node.log.info("listening on {port}", port=7470)
    assert read_journal(tmp_path) == []


def test_what_json_does_not_know_becomes_text(node: Node, tmp_path: Path) -> None:
    node.log.failure("it broke", Failure(ValueError("why")), event="broke", what=(1, 2), none=None)
    (record,) = read_journal(tmp_path)
    assert (record["what"], record["none"]) == ("(1, 2)", "None")


def test_one_record_is_one_line_whatever_is_in_it(node: Node, tmp_path: Path) -> None:
    node.log.info("x", event="e", text="two\nlines \u2028 and \x85 more")
    node.log.info("x", event="f")
    assert [record["event"] for record in read_journal(tmp_path)] == ["e", "f"]


class Disk:
    """A file on a disk that has so much space left."""

    def __init__(self, file: Any, space: int) -> None:
        self._file = file
        self.space = space

    def write(self, data: bytes) -> int:
        """What fits, as the system call does; nothing fits on a full disk."""
        if not self.space:
            raise OSError(errno.ENOSPC, "No space left on device")
        written: int = self._file.write(data[: self.space])
        self.space -= written
        return written

    def close(self) -> None:
        self._file.close()


@pytest.mark.parametrize("space", [0, 1, 40])
def test_on_a_full_disk_records_are_lost_and_counted_and_the_node_lives(
    node: Node, tmp_path: Path, space: int
) -> None:
    lines = node.journal._lines
    node.log.info("x", event="before")
    disk = Disk(lines._file, space)
    lines._file = disk  # type: ignore[assignment]
    for _ in range(3):
        node.log.info("x", event="lost")
    assert [record["event"] for record in read_journal(tmp_path)] == ["before"]
    disk.space = 10_000
    node.log.info("x", event="after")
    node.log.info("x", event="last")
    told = [(each["event"], each.get("count")) for each in read_journal(tmp_path)]
    assert told == [("before", None), ("lines_lost", 3), ("after", None), ("last", None)]


def test_without_space_for_another_file_it_goes_on_with_the_large_one(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "JOURNAL_BYTES_MAX", 200)
    lines = node.journal._lines

    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(lines, "_open", full)
        for number in range(10):
            node.log.info("x", event=f"e{number}")
    node.log.info("x", event="e10")
    node.log.info("x", event="e11")
    told = [record["event"] for record in read_journal(tmp_path)]
    assert told == [f"e{number}" for number in range(12)]


def test_it_starts_anew_when_it_is_large_and_keeps_one_older(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "JOURNAL_BYTES_MAX", 1000)
    for number in range(100):
        node.log.info("x", event="e", number=number)
    files = sorted(each.name for each in tmp_path.iterdir())
    assert files == ["journal.jsonl", "journal.old.jsonl"]
    assert sum(each.stat().st_size for each in tmp_path.iterdir()) < 2500
    numbers = [record["number"] for record in read_journal(tmp_path)]
    assert numbers == list(range(numbers[0], 100)), "the older file is read first"
    assert len(numbers) > 10


def test_a_restarted_node_goes_on_in_the_same_file(node: Node, tmp_path: Path) -> None:
    node.log.info("x", event="first")
    node.journal.close()
    Node(tmp_path).log.info("x", event="second")
    assert [record["event"] for record in read_journal(tmp_path)] == ["first", "second"]


@pytest.mark.parametrize("torn", ['{"monotonic": 1.0, "eve', '"x', "\0\0\0", "\xff"])
def test_a_torn_line_is_skipped_and_swallows_no_other(
    node: Node, tmp_path: Path, torn: str
) -> None:
    node.log.info("x", event="first")
    node.journal.close()
    with (tmp_path / JOURNAL).open("a", encoding="latin-1") as file:
        file.write(torn)
    assert [record["event"] for record in read_journal(tmp_path)] == ["first"]
    again = Node(tmp_path)
    again.log.info("x", event="second")
    assert [record["event"] for record in read_journal(tmp_path)] == ["first", "second"]


def test_a_tail_tells_each_record_once_over_changes_of_the_file(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tail = Tail(tmp_path / "later")
    assert tail.read() == []
    monkeypatch.setattr(module, "JOURNAL_BYTES_MAX", 1000)
    tail, numbers = Tail(tmp_path), []
    for number in range(100):
        node.log.info("x", event="e", number=number)
        if number % 7 == 0:
            numbers += [record["number"] for record in tail.read()]
    numbers += [record["number"] for record in tail.read()]
    assert numbers == list(range(100))
    new = Tail(tmp_path, is_new=True)
    assert new.read() == []
    with (tmp_path / JOURNAL).open("a") as file:
        file.write('{"event": ')
        file.flush()
        assert new.read() == []
        file.write('"late"}\n')
    assert new.read() == [{"event": "late"}]


def test_without_a_journal_there_are_no_records(tmp_path: Path) -> None:
    assert read_journal(tmp_path) == []


def test_the_lines_are_json(node: Node, tmp_path: Path) -> None:
    node.log.info("x", event="e", number=1)
    found: dict[str, Any] = json.loads((tmp_path / JOURNAL).read_text())
    assert found["number"] == 1
