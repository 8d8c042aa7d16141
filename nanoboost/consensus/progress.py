"""What a leader knows about one member, and what it may send there next.

**All transitions are here.**  PROBE: where the logs agree is being looked for, one message at a
time.  REPLICATE: it is known, and entries are sent ahead of the answers, within bounds.  SNAPSHOT:
what the member lacks is compacted away, and it gets the state in pieces instead.
"""

import enum
from collections import deque

from attrs import define, field

from nanoboost.consensus.messages import Snapshot

INFLIGHT_MAX = 64
"""Messages with entries that are on their way to one member.  With `replication.BATCH_BYTES_MAX`
this bounds what a member that is stuck costs its leader."""


class Phase(enum.Enum):
    """How a member is being brought up to date."""

    PROBE = 0
    REPLICATE = 1
    SNAPSHOT = 2


@define
class Progress:
    """One member.  `match`: known to be there, durably; `next`: what to send next."""

    next: int
    heard_at: float
    match: int = 0
    phase: Phase = Phase.PROBE
    inflight: deque[int] = field(factory=deque)
    """The last index of each message on its way, ascending."""
    is_probing: bool = False
    """A probe is on its way."""
    read: int = 0
    """The latest round of ReadIndex that the member has answered."""
    sent_at: float = 0.0
    snapshot: Snapshot | None = None
    offset: int = 0

    @property
    def may_send(self) -> bool:
        """Whether entries may leave now."""
        if self.phase is Phase.REPLICATE:
            return len(self.inflight) < INFLIGHT_MAX
        return self.phase is Phase.PROBE and not self.is_probing

    def sent(self, now: float, last_index: int, count: int) -> None:
        """An AppendEntries with `count` entries up to `last_index` has left."""
        self.sent_at = now
        if self.phase is Phase.PROBE:
            self.is_probing = True
        elif count:
            self.next = last_index + 1
            self.inflight.append(last_index)

    def agreed(self, index: int) -> None:
        """The member agrees up to `index`."""
        self.match = max(self.match, index)
        self.next = max(self.next, self.match + 1)
        while self.inflight and self.inflight[0] <= index:
            self.inflight.popleft()
        if self.phase is Phase.PROBE:
            self._replicate()
        elif self.phase is Phase.SNAPSHOT:
            assert self.snapshot is not None
            if self.match >= self.snapshot.index:
                self._replicate()

    def refused(self, index: int, retry_from: int) -> bool:
        """The member does not have the entry at `index`; return False if that answer is old.  (Or
        if the member has forgotten what it acknowledged, its disk being a copy of an older one: to
        ask again at once would be answered in the same way, without end.)"""
        if index <= self.match:
            return False
        if self.phase is Phase.REPLICATE:
            self.probe(self.match + 1)
            return True
        if self.phase is not Phase.PROBE or index != self.next - 1:
            return False
        self.probe(max(self.match + 1, min(index, retry_from)))
        return True

    def probe(self, first: int) -> None:
        """Look for where the logs agree, at `first - 1`."""
        self.phase, self.next, self.is_probing = Phase.PROBE, first, False
        self.inflight.clear()
        self.snapshot = None

    def send_snapshot(self, snapshot: Snapshot) -> None:
        """Give the state instead of the entries."""
        self.phase, self.snapshot, self.offset = Phase.SNAPSHOT, snapshot, 0
        self.inflight.clear()

    def _replicate(self) -> None:
        self.phase, self.next, self.is_probing = Phase.REPLICATE, self.match + 1, False
        self.inflight.clear()
        self.snapshot = None
