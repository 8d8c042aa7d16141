"""Finding the cluster on a LAN without being told where it is: when to call out, whom to answer.

A node that knows nobody calls out on its LAN, at once and then ever more rarely; whoever of the
cluster hears it answers, to it alone.  Members call too, now and then, so that the halves of a
broken network and nodes that only listen are found.

**A call is only a hint**: all that follows from one is an exchange of tables over mutual TLS with
whoever is at its address, so the worst that a replayed call can do is to have that tried.  Of many
who hear the same call only a few act upon it, and however many call, each node visits and answers
a bounded number of them.
"""

from random import Random

from attrs import define, field, frozen

from nanoboost.config import NODE_NAME
from nanoboost.core import Woke
from nanoboost.gossip.members import check_address
from nanoboost.ids import NODE_ID, Address, NodeId
from nanoboost.wire.codec import Catalog, message

CALL_GAPS_S = (0.5, 0.5, 1.0, 2.0)
"""Between the first calls of one that knows nobody; after these, `CALL_S`."""
CALL_S = 30.0
SPREAD = 0.2
START_S = 0.1
"""A rack that is switched on calls within this time, not all at once: the first silences others."""
QUIET_S = 10.0
"""After another's call there is no need for ours: the cluster is heard anyway."""
ASKED_S = 0.3
"""Within so long some of those who are asked to speak up call out."""
ASKED_GAP_S = 0.5
"""But not if they did so just now.  Shorter than whoever asks goes on asking, or one that begins
right after a call hears none and takes the LAN for deaf."""
ACTING = 4
"""How many, on average, of all that hear a call act upon it."""


# --- what is said --------------------------------------------------------------------------------


def _check(node: NodeId, name: str, address: Address) -> None:
    if not NODE_ID.fullmatch(node) or not NODE_NAME.fullmatch(name):
        raise ValueError("not a node")
    check_address(address)


@message(130)
class Calling:
    """To everybody on the LAN: here is `node`, at `address`; `is_lonely`: it knows nobody else."""

    node: NodeId
    name: str
    address: Address
    is_lonely: bool

    def __attrs_post_init__(self) -> None:
        _check(self.node, self.name, self.address)


@message(131)
class WhoIsHere:
    """From one who holds the credential and runs no node, to the LAN or to one node: speak up.
    Who hears it answers, and a few call out, so that the asker learns which ways are open."""


@message(132)
class Here:
    """To who has called, alone: here is `node`.  `wall` is its clock, in seconds of the epoch."""

    node: NodeId
    name: str
    address: Address
    wall: float

    def __attrs_post_init__(self) -> None:
        _check(self.node, self.name, self.address)


Said = Calling | WhoIsHere | Here
BEACONS = Catalog((Calling, WhoIsHere, Here), items_max=20)

# --- events and effects --------------------------------------------------------------------------


@frozen
class Heard:
    """`said` has come from `source`; `is_live`: its node is held alive here already."""

    source: Address
    said: Said
    is_live: bool


@frozen
class CompanyChanged:
    """So many other members are alive now."""

    others: int


Event = Heard | CompanyChanged


@frozen
class Call:
    """Say `Calling` to the whole LAN."""

    is_lonely: bool


@frozen
class Answer:
    """Say `Here` to `address`."""

    address: Address


@frozen
class Visit:
    """Exchange tables with whoever of the cluster is at `address`."""

    address: Address


Effect = Call | Answer | Visit

# --- the core ------------------------------------------------------------------------------------


@define
class Lately:
    """What was done within the last `gap_s` seconds: nothing twice, and at most `most` things."""

    gap_s: float
    most: int
    _done: dict[Address, float] = field(factory=dict, init=False)

    def allows(self, now: float, address: Address) -> bool:
        """Whether it may be done for `address` now; counts as done if so."""
        self._done = {each: at for each, at in self._done.items() if now - at < self.gap_s}
        if address in self._done or len(self._done) >= self.most:
            return False
        self._done[address] = now
        return True


class Beacon:
    """When node `me` calls out on its LAN, and what it does about the calls of others."""

    def __init__(self, me: NodeId, rng: Random, now: float) -> None:
        self._me = me
        self._rng = rng
        self._others = 0
        self._gaps_s = list(CALL_GAPS_S)
        self._due = now + rng.uniform(0.0, START_S)
        self._heard_at = float("-inf")
        self._was_quiet = False
        self._is_asked = False
        self._called_at = float("-inf")
        self._visits = Lately(2.0, 8)
        self._answers = Lately(0.3, 32)

    def step(self, now: float, event: Event | Woke) -> tuple[Effect, ...]:
        """Take one event; see `nanoboost.core`."""
        match event:
            case Heard(source, Calling() as calling, is_live) if calling.node != self._me:
                return self._called(now, calling, is_live)
            case Heard(source, WhoIsHere(), _):
                return self._asked(now, source)
            case Heard(_, Here() as here, is_live) if here.node != self._me:
                return () if is_live else self._visit(now, here.address)
            case CompanyChanged(others):
                self._company(now, others)
            case Woke() if now >= self._due:
                return self._call(now)
        return ()

    def deadline(self) -> float:
        """When to be woken next."""
        return self._due

    def _called(self, now: float, calling: Calling, is_live: bool) -> tuple[Effect, ...]:
        self._heard_at = now
        if self._others and is_live and not calling.is_lonely:
            return ()
        if not self._is_drawn():
            return ()
        visit = () if self._others and calling.is_lonely else self._visit(now, calling.address)
        return (*self._answer(now, calling.address), *visit)

    def _asked(self, now: float, source: Address) -> tuple[Effect, ...]:
        if self._is_drawn() and now - self._called_at > ASKED_GAP_S:
            self._is_asked = True
            self._due = min(self._due, now + self._rng.uniform(0.0, ASKED_S))
        return self._answer(now, source)

    def _is_drawn(self) -> bool:
        """Whether this node is one of the few that act, of all that hear the same."""
        return self._rng.random() * (self._others + 1) <= ACTING

    def _answer(self, now: float, address: Address) -> tuple[Effect, ...]:
        return (Answer(address),) if self._answers.allows(now, address) else ()

    def _visit(self, now: float, address: Address) -> tuple[Effect, ...]:
        return (Visit(address),) if self._visits.allows(now, address) else ()

    def _company(self, now: float, others: int) -> None:
        if self._others and not others:
            self._gaps_s = list(CALL_GAPS_S)
            self._due = now + self._rng.uniform(0.0, START_S)
        elif others and not self._others:
            self._gaps_s = []
            self._due = now + CALL_S * self._rng.uniform(SPREAD, 1.0 + SPREAD)
        self._others = others

    def _call(self, now: float) -> tuple[Effect, ...]:
        """Call, unless others do.  One that knows nobody is quiet once, not twice in a row: what it
        hears may be of no use to it."""
        gap_s = self._gaps_s.pop(0) if self._gaps_s else CALL_S
        self._due = now + gap_s * self._rng.uniform(1.0 - SPREAD, 1.0 + SPREAD)
        may_be_quiet = not self._is_asked and (self._others > 0 or not self._was_quiet)
        self._was_quiet = may_be_quiet and now - self._heard_at < QUIET_S
        if self._was_quiet:
            return ()
        self._is_asked = False
        self._called_at = now
        return (Call(is_lonely=self._others == 0),)
