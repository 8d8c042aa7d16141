"""The durable store over a real file, a real thread, and a real kill."""

import queue
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from nanoboost.errors import UserError
from nanoboost.world.store import SqliteStore, StoreError, read_pairs


class Threads:
    """IReactorFromThreads, run by hand."""

    def __init__(self) -> None:
        self._calls: queue.Queue[Callable[[], Any]] = queue.Queue()

    def callFromThread(self, call: Callable[..., Any], *arguments: Any) -> None:
        self._calls.put(lambda: call(*arguments))

    def run_one(self) -> None:
        """Run the next call."""
        self._calls.get(timeout=10)()

    def run_until(self, *wanted: "Deferred[None]") -> list[Any]:
        """Run calls until all have fired; their results, in order of firing."""
        results: list[Any] = []
        for each in wanted:
            each.addBoth(results.append)
        while len(results) < len(wanted):
            self._calls.get(timeout=10)()
        return results


@pytest.fixture
def reactor() -> Threads:
    return Threads()


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "raft.sqlite")


@pytest.fixture
def store(path: str, reactor: Threads) -> Iterator[SqliteStore]:
    made = SqliteStore(path, reactor)
    yield made
    reactor.run_until(made.close())


def close(store: SqliteStore, reactor: Threads) -> None:
    reactor.run_until(store.close())


def test_what_was_committed_is_there_after_reopening(path: str, reactor: Threads) -> None:
    store = SqliteStore(path, reactor)
    reactor.run_until(store.commit([(b"a/1", b"one"), (b"a/2", b"two"), (b"b", b"three")]))
    reactor.run_until(store.commit([(b"a/1", None), (b"a/2", b"zwei")]))
    close(store, reactor)
    again = SqliteStore(path, reactor)
    assert again.load(b"") == [(b"a/2", b"zwei"), (b"b", b"three")]
    close(again, reactor)


def test_load_is_by_prefix_and_ordered_by_key(store: SqliteStore, reactor: Threads) -> None:
    pairs = [(bytes([1, number]), b"x") for number in (255, 3, 0)]
    reactor.run_until(store.commit([*pairs, (b"\x02", b"y"), (b"\x00\xff", b"z")]))
    assert store.load(b"\x01") == sorted(pairs)
    assert store.load(b"\xff") == []


def test_deferreds_fire_in_the_order_of_the_calls(store: SqliteStore, reactor: Threads) -> None:
    fired: list[int] = []
    commits = []
    for number in range(50):
        commit = store.commit([(b"key", b"%d" % number)])
        commit.addCallback(partial(lambda number, _: fired.append(number), number))
        commits.append(commit)
    reactor.run_until(*commits)
    assert fired == list(range(50))
    assert store.load(b"") == [(b"key", b"49")]


def test_a_later_delete_in_the_same_transaction_wins(store: SqliteStore, reactor: Threads) -> None:
    commits = [store.commit([(b"k", b"v")]), store.commit([(b"k", None)])]
    reactor.run_until(*commits, store.commit([(b"other", b"")]))
    assert store.load(b"") == [(b"other", b"")]


def test_batches_queued_behind_a_commit_share_one_transaction(
    store: SqliteStore, reactor: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    started, go_on = threading.Event(), threading.Event()
    transact = store._transact

    def slowly(batches: Any) -> None:
        sizes.append(len(batches))
        started.set()
        go_on.wait(10)
        transact(batches)

    monkeypatch.setattr(store, "_transact", slowly)
    first = store.commit([(b"0", b"")])
    started.wait(10)
    later = [store.commit([(b"%d" % number, b"")]) for number in range(1, 9)]
    go_on.set()
    reactor.run_until(first, *later)
    assert sizes == [1, 8]


def test_load_sees_the_commits_that_were_asked_for_before(store: SqliteStore) -> None:
    store.commit([(b"k", b"v")])
    assert store.load(b"k") == [(b"k", b"v")]


def test_an_error_poisons_the_store(
    store: SqliteStore, reactor: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    transact = store._transact
    monkeypatch.setattr(store, "_transact", lambda _: (_ for _ in ()).throw(OSError(5, "EIO")))
    (failed,) = reactor.run_until(store.commit([(b"k", b"v")]))
    assert isinstance(failed, Failure)
    assert failed.check(StoreError)
    monkeypatch.setattr(store, "_transact", transact)
    results = reactor.run_until(store.commit([(b"k", b"v")]))
    assert isinstance(results[0], Failure)
    assert store.load(b"") == []


def test_batches_queued_behind_a_failed_one_fail_too(
    store: SqliteStore, reactor: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, go_on = threading.Event(), threading.Event()

    def broken(batches: Any) -> None:
        started.set()
        go_on.wait(10)
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(store, "_transact", broken)
    first = store.commit([(b"k", b"v")])
    started.wait(10)
    monkeypatch.undo()
    second = store.commit([(b"l", b"w")])
    go_on.set()
    results = reactor.run_until(first, second)
    assert all(isinstance(each, Failure) for each in results)
    assert store.load(b"") == []


def _fill(store: SqliteStore) -> None:
    """No page more than there are, as if the disk were full; the writer thread is idle."""
    (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
    store._connection.execute(f"PRAGMA max_page_count = {pages}")


def test_a_full_disk_is_waited_for_and_nothing_of_the_batch_is_there_before(
    path: str, store: SqliteStore, reactor: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nanoboost.world.store.FULL_RETRY_S", 0.01)
    tried: list[bool] = []
    space = threading.Event()
    transact = store._transact

    def watched(batches: Any) -> None:
        if space.is_set():
            store._connection.execute("PRAGMA max_page_count = 100000")
        try:
            transact(batches)
        except sqlite3.OperationalError:
            tried.append(store._connection.in_transaction)
            if len(tried) == 3:
                space.set()
            raise

    reactor.run_until(store.commit([(b"small", b"1")]))
    _fill(store)
    monkeypatch.setattr(store, "_transact", watched)
    large = [(b"a", b"first"), (b"b", bytes(100_000)), (b"c", b"last")]
    assert reactor.run_until(store.commit(large), store.commit([(b"d", b"4")])) == [None, None]
    assert len(tried) == 3
    assert [key for key, _ in store.load(b"")] == [b"a", b"b", b"c", b"d", b"small"]


def test_a_store_tells_whether_it_waits_for_space(
    store: SqliteStore, reactor: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nanoboost.world.store.FULL_RETRY_S", 0.01)
    space = threading.Event()
    transact = store._transact

    def make_space_in_time(batches: Any) -> None:
        if space.is_set():
            store._connection.execute("PRAGMA max_page_count = 100000")
        transact(batches)

    reactor.run_until(store.commit([(b"small", b"1")]))
    _fill(store)
    monkeypatch.setattr(store, "_transact", make_space_in_time)
    assert not store.is_full
    large = store.commit([(b"a", bytes(100_000))])
    reactor.run_one()
    assert store.is_full
    space.set()
    assert reactor.run_until(large) == [None]
    assert not store.is_full


def test_one_value_can_be_looked_at_before_the_store_is_opened(path: str, reactor: Threads) -> None:
    store = SqliteStore(path, reactor)
    reactor.run_until(store.commit([(b"k", b"v")]))
    close(store, reactor)
    assert (read_pairs(path, b"k"), read_pairs(path, b"l")) == ([(b"k", b"v")], [])
    Path(path).write_bytes(b"The film is cut into chunks. " * 100)
    with pytest.raises(UserError, match="is damaged"):
        read_pairs(path, b"k")


def test_a_store_that_is_closed_while_the_disk_is_full_keeps_what_it_had(
    path: str, reactor: Threads
) -> None:
    store = SqliteStore(path, reactor)
    reactor.run_until(store.commit([(b"small", b"1")]))
    _fill(store)
    refused = store.commit([(b"a", b"first"), (b"b", bytes(100_000))])
    results = reactor.run_until(refused, store.close())
    assert results[0].check(StoreError)
    again = SqliteStore(path, reactor)
    assert again.load(b"") == [(b"small", b"1")]
    close(again, reactor)


def test_closing_waits_for_the_commits(path: str, reactor: Threads) -> None:
    store = SqliteStore(path, reactor)
    fired: list[str] = []
    commit = store.commit([(b"k", b"v")]).addCallback(lambda _: fired.append("commit"))
    reactor.run_until(store.close().addCallback(lambda _: fired.append("close")))
    assert fired == ["commit", "close"]
    del commit
    assert isinstance(reactor.run_until(store.commit([(b"k", b"v")]))[0], Failure)
    close(store, reactor)  # once more does no harm


# --- files that cannot be ours -------------------------------------------------------------------


def test_a_file_that_is_no_database_is_refused(path: str, reactor: Threads) -> None:
    Path(path).write_bytes(b"The film is cut into chunks. " * 100)
    with pytest.raises(UserError, match=r"raft\.sqlite is damaged .*: move the state directory"):
        SqliteStore(path, reactor)


def test_a_database_of_something_else_is_refused(path: str, reactor: Threads) -> None:
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE albums (title TEXT)")
    other.close()
    with pytest.raises(UserError, match=r"raft\.sqlite is no state of a node"):
        SqliteStore(path, reactor)


def test_a_damaged_page_is_found_when_opening(path: str, reactor: Threads) -> None:
    store = SqliteStore(path, reactor)
    reactor.run_until(store.commit([(b"%04d" % n, b"v" * 100) for n in range(2000)]))
    close(store, reactor)
    data = bytearray(Path(path).read_bytes())
    data[4096 * 4 : 4096 * 5] = b"\xa5" * 4096
    Path(path).write_bytes(data)
    with pytest.raises(UserError, match="is damaged"):
        SqliteStore(path, reactor)


def test_a_bit_that_has_turned_over_in_a_value_is_found_when_it_is_read(
    path: str, reactor: Threads
) -> None:
    store = SqliteStore(path, reactor)
    reactor.run_until(store.commit([(b"%04d" % n, b"value %04d" % n) for n in range(2000)]))
    close(store, reactor)
    data = bytearray(Path(path).read_bytes())
    data[data.index(b"value 1234") + 3] ^= 1
    Path(path).write_bytes(data)
    again = SqliteStore(path, reactor)  # SQLite sees nothing wrong with it
    try:
        assert again.load(b"0000") == [(b"0000", b"value 0000")]
        with pytest.raises(UserError, match=r"is damaged .*: move the state directory away"):
            again.load(b"12")
    finally:
        close(again, reactor)


def test_a_state_of_the_first_version_is_read_and_goes_on(path: str, reactor: Threads) -> None:
    with sqlite3.connect(path) as other:
        other.execute(
            "CREATE TABLE pairs (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"
        )
        other.execute("INSERT INTO pairs VALUES (?, ?)", (b"old", b"1"))
        other.execute("PRAGMA application_id = 0x4E616E6F")
        other.execute("PRAGMA user_version = 1")
    other.close()
    for value in (b"2", b"3"):  # it is made new once
        store = SqliteStore(path, reactor)
        reactor.run_until(store.commit([(b"new", value)]))
        assert store.load(b"") == [(b"new", value), (b"old", b"1")]
        close(store, reactor)


def test_a_database_of_a_newer_version_is_refused(path: str, reactor: Threads) -> None:
    close(SqliteStore(path, reactor), reactor)
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version = 99")
    other.close()
    with pytest.raises(UserError, match="newer NanoBoost"):
        SqliteStore(path, reactor)


def test_a_store_that_is_in_use_is_refused(store: SqliteStore, path: str, reactor: Threads) -> None:
    reactor.run_until(store.commit([(b"k", b"v")]))
    with pytest.raises(UserError, match="is in use"):
        SqliteStore(path, reactor)


def test_a_missing_directory_is_named(tmp_path: Path, reactor: Threads) -> None:
    with pytest.raises(UserError, match="is its directory there"):
        SqliteStore(str(tmp_path / "absent" / "raft.sqlite"), reactor)


def test_the_settings_that_durability_rests_on(store: SqliteStore) -> None:
    def ask(name: str) -> Any:
        return store._connection.execute(f"PRAGMA {name}").fetchone()[0]

    assert (ask("journal_mode"), ask("synchronous"), ask("locking_mode")) == ("wal", 2, "exclusive")


# --- kill -9 -------------------------------------------------------------------------------------

WRITER = """
import sys
from twisted.internet import reactor
from nanoboost.world.store import SqliteStore

store = SqliteStore(sys.argv[1], reactor)
count = 0

def write():
    global count
    count += 1
    number = count
    pairs = [(b"%08d/%d" % (number, part), b"x" * 50) for part in range(5)]
    store.commit(pairs).addCallback(lambda _: acknowledge(number))
    reactor.callLater(0, write)

def acknowledge(number):
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()

reactor.callWhenRunning(write)
reactor.run()
"""


@pytest.mark.slow
@pytest.mark.parametrize("acknowledgements", [1, 40, 200])
def test_kill_9_loses_nothing_that_was_acknowledged(
    path: str, reactor: Threads, acknowledgements: int
) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    acknowledged = [int(child.stdout.readline()) for _ in range(acknowledgements)]
    child.send_signal(signal.SIGKILL)
    acknowledged += [int(line) for line in child.stdout.read().split("\n")[:-1]]
    child.wait()
    child.stdout.close()
    store = SqliteStore(path, reactor)
    found = [key for key, _ in store.load(b"")]
    close(store, reactor)
    batches = sorted({int(key[:8]) for key in found})
    assert acknowledged == list(range(1, len(acknowledged) + 1))
    assert batches == list(range(1, len(batches) + 1)), "durable in order"
    assert len(batches) >= len(acknowledged)
    assert len(found) == 5 * len(batches), "whole or not at all"
