"""What happens to the core (events) and what it wants done (effects)."""

from collections.abc import Mapping

from attrs import frozen

from nanoboost.consensus.autopilot import PeerView
from nanoboost.consensus.membership import Change, Configuration
from nanoboost.consensus.messages import Entry, HardState, Message, Snapshot
from nanoboost.ids import NodeId, Term

# --- events --------------------------------------------------------------------------------------


@frozen
class Received:
    """`sender` has said `message`."""

    sender: NodeId
    message: Message


@frozen
class Persisted:
    """What `Persist` with the same token asked for, and all before it, survives a power cut."""

    token: int


@frozen
class Proposed:
    """The master of `term` wants this record in the log, and those that came with it: together
    they are one message to each member, and one write."""

    term: Term
    data: bytes
    more: tuple[bytes, ...] = ()


@frozen
class ReadAsked:
    """Answer with `ReadReady` once everything that was committed before now is applied."""

    ticket: int


@frozen
class SnapshotTaken:
    """The state after the entry at `index`, which `TakeSnapshot` asked for."""

    index: int
    data: bytes


@frozen
class PeersChanged:
    """How gossip sees the nodes now."""

    peers: Mapping[NodeId, PeerView]


@frozen
class NodeGone:
    """The host of `node` says that there is no such process any more."""

    node: NodeId


@frozen
class ChangeAsked:
    """Change the configuration (what the autopilot finds goes the same way)."""

    change: Change


@frozen
class TransferAsked:
    """Hand the leadership to `to`, or to the best voter."""

    to: NodeId | None = None


@frozen
class LeaveAsked:
    """Take this node out of the configuration in good order; answer with `LeaveFinished`."""


Event = (
    Received
    | Persisted
    | Proposed
    | ReadAsked
    | SnapshotTaken
    | PeersChanged
    | NodeGone
    | ChangeAsked
    | TransferAsked
    | LeaveAsked
)

# --- effects -------------------------------------------------------------------------------------


@frozen
class Send:
    """Say it; it may be lost."""

    to: NodeId
    message: Message


@frozen
class Persist:
    """Make durable in one batch, then tell `Persisted(token)`; batches in the order of the tokens.

    Afterwards the log on the disk runs from `first` to `last`, with `entries` put over what was
    there; what is outside is deleted.
    """

    token: int
    hard_state: HardState | None
    snapshot: Snapshot | None
    entries: tuple[Entry, ...]
    first: int
    last: int


@frozen
class Apply:
    """These entries are committed and durable here: apply them, in order."""

    entries: tuple[Entry, ...]


@frozen
class Restore:
    """Become this state, which stands for all entries up to its index."""

    snapshot: Snapshot


@frozen
class TakeSnapshot:
    """Tell `SnapshotTaken` with the state after the entry at `index`, the last that was applied."""

    index: int


@frozen
class MastershipChanged:
    """The term, the leader, or whether that is this node, is another."""

    term: Term
    leader: NodeId | None
    is_me: bool


@frozen
class ConfigurationSettled:
    """This configuration is committed and not joint."""

    configuration: Configuration


@frozen
class ReadReady:
    """The state that is applied now is as new as anything committed when the read was asked."""

    ticket: int


@frozen
class ReadRefused:
    """This node is not the leader, or has ceased to be."""

    ticket: int


@frozen
class ForeignLog:
    """`sender` has another log in the same cluster: both have been told to found it."""

    sender: NodeId


@frozen
class Outdated:
    """`sender` is of a later generation: the cluster has been recovered without this node."""

    sender: NodeId
    generation: int


@frozen
class LeaveFinished:
    """This node is out of the configuration, or has waited long enough."""


Effect = (
    Send
    | Persist
    | Apply
    | Restore
    | TakeSnapshot
    | MastershipChanged
    | ConfigurationSettled
    | ReadReady
    | ReadRefused
    | ForeignLog
    | Outdated
    | LeaveFinished
)
