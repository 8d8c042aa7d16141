"""The record of each member, and the one rule by which news about a member is believed.

**Of two claims about a member, the one of the greater incarnation wins; of two of the same
incarnation, the worse one.**  That order is total, so tables converge whatever the order in which
claims arrive, and however often (a join-semilattice).  Only the member itself makes incarnations.
"""

import enum
import ipaddress
from collections.abc import Iterator
from hashlib import blake2b
from random import Random

from attrs import evolve, field, frozen

from nanoboost.config import NODE_NAME
from nanoboost.ids import NODE_ID, Address, NodeId
from nanoboost.wire.codec import encode_value

GENERATION_MAX = (1 << 31) - 1
COUNTER_MAX = (1 << 32) - 1
META_BYTES_MAX = 256
NOBODY = NodeId("")
MEMBERS_MAX = 4096
"""Records kept, dead ones included.  Room for a newcomer is made by forgetting the longest dead."""


class State(enum.Enum):
    """What is held of a member, from best to worst."""

    ALIVE = 0
    SUSPECT = 1
    DEAD = 2
    LEFT = 3

    @property
    def is_live(self) -> bool:
        """Whether the member is to be counted, probed and told rumors (a suspect is)."""
        return self in (State.ALIVE, State.SUSPECT)


@frozen(order=True)
class Incarnation:
    """How recent a claim about a member is.  `generation` counts the starts of its process (kept
    on its disk: a Pi has no clock to trust), `counter` the refutations and changes since."""

    generation: int
    counter: int

    def __attrs_post_init__(self) -> None:
        if not (0 <= self.generation <= GENERATION_MAX and 0 <= self.counter <= COUNTER_MAX):
            raise ValueError("incarnation out of bounds")

    def next(self) -> "Incarnation":
        """The least incarnation that outbids this one; the greatest is outbid by none."""
        if self.counter < COUNTER_MAX:
            return Incarnation(self.generation, self.counter + 1)
        if self.generation < GENERATION_MAX:
            return Incarnation(self.generation + 1, 0)
        return self


@frozen
class Meta:
    """What a member says about its machine.  `speed` is relative to the reference machine; `slots`
    is how many attempts it runs at a time.  Encoded, at most 256 bytes, or rumors get too big."""

    cores: int
    memory_mib: int
    speed: float
    slots: int
    labels: tuple[str, ...] = ()

    def __attrs_post_init__(self) -> None:
        if min(self.cores, self.memory_mib, self.speed, self.slots) < 0:
            raise ValueError("a quantity is negative")
        facts = [self.cores, self.memory_mib, self.speed, self.slots, list(self.labels)]
        if len(encode_value(facts)) > META_BYTES_MAX:
            raise ValueError(f"more than {META_BYTES_MAX} bytes of metadata")


def check_address(address: Address) -> None:
    """Raise `ValueError` unless datagrams can be sent to `address`: a unicast IP address as text
    (a datagram waits for no name server) and a port."""
    ip = ipaddress.ip_address(address.host)
    if len(address.host) > 45 or ip.is_multicast or ip.is_unspecified:
        raise ValueError("not an address of one host")
    if not 0 < address.port < 65536:
        raise ValueError("port out of bounds")


def _check_name(_instance: object, _attribute: object, name: str) -> None:
    if not NODE_NAME.fullmatch(name):
        raise ValueError("not a node name")


@frozen
class Description:
    """What a member says about itself: a label for people, where it listens, what it offers."""

    name: str = field(validator=_check_name)
    address: Address = field(validator=lambda _instance, _attribute, value: check_address(value))
    meta: Meta = field()


@frozen
class Rumor:
    """A claim about a member.  `accuser` says who has suspected it or found it dead ("" for the
    other kinds).  A claim that it is alive carries its description; rows of a table all do, if
    the one who sends them has it."""

    kind: State
    node: NodeId
    incarnation: Incarnation
    accuser: NodeId = NOBODY
    description: Description | None = None

    def __attrs_post_init__(self) -> None:
        if not NODE_ID.fullmatch(self.node):
            raise ValueError("not a node id")
        if self.accuser and not NODE_ID.fullmatch(self.accuser):
            raise ValueError("accuser is not a node id")
        if self.kind is State.ALIVE and self.description is None:
            raise ValueError("alive without a description")


@frozen
class Member:
    """A member as this node sees it.  `since`: monotonic seconds when its state last changed."""

    node: NodeId
    incarnation: Incarnation
    state: State
    since: float
    description: Description

    @property
    def name(self) -> str:
        """A label for people; not unique."""
        return self.description.name

    @property
    def address(self) -> Address:
        """Where it listens, TCP and UDP."""
        return self.description.address

    @property
    def meta(self) -> Meta:
        """What it says about its machine."""
        return self.description.meta


class Verdict(enum.Enum):
    """What becomes of a claim."""

    DROP = "old news"
    ADOPT = "believe it, and pass it on"
    CONFIRM = "the suspicion is known; the accuser may be a new one"
    RETELL = "whoever says so has not heard of the death"
    ASK = "about somebody unknown who may be alive: ask for a whole table"
    BURY = "about somebody unknown who is gone: only remember how recent that is"


def decide(known: tuple[State, Incarnation] | None, kind: State, claim: Incarnation) -> Verdict:
    """What to do with a claim (`kind` at incarnation `claim`) about a member of which `known` is
    held (None: nothing).  Claims about oneself are not for this rule: one refutes them.

    SWIM section 4.2 with memberlist's comparison of incarnations for deaths too, since a restart
    is a greater incarnation here.  One cell is our own: a suspicion *newer* than a death brings the
    member back as suspected.  It proves that somebody has seen it alive since; and only so does
    the order of arrival not matter.
    """
    if known is None:
        if kind is State.ALIVE:
            return Verdict.ADOPT
        return Verdict.ASK if kind is State.SUSPECT else Verdict.BURY
    state, incarnation = known
    if (claim, kind.value) > (incarnation, state.value):
        return Verdict.ADOPT
    if kind is State.SUSPECT and (claim, kind) == (incarnation, state):
        return Verdict.CONFIRM
    if kind is State.ALIVE and state is State.DEAD:
        return Verdict.RETELL
    return Verdict.DROP


@frozen
class Record:
    """What is held of one node.  `description` is None if only its end has ever been heard of."""

    node: NodeId
    incarnation: Incarnation
    state: State
    since: float
    description: Description | None

    @property
    def known(self) -> tuple[State, Incarnation]:
        """What `decide` compares a claim with."""
        return self.state, self.incarnation

    def member(self) -> Member | None:
        """The record as others see it, or None while it has no description."""
        if self.description is None:
            return None
        return Member(self.node, self.incarnation, self.state, self.since, self.description)

    def claim(self, accuser: NodeId, *, described: bool = False) -> Rumor:
        """The record as a claim that `accuser` makes; with its description if that is wanted (in a
        row of a table) or needed."""
        alive = self.state is State.ALIVE
        description = self.description if alive or described else None
        by = NOBODY if alive else accuser
        return Rumor(self.state, self.node, self.incarnation, by, description)


def _fingerprint(record: Record) -> int:
    if not record.state.is_live:
        return 0
    claim = f"{record.node}/{record.incarnation.generation}/{record.incarnation.counter}"
    return int.from_bytes(blake2b(claim.encode(), digest_size=8).digest(), "big")


class Table:
    """All records, by node in order of arrival; a bounded number of them.

    `digest` is the sum of fingerprints of the live records modulo 2**64: the same in two tables
    that hold the same live members at the same incarnations, whatever their order, and kept up to
    date in constant time.
    """

    def __init__(self) -> None:
        self._record_by_node: dict[NodeId, Record] = {}
        self._sum = 0
        self._live = 0

    def __iter__(self) -> Iterator[Record]:
        return iter(list(self._record_by_node.values()))

    def get(self, node: NodeId) -> Record | None:
        """The record of `node`, if there is one."""
        return self._record_by_node.get(node)

    @property
    def live_count(self) -> int:
        """How many members are alive or suspected, oneself included."""
        return self._live

    @property
    def digest(self) -> bytes:
        """Eight bytes that differ, all but surely, if the live members differ."""
        return self._sum.to_bytes(8, "big")

    def put(self, record: Record) -> bool:
        """Insert or replace; False if the table is full of live members."""
        old = self._record_by_node.get(record.node)
        if old is None and len(self._record_by_node) >= MEMBERS_MAX and not self._make_room():
            return False
        self._count(old, -1)
        self._record_by_node[record.node] = record
        self._count(record, +1)
        return True

    def forget(self, node: NodeId) -> None:
        """Drop the record of `node`, if there is one."""
        self._count(self._record_by_node.pop(node, None), -1)

    def live(self) -> list[Member]:
        """The members alive or suspected, oneself included."""
        members = (record.member() for record in self if record.state.is_live)
        return [member for member in members if member is not None]

    def _count(self, record: Record | None, sign: int) -> None:
        if record is not None:
            self._sum = (self._sum + sign * _fingerprint(record)) % (1 << 64)
            self._live += sign * record.state.is_live

    def _make_room(self) -> bool:
        gone = [record for record in self if not record.state.is_live]
        if gone:
            self.forget(min(gone, key=lambda record: record.since).node)
        return bool(gone)


class Ring:
    """The order in which members are probed: shuffled, and again after each round; a newcomer goes
    to a random place.  So each member is probed at least once in 2n - 1 probes (SWIM 4.3)."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._nodes: list[NodeId] = []
        self._next = 0

    @property
    def is_empty(self) -> bool:
        """Whether there is nobody to probe."""
        return not self._nodes

    def add(self, node: NodeId) -> None:
        """Insert a newcomer at a random place of this round or the next."""
        if node not in self._nodes:
            place = self._rng.randint(0, len(self._nodes))
            self._nodes.insert(place, node)
            self._next += place < self._next

    def remove(self, node: NodeId) -> None:
        """Probe `node` no more."""
        if node in self._nodes:
            place = self._nodes.index(node)
            del self._nodes[place]
            self._next -= place < self._next

    def next(self) -> NodeId | None:
        """Whose turn it is, or None if there is nobody."""
        if self._next >= len(self._nodes):
            self._rng.shuffle(self._nodes)
            self._next = 0
        if not self._nodes:
            return None
        self._next += 1
        return self._nodes[self._next - 1]


def refuted(own: Record, claim: Rumor) -> Record | None:
    """Oneself at an incarnation that outbids `claim`, or None if `claim` does no harm."""
    harmful = claim.kind is not State.ALIVE and claim.incarnation >= own.incarnation
    stranger = claim.kind is State.ALIVE and (
        claim.incarnation > own.incarnation
        or (claim.incarnation == own.incarnation and claim.description != own.description)
    )
    if not (harmful or stranger):
        return None
    return evolve(own, incarnation=claim.incarnation.next())
