"""What consensus counts: plain numbers that only grow.

**Counting decides nothing**: nobody reads a counter but people and exporters, and a core without it
would do the same.  A rate is for the reader to make of two readings.
"""

import enum
from collections import deque
from collections.abc import Mapping

import attrs
from attrs import define, field

Number = int | float


class Loss(enum.Enum):
    """Why a leader has ceased to be one."""

    HIGHER_TERM = "higher_term"
    NO_QUORUM = "no_quorum"
    PAUSE = "pause"
    STALLED_DISK = "stalled_disk"
    HANDED_OVER = "handed_over"
    REMOVED = "removed"


@define
class Duration:
    """How long something has taken, each time that it was done."""

    count: int = 0
    total_s: float = 0.0
    max_s: float = 0.0
    last_s: float = 0.0

    def add(self, seconds: float, times: int = 1) -> None:
        """It took so long, so many times."""
        self.count += times
        self.total_s += seconds * times
        self.max_s = max(self.max_s, seconds)
        self.last_s = seconds


@define
class Counters:
    """Since this node started."""

    elections_started: int = 0
    """Times that it stood for election, having been promised votes."""
    elections_won: int = 0
    pre_votes_rejected: int = 0
    """Of others, by this node: somebody stands who need not, or lags behind."""
    leadership_lost: dict[Loss, int] = field(factory=lambda: dict.fromkeys(Loss, 0))
    proposals: int = 0
    """Records taken into the log of this leader."""
    proposals_dropped: int = 0
    """Records refused: not the leader of that term, too much uncommitted, or too large."""
    config_changes: int = 0
    """Configurations that this node has seen come into force for good."""
    snapshots_taken: int = 0
    snapshots_sent: int = 0
    """Begun to be sent to a member that lags behind the log."""
    snapshots_installed: int = 0
    snapshot_bytes_sent: int = 0
    snapshot_bytes_installed: int = 0
    entries_applied: int = 0
    fsync_latency: Duration = field(factory=Duration)
    """From giving a batch to the disk until it is durable, the wait in the queue included."""
    commit_latency: Duration = field(factory=Duration)
    """From taking a record, as leader, until it is applied here."""
    wake_late: Duration = field(factory=Duration)
    """How late this process came to what was due: it slept, or its reactor is saturated."""

    _open: deque[tuple[int, int, float]] = field(factory=deque, init=False)
    """What this leader has taken and not applied yet: last index, how many records, since when."""

    def proposed(self, now: float, last_index: int, count: int) -> None:
        """As leader, this node has taken so many records; the last is at `last_index`."""
        self.proposals += count
        self._open.append((last_index, count, now))

    def applied(self, now: float, index: int) -> None:
        """All entries up to `index` are applied."""
        while self._open and self._open[0][0] <= index:
            _, count, since = self._open.popleft()
            self.commit_latency.add(now - since, count)

    def lost(self, why: Loss) -> None:
        """The leadership is lost: whether what was taken commits is not for this node to see."""
        self.leadership_lost[why] += 1
        self._open.clear()


def flat(value: object, name: str = "") -> dict[str, Number]:
    """All numbers in `value` by name (`commit_latency.total_s`), for whoever prints or exports."""
    if isinstance(value, int | float):
        return {name: value}
    if isinstance(value, Mapping):
        pairs = [(getattr(key, "value", key), each) for key, each in value.items()]
    elif attrs.has(cls := type(value)):
        pairs = [(each.name, getattr(value, each.name)) for each in attrs.fields(cls)]
    else:
        return {}  # words are for people
    found: dict[str, Number] = {}
    for key, each in pairs:
        found |= flat(each, f"{name}.{key}" if name else str(key))
    return found
