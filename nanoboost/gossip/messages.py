"""What nodes say about membership: datagrams (tags 120-139) and questions over TCP (100-119).

**Every rumor fits alone in a datagram of `DATAGRAM_BYTES_MAX`**: the bounds of names, addresses and
metadata are checked where the values are made, so also where they are decoded.
"""

from attrs import field, frozen

from nanoboost.gossip.members import Incarnation, Rumor, State
from nanoboost.ids import NODE_ID, Address, NodeId
from nanoboost.wire.codec import Catalog, message

DATAGRAM_BYTES_MAX = 1200
"""Sealed; the payload that every IPv6 path carries whole (1280 less headers)."""
SEAL_BYTES = 44
MESSAGE_BYTES_MAX = DATAGRAM_BYTES_MAX - SEAL_BYTES
RUMOR_BYTES_MAX = MESSAGE_BYTES_MAX - 180
"""What the rest of any datagram leaves for rumors."""
RUMORS_MAX = 64
BUDGET_S_MAX = 60.0
STREAM_BYTES_MAX = 900_000
"""A whole table, well below the frame's 1 MiB."""


@frozen
class Header:
    """Who speaks, at which incarnation; the number of the question; the digest of its table."""

    sender: NodeId
    incarnation: Incarnation
    sequence: int
    digest: bytes

    def __attrs_post_init__(self) -> None:
        if not NODE_ID.fullmatch(self.sender):
            raise ValueError("sender is not a node id")
        if len(self.digest) != 8 or not 0 <= self.sequence < 1 << 63:
            raise ValueError("digest or sequence out of bounds")


def _few(_instance: object, _attribute: object, rumors: tuple[Rumor, ...]) -> None:
    if len(rumors) > RUMORS_MAX:
        raise ValueError(f"more than {RUMORS_MAX} rumors")


@message(120)
class Ping:
    """Are you there, `target`?"""

    header: Header
    target: NodeId
    rumors: tuple[Rumor, ...] = field(default=(), validator=_few)


@message(121)
class Ack:
    """Yes; or, from one who was asked to ping: the target answers."""

    header: Header
    rumors: tuple[Rumor, ...] = field(default=(), validator=_few)


@message(122)
class PingRequest:
    """Ping `target` at `address` for me.  I wait `budget_s` seconds; tell me at 80 % of it, by a
    `Nack`, that you at least are there (Lifeguard IV-A)."""

    header: Header
    target: NodeId
    address: Address
    budget_s: float
    rumors: tuple[Rumor, ...] = field(default=(), validator=_few)

    def __attrs_post_init__(self) -> None:
        if not 0 < self.budget_s <= BUDGET_S_MAX:
            raise ValueError("budget out of bounds")


@message(123)
class Nack:
    """I heard your `PingRequest`, and the target has not answered me yet."""

    header: Header
    rumors: tuple[Rumor, ...] = field(default=(), validator=_few)


@message(124)
class Gossip:
    """Nothing but rumors."""

    header: Header
    rumors: tuple[Rumor, ...] = field(default=(), validator=_few)


@message(125)
class NotMe:
    """You pinged `target`, but this address is mine."""

    header: Header
    target: NodeId
    rumors: tuple[Rumor, ...] = field(default=(), validator=_few)


@message(126)
class Accused:
    """I hold you in `state` at `incarnation`: refute that, if you can read this."""

    header: Header
    state: State
    incarnation: Incarnation
    rumors: tuple[Rumor, ...] = field(default=(), validator=_few)

    def __attrs_post_init__(self) -> None:
        if self.state is State.ALIVE:
            raise ValueError("accused of being alive")


Datagram = Ping | Ack | PingRequest | Nack | Gossip | NotMe | Accused
DATAGRAMS = Catalog((Ping, Ack, PingRequest, Nack, Gossip, NotMe, Accused), items_max=2000)


@message(100)
class Sync:
    """Push-pull: here is my whole table, give me yours.  Also how a node joins."""

    rows: tuple[Rumor, ...]


@message(101)
class Synced:
    """The answer to `Sync`: the whole table, after the question's was merged into it."""

    rows: tuple[Rumor, ...]


@message(102)
class StreamPing:
    """Are you there, `target`?  For networks that lose datagrams but carry TCP."""

    target: NodeId


@message(103)
class StreamPong:
    """Here is `node`."""

    node: NodeId


STREAM = (Sync, Synced, StreamPing, StreamPong)
"""All that gossip says over TCP."""
Question = Sync | StreamPing


def rumor_bytes(rumor: Rumor) -> int:
    """An upper bound of the encoded size of `rumor`."""
    described = rumor.description
    if described is None:
        return 52
    labels = sum(3 + len(label.encode()) for label in described.meta.labels)
    texts = len(described.name.encode()) + len(described.address.host)
    return 52 + texts + 46 + labels


def within(rows: list[Rumor], bytes_max: int) -> tuple[Rumor, ...]:
    """As many of `rows`, from the first, as fit in `bytes_max`."""
    size, count = 0, 0
    for row in rows:
        size += rumor_bytes(row)
        if size > bytes_max:
            break
        count += 1
    return tuple(rows[:count])
