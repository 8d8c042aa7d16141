"""What Raft nodes say to each other, and the entries of the log.

**Every message names the cluster, its generation, the log and the receiver** (`Route`); the sender
is known from the session.  A message for another cluster, an older generation or another node
(whose address this one has inherited) is dropped before anything else in it is looked at; and so is
one about another log: two nodes that were both told to found the cluster must never mix theirs.
"""

import enum

from attrs import frozen

from nanoboost.consensus.membership import Configuration
from nanoboost.errors import RemoteError
from nanoboost.ids import NodeId, Term
from nanoboost.wire.codec import Catalog, message

FIRST_GENERATION = 1
"""The generation goes up when an operator recovers a cluster that has lost its quorum for good
(`recovery`), and fences off whoever of the lost side returns."""


NOBODY_YET = NodeId("")


@frozen
class Route:
    """Whom a message is for, and which log it is about (`HardState.founder`)."""

    cluster: str
    generation: int
    to: NodeId
    founder: NodeId = NOBODY_YET


ENTRY_BYTES = 32
"""About what an entry costs besides its data."""


class EntryKind(enum.Enum):
    """What the data of an entry is."""

    NOOP = 0
    """Nothing: it commits what earlier terms have left behind."""
    RECORD = 1
    """An encoded record for the registry."""
    CONFIGURATION = 2
    """An encoded `Configuration`."""


@message(90)
class Entry:
    """One entry of the log."""

    index: int
    term: Term
    kind: EntryKind
    data: bytes

    @property
    def size(self) -> int:
        """About how many bytes it takes, on the wire, in memory and on the disk."""
        return len(self.data) + ENTRY_BYTES


@message(92)
class HardState:
    """What a node must never forget: the term it is in, whom it voted for there ("": nobody), who
    founded the log that it has a copy of ("": it has none yet), and the generation of that log.
    Lies in the durable store."""

    term: Term
    vote: NodeId
    founder: NodeId = NOBODY_YET
    generation: int = FIRST_GENERATION


@message(93)
class Snapshot:
    """The state after the entry at `index`, and the configuration that was in force there."""

    index: int
    term: Term
    configuration: Configuration
    data: bytes


DURABLE = Catalog((Entry, HardState, Snapshot))
"""What lies in the durable store."""


@message(70)
class RequestVote:
    """Candidate to voter: vote for me in `term`.  `is_pre`: would you? (nothing changes yet).
    `is_transfer`: the leader itself told me to, so do not protect it."""

    route: Route
    term: Term
    last_index: int
    last_term: Term
    is_pre: bool
    is_transfer: bool


@message(71)
class Vote:
    """The answer.  `term` is the one asked for where granted, the voter's own where refused."""

    route: Route
    term: Term
    is_granted: bool
    is_pre: bool


@message(72)
class AppendEntries:
    """Leader to member: after the entry at `previous_index` come these; all up to `commit` is
    committed."""

    route: Route
    term: Term
    previous_index: int
    previous_term: Term
    entries: tuple[Entry, ...]
    commit: int


@message(73)
class Appended:
    """Member to leader: my log agrees with yours up to `index`, durably."""

    route: Route
    term: Term
    index: int


@message(74)
class AppendRefused:
    """Member to leader: I have nothing like your entry at `index`.  My last entry there or below
    whose term is not above yours is at `hint_index` and of `hint_term`."""

    route: Route
    term: Term
    index: int
    hint_index: int
    hint_term: Term


@message(75)
class Heartbeat:
    """Leader to anybody: I lead `term`.  `commit` is never above what the receiver is known to
    have; `read` numbers the latest round of ReadIndex; `is_question`: answer, please."""

    route: Route
    term: Term
    commit: int
    read: int
    is_question: bool = True


@message(76)
class HeartbeatAnswer:
    """Member to leader: heard, with the `read` that came.  A higher term deposes."""

    route: Route
    term: Term
    read: int


@message(77)
class InstallSnapshot:
    """Leader to member: `data` is the piece at `offset` of a snapshot of `total` bytes."""

    route: Route
    term: Term
    index: int
    index_term: Term
    configuration: Configuration
    offset: int
    total: int
    data: bytes


@message(78)
class SnapshotReceived:
    """Member to leader: I have the first `offset` bytes of the snapshot of `index`."""

    route: Route
    term: Term
    index: int
    offset: int


@message(79)
class TimeoutNow:
    """Leader to voter: stand for election at once; I am going."""

    route: Route
    term: Term


@message(80)
class LeaveRequest:
    """Member to leader: take me out of the configuration.  Repeated until answered."""

    route: Route
    term: Term


@message(81)
class LeaveDone:
    """Leader to a node that asked to leave: you are out, and that is committed."""

    route: Route
    term: Term


@message(82)
class Fenced:
    """To whoever speaks of another generation than mine, which the route names: we have nothing to
    say to each other.  Never answered."""

    route: Route


RAFT = (
    RequestVote,
    Vote,
    AppendEntries,
    Appended,
    AppendRefused,
    Heartbeat,
    HeartbeatAnswer,
    InstallSnapshot,
    SnapshotReceived,
    TimeoutNow,
    LeaveRequest,
    LeaveDone,
    Fenced,
)
Message = (
    RequestVote
    | Vote
    | AppendEntries
    | Appended
    | AppendRefused
    | Heartbeat
    | HeartbeatAnswer
    | InstallSnapshot
    | SnapshotReceived
    | TimeoutNow
    | LeaveRequest
    | LeaveDone
    | Fenced
)


def check(message: Message) -> None:
    """Raise `RemoteError` if the message is one that no leader of ours can have sent."""
    if isinstance(message, AppendEntries):
        if message.previous_index < 0:
            raise RemoteError("entries before the first")
        for place, entry in enumerate(message.entries, message.previous_index + 1):
            if entry.index != place or entry.term > message.term:
                raise RemoteError(f"entry {entry.index} of term {entry.term} at {place}")
            if entry.kind is EntryKind.CONFIGURATION:
                Configuration.decode(entry.data)
    elif isinstance(message, InstallSnapshot):
        message.configuration.check()
        if message.offset < 0 or message.offset + len(message.data) > message.total:
            raise RemoteError("a piece beyond the snapshot's end")
