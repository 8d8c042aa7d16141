"""Which attempts run here, on the node's own disk.

**What was running when this node's process ended is told at its next start**, so that it is counted
whoever was master: a task that takes its node along would otherwise never be counted where that
node was the master.  What has ended is left in the note until something else starts, for the disk's
sake.  To tell of it again changes nothing, since each attempt counts once; only one that had been
cancelled, or found no fit machine, is then taken for a crash.
"""

from collections.abc import Callable, Iterable

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from nanoboost.errors import RemoteError
from nanoboost.ids import Attempt, AttemptKey, JobId, NodeId, TaskId
from nanoboost.runtime import DurableStore
from nanoboost.wire.codec import decode_value, encode_value

IN_FLIGHT_KEY = b"agent/running"


class InFlight:
    """The note of node `me`; `crashed` hears if the disk refuses it."""

    def __init__(self, me: NodeId, store: DurableStore, crashed: Callable[[Failure], None]) -> None:
        self._me = me
        self._store = store
        self._crashed = crashed
        self._keys: dict[AttemptKey, None] = {}

    def load(self) -> tuple[AttemptKey, ...]:
        """What was running when this node's process ended the last time.  They stay in the note
        until they are `over`.  What another node has noted (on a disk that was copied) is none."""
        found = dict(self._store.load(IN_FLIGHT_KEY)).get(IN_FLIGHT_KEY)
        try:
            me, rows = decode_value(found) if found else (self._me, [])
            if me == self._me:
                self._keys = dict.fromkeys(map(_key, rows))
        except (RemoteError, TypeError, ValueError):
            self._keys = {}
        return tuple(self._keys)

    def begins(self, key: AttemptKey) -> None:
        """The attempt starts.  Nothing waits for the disk: it is quicker than a new process."""
        self._keys[key] = None
        self._write(self._keys).addErrback(self._crashed)

    def over(self, key: AttemptKey) -> None:
        """The attempt has ended, or a master has counted it."""
        self._keys.pop(key, None)

    def close(self) -> None:
        """The node stops in good order: what runs is stopped, and was not why."""
        self._write(()).addErrback(lambda _: None)  # then it will be told; that may be

    def _write(self, keys: Iterable[AttemptKey]) -> "Deferred[None]":
        rows = [[key.job, key.task, key.attempt.term, key.attempt.n] for key in keys]
        return self._store.commit([(IN_FLIGHT_KEY, encode_value([self._me, rows]))])


def _key(row: tuple[str, int, int, int]) -> AttemptKey:
    job, task, term, n = row
    return AttemptKey(JobId(str(job)), TaskId(int(task)), Attempt(int(term), int(n)))
