"""Raft's part of the node's durable store.

**One `Persist` is one atomic batch**: term and vote, the snapshot, the entries, and the deletion of
what they replace, are there together or not at all.
"""

from collections.abc import Mapping

from twisted.internet.defer import Deferred

from nanoboost.consensus.effects import Persist
from nanoboost.consensus.messages import DURABLE, HardState
from nanoboost.consensus.state import NOTHING, Stored
from nanoboost.errors import RemoteError, UserError
from nanoboost.runtime import DurableStore

PREFIX = b"raft/"
_HARD_STATE = b"raft/term"
_SNAPSHOT = b"raft/snapshot"
_LOG = b"raft/log/"


class RaftStore:
    """Loads a `Stored`, commits each `Persist`."""

    def __init__(self, store: DurableStore) -> None:
        self._store = store
        self._first, self._last = 1, 0  # the entries on the disk, once all commits are done

    @property
    def is_full(self) -> bool:
        """Whether what was committed waits for space on the disk."""
        return self._store.is_full

    def load(self) -> Stored:
        """What the node knew.  Raises `UserError` if it makes no sense to this version."""
        stored = decoded(dict(self._store.load(PREFIX)))
        if stored.entries:
            self._first, self._last = stored.entries[0].index, stored.entries[-1].index
        return stored

    def commit(self, persist: Persist) -> "Deferred[None]":
        """Make it durable; see `DurableStore.commit`."""
        writes: list[tuple[bytes, bytes | None]] = []
        if persist.hard_state is not None:
            writes.append((_HARD_STATE, DURABLE.encode(persist.hard_state)))
        if persist.snapshot is not None:
            writes.append((_SNAPSHOT, DURABLE.encode(persist.snapshot)))
        writes += [(_key(entry.index), DURABLE.encode(entry)) for entry in persist.entries]
        kept = range(persist.first, persist.last + 1)
        if self._first < persist.first:
            lost = range(self._first, min(persist.first, self._last + 1))
            writes += [(_key(index), None) for index in lost]
        if self._last > persist.last:
            lost = range(max(persist.last + 1, self._first, persist.first), self._last + 1)
            writes += [(_key(index), None) for index in lost]
        self._first, self._last = kept.start, kept.stop - 1
        return self._store.commit(writes)


def decoded(pairs: Mapping[bytes, bytes]) -> Stored:
    """What a node's store holds for Raft.  Raises `UserError` if it makes no sense to this
    version."""
    try:
        hard_state: HardState = (
            DURABLE.decode(pairs[_HARD_STATE]) if _HARD_STATE in pairs else NOTHING.hard_state
        )
        snapshot = DURABLE.decode(pairs[_SNAPSHOT]) if _SNAPSHOT in pairs else None
        entries = [DURABLE.decode(pairs[key]) for key in sorted(pairs) if key.startswith(_LOG)]
    except RemoteError as error:
        raise UserError(
            f"the consensus state is of another version, or damaged ({error}): "
            "move the state directory away; this node then joins as new"
        ) from None
    return Stored(hard_state, snapshot, tuple(entries))


def _key(index: int) -> bytes:
    return _LOG + index.to_bytes(8, "big")
