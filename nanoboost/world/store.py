"""A node's own durable store: one SQLite database and one writer thread.

**When a commit's Deferred fires, the batch and all before it survive a power cut.**  A torn write
is SQLite's business (write-ahead log, synchronous=FULL); the order is ours.  Batches that are
queued while a transaction runs go into the next one together (group commit), for the disk's sync is
what costs: a few milliseconds on an SSD, up to 0.4 s on an SD card.  **An error poisons the
store**: after a failed sync nobody knows what is on the disk, so nothing is retried.  Only a full
disk is waited for: SQLite says so before it syncs, and rolls back, so nothing of it is left.

**A value is as it was written, or the node does not start**: SQLite checks the order of its pages
and not their bytes, so each value has a checksum beside it.
"""

import sqlite3
import threading
from collections.abc import Iterable, Sequence
from contextlib import closing
from typing import Any
from zlib import crc32

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from nanoboost.errors import NanoBoostError, UserError

APPLICATION_ID = 0x4E616E6F  # "Nano": how file(1) and we tell our databases from others
SCHEMA_VERSION = 2
"""1: without checksums."""
LOCK_TIMEOUT_S = 1.0
FULL_RETRY_S = 0.5
"""How often a full disk is tried again; until then commits wait, and in the end proposals are
refused."""

Pair = tuple[bytes, bytes]
Writes = Sequence[tuple[bytes, bytes | None]]

_TABLE = "CREATE TABLE pairs (key BLOB PRIMARY KEY, value BLOB NOT NULL, sum INTEGER) WITHOUT ROWID"
_WITH_SUMS = "ALTER TABLE pairs ADD COLUMN sum INTEGER"
_SCHEMA = f"""
BEGIN;
{{}};
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
COMMIT;
"""
_PUT = (
    "INSERT INTO pairs VALUES (?, ?, ?) "
    "ON CONFLICT (key) DO UPDATE SET value = excluded.value, sum = excluded.sum"
)
_DELETE = "DELETE FROM pairs WHERE key = ?"


class StoreError(NanoBoostError):
    """The node's own disk refused a write; what it holds is unknown, and the node must stop."""


class SqliteStore:
    """A `nanoboost.runtime.DurableStore` in the file `path`.

    `reactor` provides IReactorFromThreads.  Raises `UserError` if the file cannot be used, is not
    ours, is damaged, or is in use by another process.
    """

    _log = Logger()

    def __init__(self, path: str, reactor: Any) -> None:
        self._path = path
        self._reactor = reactor
        self._connection = _opened(path)
        self._queue: list[tuple[Writes, Deferred[None]]] = []
        self._changed = threading.Condition()  # guards _queue, _writing and _closing
        self._writing = False
        self._closing = False
        self._error: StoreError | None = None  # only touched in the reactor's thread
        self._closed: list[Deferred[None]] = []
        self._is_closed = False
        self.is_full = False
        """Whether commits wait for space; only touched in the reactor's thread."""
        self._thread = threading.Thread(target=self._write, name="store", daemon=True)
        self._thread.start()

    def load(self, prefix: bytes) -> list[Pair]:
        """All pairs whose key starts with `prefix`, by key; waits for the commits under way."""
        with self._changed:
            self._changed.wait_for(lambda: not self._queue and not self._writing)
            return _pairs(self._connection, self._path, prefix)

    def commit(self, writes: Writes) -> "Deferred[None]":
        """Put each (key, value); a value of None deletes the key.  Fails with `StoreError`."""
        if self._error is not None:
            return fail(self._error)
        if self._closed:
            return fail(StoreError(f"{self._path} is closed"))
        done: Deferred[None] = Deferred()
        with self._changed:
            self._queue.append((tuple(writes), done))
            self._changed.notify_all()
        return done

    def close(self) -> "Deferred[None]":
        """Release the file once all commits are done."""
        if self._is_closed:
            return succeed(None)
        done: Deferred[None] = Deferred()
        self._closed.append(done)
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        return done

    # --- the writer thread -----------------------------------------------------------------------

    def _write(self) -> None:
        """Commit what is queued, all of it in one transaction, until the store is closed."""
        error: StoreError | None = None
        while True:
            with self._changed:
                self._writing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._queue or self._closing)
                batches, self._queue = self._queue, []
                if not batches:
                    break
                self._writing = True
            if error is None:
                try:
                    self._transact_when_there_is_space([writes for writes, _ in batches])
                except Exception as found:  # whatever it is, the disk's state is unknown
                    error = StoreError(f"{self._path}: {found}")
            self._reactor.callFromThread(self._answer, [done for _, done in batches], error)
        self._connection.close()
        self._reactor.callFromThread(self._answer_closed)

    def _transact_when_there_is_space(self, batches: Sequence[Writes]) -> None:
        """Try again while the disk is full, unless the store is being closed."""
        is_told = False
        while True:
            try:
                self._transact(batches)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
                    raise
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                if not is_told:
                    self._reactor.callFromThread(self._tell_full)
                is_told = True
                with self._changed:
                    if self._changed.wait_for(lambda: self._closing, FULL_RETRY_S):
                        raise
            else:
                return

    def _transact(self, batches: Sequence[Writes]) -> None:
        last = {key: value for writes in batches for key, value in writes}
        execute, execute_many = self._connection.execute, self._connection.executemany
        execute("BEGIN IMMEDIATE")
        execute_many(_DELETE, [(key,) for key, value in last.items() if value is None])
        kept = [(key, value) for key, value in last.items() if value is not None]
        execute_many(_PUT, [(key, value, checksum(key, value)) for key, value in kept])
        execute("COMMIT")

    # --- back in the reactor's thread ------------------------------------------------------------

    def _answer(self, waiting: "list[Deferred[None]]", error: StoreError | None) -> None:
        self.is_full = False
        if error is not None:
            self._error = error
        for done in waiting:
            if error is None:
                done.callback(None)
            else:
                done.errback(Failure(error))

    def _tell_full(self) -> None:
        self.is_full = True
        self._log.warn(
            "{path}: the disk is full; nothing is promised until there is space again",
            event="disk_full",
            path=self._path,
        )

    def _answer_closed(self) -> None:
        self._is_closed = True
        for done in self._closed:
            done.callback(None)


def read_pairs(path: str, prefix: bytes) -> list[Pair]:
    """The pairs of a database that nobody uses, as `SqliteStore.load`.  Raises `UserError` as
    `SqliteStore` does."""
    with closing(_opened(path)) as connection:
        return _pairs(connection, path, prefix)


def _pairs(connection: sqlite3.Connection, path: str, prefix: bytes) -> list[Pair]:
    try:
        rows = connection.execute(
            "SELECT key, value, sum FROM pairs WHERE key >= ? AND substr(key, 1, ?) = ? "
            "ORDER BY key",
            (prefix, len(prefix), prefix),
        ).fetchall()
    except sqlite3.DatabaseError as error:
        raise _damaged(path, error) from None
    return verified(path, rows)


def checksum(key: bytes, value: bytes) -> int:
    """What is kept beside a value."""
    return crc32(value, crc32(key))


def verified(path: str, rows: Iterable[tuple[bytes, bytes, int | None]]) -> list[Pair]:
    """Rows of (key, value, checksum, None of the first version) without their checksums.  Raises
    `UserError` if one is wrong."""
    pairs = []
    for key, value, found in rows:
        if found is not None and found != checksum(key, value):
            raise _damaged(path, "what is read is not what was written")
        pairs.append((key, value))
    return pairs


def _opened(path: str) -> sqlite3.Connection:
    """The connection, with the database made or checked.  Exclusive: a second process is refused,
    and the write-ahead log needs no shared memory beside it."""
    try:
        connection = sqlite3.connect(
            path, timeout=LOCK_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
    except sqlite3.Error as error:
        raise UserError(f"{path} cannot be opened ({error}): is its directory there?") from None
    try:
        _prepare(connection, path)
    except sqlite3.Error as error:
        connection.close()
        if "locked" in str(error):
            raise UserError(f"{path} is in use: does another node run on this state?") from None
        if isinstance(error, sqlite3.OperationalError) and "malformed" not in str(error):
            raise UserError(f"{path} cannot be used ({error}): is the disk full?") from None
        raise _damaged(path, error) from None
    except UserError:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: str) -> None:
    def ask(question: str) -> Any:
        return connection.execute(question).fetchone()[0]

    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    is_new = not ask("SELECT count(*) FROM sqlite_master")
    if not is_new and ask("PRAGMA application_id") != APPLICATION_ID:
        raise UserError(f"{path} is no state of a node: choose another state directory")
    version = ask("PRAGMA user_version")
    if version > SCHEMA_VERSION:
        raise UserError(f"{path} was written by a newer NanoBoost: upgrade this one")
    if ask("PRAGMA journal_mode = WAL") != "wal":
        raise UserError(f"{path}: no write-ahead log possible here; is this a local disk?")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA fullfsync = 1")  # macOS: fsync alone does not reach the platter
    if not is_new and ask("PRAGMA quick_check(1)") != "ok":
        raise sqlite3.DatabaseError("quick_check found damage")
    if is_new or version < SCHEMA_VERSION:
        connection.executescript(_SCHEMA.format(_TABLE if is_new else _WITH_SUMS))


def _damaged(path: str, error: Exception | str) -> UserError:
    return UserError(
        f"{path} is damaged ({error}): move the state directory away; this node then joins as new"
    )
