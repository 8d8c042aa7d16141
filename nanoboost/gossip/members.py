"""The record of each member, and the one rule by which news about a member is believed.

**Of two claims about a member, the one of the greater incarnation wins; of two of the same
incarnation, the worse one.**  That order is total, so tables converge whatever the order in which
claims arrive, and however often (a join-semilattice).  Only the member itself makes incarnations.
"""

import enum
import ipaddress
import struct
from functools import lru_cache

from attrs import evolve, field, frozen

from nanoboost.config import NODE_NAME
from nanoboost.ids import NODE_ID, Address, NodeId
from nanoboost.wire.codec import Catalog, encode_value, message

GENERATION_MAX = (1 << 31) - 1
COUNTER_MAX = (1 << 32) - 1
META_BYTES_MAX = 256
BOOT_BYTES = 8
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
    speed: float = field(converter=float)
    slots: int = field()
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


def _check_boot(_instance: object, _attribute: object, boot: bytes) -> None:
    if len(boot) not in (0, BOOT_BYTES):
        raise ValueError("not a boot id")


@message(129)
class Description:
    """What a member says about itself: a label for people, where it listens, what it offers.
    `boot` is drawn at each start: two of them at a time are two machines with one identity."""

    name: str = field(validator=_check_name)
    address: Address = field(validator=lambda _instance, _attribute, value: check_address(value))
    meta: Meta = field()
    boot: bytes = field(default=b"", validator=_check_boot)


_DESCRIPTIONS = Catalog((Description,), items_max=100)
_CLAIM = struct.Struct(">B8sII8s")
CLAIM_BYTES = _CLAIM.size
_ACCUSED = 4  # beside the kind: an accuser is named


@frozen
class Rumor:
    """A claim about a member.  `accuser` says who has suspected it or found it dead ("" for the
    other kinds).  A claim that it is alive carries its description; rows of a table all do, if
    the one who sends them has it.

    It travels packed, and passes through a node a dozen times: its bytes are remembered.
    """

    kind: State
    node: NodeId
    incarnation: Incarnation
    accuser: NodeId = NOBODY
    description: Description | None = None
    _wire: bytes | None = field(default=None, init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if not NODE_ID.fullmatch(self.node):
            raise ValueError("not a node id")
        if self.accuser and not NODE_ID.fullmatch(self.accuser):
            raise ValueError("accuser is not a node id")
        if self.kind is State.ALIVE and self.description is None:
            raise ValueError("alive without a description")

    def to_wire(self) -> bytes:
        """Its bytes: `CLAIM_BYTES`, and the description if there is one."""
        if self._wire is None:
            object.__setattr__(self, "_wire", _pack(self))
        assert self._wire is not None
        return self._wire

    @classmethod
    def from_wire(cls, data: bytes) -> "Rumor":
        """The rumor that `data` holds; raises `ValueError`, or `RemoteError` of its description."""
        return _unpack(data)


def _pack(rumor: Rumor) -> bytes:
    incarnation = rumor.incarnation
    claim = _CLAIM.pack(
        rumor.kind.value | (_ACCUSED if rumor.accuser else 0),
        bytes.fromhex(rumor.node),
        incarnation.generation,
        incarnation.counter,
        bytes.fromhex(rumor.accuser),  # nobody: filled up with zeros
    )
    return claim + (_DESCRIPTIONS.encode(rumor.description) if rumor.description else b"")


@lru_cache(2 * MEMBERS_MAX)
def _unpack(data: bytes) -> Rumor:
    if len(data) < CLAIM_BYTES:
        raise ValueError("a claim ends early")
    kind, node, generation, counter, accuser = _CLAIM.unpack_from(data)
    rumor = Rumor(
        State(kind & ~_ACCUSED),
        NodeId(node.hex()),
        Incarnation(generation, counter),
        NodeId(accuser.hex()) if kind & _ACCUSED else NOBODY,
        _DESCRIPTIONS.decode(data[CLAIM_BYTES:]) if len(data) > CLAIM_BYTES else None,
    )
    object.__setattr__(rumor, "_wire", data)
    return rumor


@frozen
class Member:
    """A member as this node sees it.  `since`: monotonic seconds when its state last changed;
    `is_unstable`: it has been suspected and has refuted that too often of late."""

    node: NodeId
    incarnation: Incarnation
    state: State
    since: float
    description: Description
    is_unstable: bool = False

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
    if kind is State.ALIVE is state and claim == incarnation:
        return Verdict.DROP  # as below, and sooner: most of what is told is known
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
    is_unstable: bool = False
    _claim: Rumor | None = field(default=None, init=False, eq=False, repr=False)

    @property
    def known(self) -> tuple[State, Incarnation]:
        """What `decide` compares a claim with."""
        return self.state, self.incarnation

    def member(self) -> Member | None:
        """The record as others see it, or None while it has no description."""
        if self.description is None:
            return None
        return Member(
            self.node,
            self.incarnation,
            self.state,
            self.since,
            self.description,
            self.is_unstable,
        )

    def keep(self, claim: Rumor) -> None:
        """Remember the claim by which it is known to be alive: it is made again and again."""
        object.__setattr__(self, "_claim", claim)

    def claim(self, accuser: NodeId, *, described: bool = False) -> Rumor:
        """The record as a claim that `accuser` makes; with its description if that is wanted (in a
        row of a table) or needed."""
        if self.state is State.ALIVE:
            if self._claim is None:
                self.keep(Rumor(self.state, self.node, self.incarnation, NOBODY, self.description))
            assert self._claim is not None
            return self._claim
        description = self.description if described else None
        return Rumor(self.state, self.node, self.incarnation, accuser, description)


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
