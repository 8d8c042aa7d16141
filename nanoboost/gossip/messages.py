"""What nodes say about membership: datagrams (tags 120-139) and questions over TCP (100-119).

**Every rumor fits alone in a datagram of `DATAGRAM_BYTES_MAX`**: the bounds of names, addresses and
metadata are checked where the values are made, so also where they are decoded.

Pings, acks and gossip are nearly all that is ever said; these have a fixed form of 29 bytes (a ping
37) and the rumors as they are.  All else is a tagged array as everywhere on the wire.
"""

import struct

from attrs import field, frozen

from nanoboost.errors import RemoteError
from nanoboost.gossip.members import (
    BOOT_BYTES,
    CLAIM_BYTES,
    MEMBERS_MAX,
    Incarnation,
    Rumor,
    State,
)
from nanoboost.ids import NODE_ID, Address, NodeId
from nanoboost.wire.codec import Catalog, message

DATAGRAM_BYTES_MAX = 1200
"""Sealed; the payload that every IPv6 path carries whole (1280 less headers)."""
SEAL_BYTES = 36
MESSAGE_BYTES_MAX = DATAGRAM_BYTES_MAX - SEAL_BYTES
RUMOR_BYTES_MAX = MESSAGE_BYTES_MAX - 180
"""What the rest of any datagram leaves for rumors."""
RUMOR_BYTES_MIN = CLAIM_BYTES + 3
RUMORS_MAX = 64
BUDGET_S_MAX = 60.0
STREAM_BYTES_MAX = 900_000
"""A whole table, well below the frame's 1 MiB."""
PRINT_BYTES = 8
"""What stands for a row of a table: equal rows have equal prints, others all but surely do not."""


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
        if len(self.digest) != 8 or not 0 <= self.sequence < 1 << 32:
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


@message(127)
class Twin:
    """I am who you say that you are, under another `boot` id, and have run for `up_s` seconds: one
    of us is a copy.  `gives_way`: the receiver was started later, and has to be somebody else."""

    header: Header
    boot: bytes
    up_s: float
    gives_way: bool
    rumors: tuple[Rumor, ...] = field(default=(), validator=_few)

    def __attrs_post_init__(self) -> None:
        if len(self.boot) != BOOT_BYTES or self.up_s < 0:
            raise ValueError("boot id or time out of bounds")


Datagram = Ping | Ack | PingRequest | Nack | Gossip | NotMe | Accused | Twin
_ALL = Catalog((Ping, Ack, PingRequest, Nack, Gossip, NotMe, Accused, Twin), items_max=2000)
_HEAD = struct.Struct(">B8sIII8s")
_ACK_FORM, _PING_FORM, _GOSSIP_FORM = 1, 2, 3  # an array of CBOR begins with a byte from 0x80
_FORMS: dict[type, int] = {Ack: _ACK_FORM, Ping: _PING_FORM, Gossip: _GOSSIP_FORM}


class Datagrams:
    """Datagrams to bytes, and back as `Catalog` does it."""

    def encode(self, message: Datagram) -> bytes:
        """Return the bytes of `message`."""
        form = _FORMS.get(type(message))
        if form is None:
            return _ALL.encode(message)
        header, incarnation = message.header, message.header.incarnation
        parts = [
            _HEAD.pack(
                form,
                bytes.fromhex(header.sender),
                incarnation.generation,
                incarnation.counter,
                header.sequence,
                header.digest,
            )
        ]
        if isinstance(message, Ping):
            parts.append(bytes.fromhex(message.target))
        for rumor in message.rumors:
            packed = rumor.to_wire()
            parts += (len(packed).to_bytes(2, "big"), packed)
        return b"".join(parts)

    def decode(self, data: bytes) -> Datagram:
        """Return the datagram that `data` holds, checked field by field, or raise `RemoteError`."""
        form = data[0] if data else 0
        if not _ACK_FORM <= form <= _GOSSIP_FORM:
            found: Datagram = _ALL.decode(data)
            return found
        try:
            return _decode(form, data)
        except (ValueError, struct.error) as error:
            raise RemoteError(str(error)) from None


def _decode(form: int, data: bytes) -> Datagram:
    _, sender, generation, counter, sequence, digest = _HEAD.unpack_from(data)
    incarnation = Incarnation(generation, counter)
    header = Header(NodeId(sender.hex()), incarnation, sequence, digest)
    at = _HEAD.size
    if form == _PING_FORM:
        if len(data) < at + 8:
            raise ValueError("a ping ends early")
        target, at = NodeId(data[at : at + 8].hex()), at + 8
    rumors = []
    while at < len(data):
        at, begun = at + 2, at
        at, begun = at + int.from_bytes(data[begun:at], "big"), at
        if at > len(data):
            raise ValueError("a rumor ends early")
        rumors.append(Rumor.from_wire(data[begun:at]))
    if form == _PING_FORM:
        return Ping(header, target, tuple(rumors))
    return (Ack if form == _ACK_FORM else Gossip)(header, tuple(rumors))


DATAGRAMS = Datagrams()


def _prints(_instance: object, _attribute: object, prints: bytes) -> None:
    if len(prints) % PRINT_BYTES or len(prints) > PRINT_BYTES * MEMBERS_MAX:
        raise ValueError("not the prints of a table")


@message(100)
class Sync:
    """Here are some `rows` of my table, my own at least, and the `prints` of all of them one after
    the other: give me what I have not.  Also how a node joins."""

    rows: tuple[Rumor, ...]
    prints: bytes = field(default=b"", validator=_prints)


@message(101)
class Synced:
    """The answer to `Sync`: the rows that the other has not, after those of the question were
    taken, and the prints that it named of rows that are `wanted` here."""

    rows: tuple[Rumor, ...]
    wanted: bytes = field(default=b"", validator=_prints)


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
    """How much `rumor` adds to what carries it, at most."""
    return len(rumor.to_wire()) + 3


def within(rows: list[Rumor], bytes_max: int) -> tuple[Rumor, ...]:
    """As many of `rows`, from the first, as fit in `bytes_max`."""
    size, count = 0, 0
    for row in rows:
        size += rumor_bytes(row)
        if size > bytes_max:
            break
        count += 1
    return tuple(rows[:count])
