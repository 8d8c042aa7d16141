"""What happens to the core (events) and what it wants done (effects)."""

from attrs import frozen

from nanoboost.gossip.members import Member, Meta, Rumor
from nanoboost.gossip.messages import Datagram, Question, StreamPong, Synced
from nanoboost.ids import Address, NodeId

# --- events --------------------------------------------------------------------------------------


@frozen
class Received:
    """A datagram of a member has come from `source`."""

    source: Address
    message: Datagram


@frozen
class Answered:
    """`node` has answered the question of `AskStream` with the same `ticket`."""

    ticket: int
    node: NodeId
    answer: Synced | StreamPong


@frozen
class Unanswered:
    """The question failed.  `refused`: the host is there, and nobody listens at the port."""

    ticket: int
    refused: bool


@frozen
class SyncAsked:
    """A member has sent rows of its table, and now gets `Swim.answer` to its question."""

    rows: tuple[Rumor, ...]


@frozen
class JoinAsked:
    """Find the cluster through `seeds`, and through `peers` of the last run."""

    seeds: tuple[Address, ...]
    peers: tuple[Address, ...]


@frozen
class Visited:
    """The beacon has found somebody at `address`: exchange tables."""

    address: Address


@frozen
class LeaveAsked:
    """Say goodbye."""


@frozen
class Hinted:
    """An upper layer has reason to think that `node` is gone: look now."""

    node: NodeId


@frozen
class Met:
    """`node` has just opened a session with us: it is there, whatever is held of it."""

    node: NodeId


@frozen
class MetaChanged:
    """The machine has something new to say about itself."""

    meta: Meta


@frozen
class AddressChanged:
    """This node is reached at another address from now on (the router has given it a new one)."""

    address: Address


Event = (
    Received
    | Answered
    | Unanswered
    | SyncAsked
    | JoinAsked
    | Visited
    | LeaveAsked
    | Hinted
    | Met
    | MetaChanged
    | AddressChanged
)

# --- effects -------------------------------------------------------------------------------------


@frozen
class SendDatagram:
    """Seal and send."""

    address: Address
    message: Datagram


@frozen
class AskStream:
    """Ask over TCP; answer with `Answered` or `Unanswered` and the same `ticket`."""

    ticket: int
    address: Address
    question: Question
    timeout_s: float


@frozen
class SaveGeneration:
    """Somebody has claimed a later generation of this node, and it was outbid: the next start must
    come after this one."""

    generation: int


@frozen
class LeaveFinished:
    """The goodbye has been said as often as it ever will be."""


@frozen
class TwinFound:
    """A process at `address` has this node's identity and had it before: this one runs on a copy of
    its state (a cloned card), and must take another identity."""

    address: Address


@frozen
class Isolation:
    """`is_so`: this node hears nobody, and is cut off rather than all others dead."""

    is_so: bool


@frozen
class DatagramsLost:
    """A member answers over TCP, and again and again to no datagram: something eats UDP."""

    member: Member


@frozen
class MemberUp:
    """A member is there (again); it may be suspected already."""

    member: Member


@frozen
class MemberUpdated:
    """A live member has a new incarnation, and perhaps a new address or metadata; a suspicion, if
    there was one, is refuted."""

    member: Member


@frozen
class MemberSuspected:
    """A member does not answer; it has some seconds to refute that."""

    member: Member


@frozen
class MemberDown:
    """A member has not refuted the suspicion."""

    member: Member


@frozen
class MemberLeft:
    """A member has said goodbye."""

    member: Member


MemberEvent = MemberUp | MemberUpdated | MemberSuspected | MemberDown | MemberLeft
MEMBER_EVENTS = (MemberUp, MemberUpdated, MemberSuspected, MemberDown, MemberLeft)
"""The same, for `isinstance`."""

Effect = (
    SendDatagram
    | AskStream
    | SaveGeneration
    | LeaveFinished
    | TwinFound
    | Isolation
    | DatagramsLost
    | MemberEvent
)
