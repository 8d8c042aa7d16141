"""Snapshots: compacting the log, and giving the state to a member that lags behind what is left.

**A snapshot holds only what is applied, and the configuration that was in force there**, never one
that may yet be truncated.  It travels in pieces, each asked for by the answer to the one before, so
heartbeats pass between them; a piece that is lost is repeated.
"""

from attrs import define

from nanoboost.consensus.effects import Restore, TakeSnapshot
from nanoboost.consensus.messages import (
    Appended,
    InstallSnapshot,
    Snapshot,
    SnapshotReceived,
)
from nanoboost.consensus.progress import Progress
from nanoboost.consensus.state import State
from nanoboost.ids import NodeId

PIECE_BYTES = 64 * 1024
LOG_BYTES_MIN = 1 << 20
LOG_FACTOR = 4
"""A snapshot is taken when the log has grown to this many times the last one, and to
`LOG_BYTES_MIN`: so writing snapshots costs a quarter of writing the log, at most."""
LOG_ENTRIES_MAX = 8192
TRAILING_ENTRIES = 512
"""Kept behind a snapshot, for members that are a little behind."""
TRAILING_BYTES = 4 << 20


@define
class _Incoming:
    """A snapshot of which some pieces are here."""

    sender: NodeId
    term: int
    index: int
    index_term: int
    data: bytearray


class Snapshotting:
    """Both ends of it."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._asked_at = 0
        self._incoming: _Incoming | None = None

    # --- compacting ------------------------------------------------------------------------------

    def consider(self) -> None:
        """Ask for a snapshot if the log has grown enough."""
        state, log = self._state, self._state.log
        last = state.snapshot
        size = len(last.data) if last else 0
        is_large = log.bytes_applied > max(LOG_BYTES_MIN, LOG_FACTOR * size)
        is_long = log.applied - (last.index if last else 0) > LOG_ENTRIES_MAX
        if (is_large or is_long) and self._asked_at < log.applied:
            self._asked_at = log.applied
            state.outbox.append(TakeSnapshot(log.applied))

    def taken(self, index: int, data: bytes) -> None:
        """The state after the entry at `index` is here: drop what it stands for."""
        state, log = self._state, self._state.log
        if state.snapshot is not None and index <= state.snapshot.index:
            return
        assert index <= log.applied
        term = log.term_at(index)
        assert term is not None
        state.keep_snapshot(Snapshot(index, term, state.membership.at(index), data))
        state.counters.snapshots_taken += 1
        log.bytes_applied = 0
        kept = index
        size = 0
        while kept > log.base_index and index - kept < TRAILING_ENTRIES and size < TRAILING_BYTES:
            size += log.between(kept, kept)[0].size
            kept -= 1
        state.membership.compact(index)
        log.compact(kept)

    # --- giving ----------------------------------------------------------------------------------

    def begin(self, now: float, node: NodeId, progress: Progress) -> None:
        """The member lacks entries that are compacted away."""
        assert self._state.snapshot is not None
        progress.send_snapshot(self._state.snapshot)
        self._state.counters.snapshots_sent += 1
        self._send_piece(now, node, progress)

    def repeat(self, now: float, node: NodeId, progress: Progress) -> None:
        """The member answers heartbeats but not the last piece: it may be lost."""
        if now - progress.sent_at >= self._state.timing.election_s_min:
            self._send_piece(now, node, progress)

    def piece_received(self, now: float, node: NodeId, message: SnapshotReceived) -> None:
        """The member has so many bytes: the next piece, please."""
        progress = self._state.progress.get(node)
        if progress is None:
            return
        progress.heard_at = now
        snapshot = progress.snapshot
        if snapshot is None or snapshot.index != message.index:
            return
        if 0 <= message.offset < len(snapshot.data) and message.offset != progress.offset:
            progress.offset = message.offset
            self._send_piece(now, node, progress)

    def _send_piece(self, now: float, node: NodeId, progress: Progress) -> None:
        snapshot = progress.snapshot
        assert snapshot is not None
        progress.sent_at = now
        piece = snapshot.data[progress.offset : progress.offset + PIECE_BYTES]
        self._state.counters.snapshot_bytes_sent += len(piece)
        self._state.send(
            node,
            InstallSnapshot(
                self._state.route(node),
                self._state.term,
                snapshot.index,
                snapshot.term,
                snapshot.configuration,
                progress.offset,
                len(snapshot.data),
                piece,
            ),
        )

    # --- getting ---------------------------------------------------------------------------------

    def piece(self, sender: NodeId, message: InstallSnapshot) -> None:
        """The leader of this term sends a piece."""
        state, log = self._state, self._state.log
        if message.index <= log.commit:
            self._incoming = None
            state.promise(sender, Appended(state.route(sender), state.term, log.commit))
            return
        if log.term_at(message.index) == message.index_term:
            # All that it stands for is here already, and it proves that committed.
            self._incoming = None
            log.committed_to(message.index)
            state.promise(sender, Appended(state.route(sender), state.term, message.index))
            return
        incoming = self._expected(sender, message)
        if message.offset == len(incoming.data):
            incoming.data += message.data
        if len(incoming.data) < message.total:
            state.send(
                sender,
                SnapshotReceived(
                    state.route(sender), state.term, message.index, len(incoming.data)
                ),
            )
            return
        self._incoming = None
        snapshot = Snapshot(
            message.index, message.index_term, message.configuration, bytes(incoming.data)
        )
        state.become(snapshot)
        state.counters.snapshots_installed += 1
        state.counters.snapshot_bytes_installed += len(snapshot.data)
        state.outbox.append(Restore(snapshot))
        state.promise(sender, Appended(state.route(sender), state.term, snapshot.index))

    def _expected(self, sender: NodeId, message: InstallSnapshot) -> _Incoming:
        """The snapshot that the piece belongs to; a piece of another one starts anew."""
        name = (sender, message.term, message.index, message.index_term)
        found = self._incoming
        if found is None or (found.sender, found.term, found.index, found.index_term) != name:
            found = self._incoming = _Incoming(*name, bytearray())
        return found
