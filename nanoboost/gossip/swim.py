"""The core of membership: SWIM with Lifeguard, told the time and events, answering with effects.

**One deadline, and values for timers**: whatever is due is found by looking, so a timer can neither
be forgotten nor fire for something that is over.
"""

from random import Random

from nanoboost.config import GossipTiming
from nanoboost.core import Woke
from nanoboost.gossip.effects import (
    AddressChanged,
    Answered,
    Effect,
    Event,
    Hinted,
    JoinAsked,
    LeaveAsked,
    LeaveFinished,
    Met,
    MetaChanged,
    Received,
    SyncAsked,
    Unanswered,
    Visited,
)
from nanoboost.gossip.exchange import Exchange
from nanoboost.gossip.health import PAUSE_PENALTY, pause_s
from nanoboost.gossip.members import Member, Rumor
from nanoboost.gossip.messages import (
    Accused,
    Ack,
    Datagram,
    Gossip,
    Nack,
    NotMe,
    Ping,
    PingRequest,
    Sync,
    Synced,
    Twin,
)
from nanoboost.gossip.probing import Probing
from nanoboost.gossip.twin import TwinWatch
from nanoboost.gossip.view import View
from nanoboost.gossip.voice import Voice
from nanoboost.ids import Address, NodeId

LEAVE_S_MAX = 1.5
GOODBYES_MAX = 64
"""So many are told in person: in a small cluster rumors are sent too seldom to reach all surely."""
CALL_INTERVALS = 2
"""A cluster as a whole calls one of its dead every so many probe intervals: a network that has been
mended is noticed soon, however long it was broken, at the price of a probe."""


class Swim:
    """One node's part in the protocol.  `me` is its own record at this start's generation."""

    def __init__(self, me: Member, timing: GossipTiming, rng: Random, now: float) -> None:
        self._me = me.node
        self._timing = timing
        self._rng = rng
        self._now = now
        self._outbox: list[Effect] = []
        self._view = View(me, timing, rng, self._outbox)
        self._voice = Voice(me.node, self._view, rng, self._outbox)
        self._probing = Probing(self._view, self._voice, timing, rng, self._outbox)
        self._twins = TwinWatch(me.description.boot, now, self._voice, self._outbox)
        self._exchange = Exchange(self._view, self._voice, timing, rng, now)
        self._next_round = now + rng.uniform(0.0, timing.probe_interval_s)
        self._rounds = 0
        self._last_gossip = now - timing.gossip_interval_s
        self._next_call = now
        self._leave_by: float | None = None
        self._due = self._next_due()

    # --- what others may look at -----------------------------------------------------------------

    @property
    def members(self) -> tuple[Member, ...]:
        """Everybody known, this node and the remembered dead included."""
        return self._view.members()

    @property
    def digest(self) -> bytes:
        """The same on two nodes that hold the same live members."""
        return self._view.digest

    @property
    def health(self) -> int:
        """Lifeguard's score: 0 is healthy, `health_max` - 1 the worst."""
        return self._view.health.score

    def rows(self) -> tuple[Rumor, ...]:
        """The whole table, as a newcomer gets it."""
        return self._view.rows(self._now)

    def answer(self, question: Sync) -> Synced:
        """What a member gets for `question`, of which the core has been told (`SyncAsked`)."""
        return self._exchange.answer(self._now, question)

    # --- the contract of a core ------------------------------------------------------------------

    def step(self, now: float, event: Event | Woke) -> tuple[Effect, ...]:
        """Take one event; see `nanoboost.core`."""
        self._outbox.clear()
        self._now = now
        if self._timing.own_rules:
            paused = pause_s(now, self._due, self._timing)
            if paused:
                self._forgive(now, paused)
        match event:
            case Received(source, message):
                self._received(now, source, message)
            case Woke():
                pass
            case Answered(ticket, node, answer):
                if isinstance(answer, Synced):
                    self._exchange.answered(now, ticket, answer)
                else:
                    self._probing.answered(now, ticket, node, answer)
            case Unanswered(ticket, refused):
                self._exchange.unanswered(ticket)
                self._probing.unanswered(now, ticket, refused)
            case SyncAsked(rows):
                self._view.merge(now, rows)
            case JoinAsked(seeds, peers):
                self._exchange.join(now, seeds, peers)
            case Visited(address):
                self._exchange.ask(address)
            case LeaveAsked():
                self._leave(now)
            case Hinted(node):
                self._hasten(now, node)
            case Met(node):
                self._call(self._view.dead_member(node))
            case MetaChanged(meta):
                self._view.describe(meta=meta)
            case AddressChanged(address):
                self._view.describe(address=address)
        self._run(now)
        self._due = self._next_due()
        return tuple(self._outbox)

    def deadline(self) -> float | None:
        """When to be woken next."""
        return self._due

    def _next_due(self) -> float:
        due = min(self._next_round, self._exchange.deadline())
        for each in (
            self._probing.deadline(),
            self._view.deadline(),
            self._gossip_due(),
            self._next_call if self._view.has_gone() and self._timing.own_rules else None,
            self._leave_by,
        ):
            if each is not None and each < due:
                due = each
        return due

    def _run(self, now: float) -> None:
        """Do whatever is due."""
        self._probing.run(now)
        self._view.expire(now)
        if now >= self._next_round:
            self._round(now)
        self._exchange.run(now)
        if self._view.has_gone() and now >= self._next_call:
            self._call_the_dead(now)
        self._follow(now)
        gossip_due = self._gossip_due()
        if gossip_due is not None and now >= gossip_due:
            self._gossip(now)
        self._finish_leave(now)

    def _follow(self, now: float) -> None:
        """What news of others asks for."""
        view = self._view
        if view.doubtful:
            doubtful, view.doubtful = view.doubtful, []
            for node in doubtful:
                self._hasten(now, node)
            self._probing.run(now)
        if view.to_call:
            called, view.to_call = view.to_call, []
            for node in called if self._timing.own_rules else ():
                self._call(view.live_member(node))
        if view.risen is not None:
            member, view.risen = view.live_member(view.risen), None
            if member is not None:
                self._exchange.risen(now, member)
        if view.twin_address is not None:
            address, view.twin_address = view.twin_address, None
            self._twins.suspect(now, address)

    def _forgive(self, now: float, paused: float) -> None:
        """This process did not run for `paused` seconds: nothing that it missed is evidence."""
        self._view.forgive(paused)
        self._view.health.adjust(PAUSE_PENALTY)
        self._probing.stop()
        self._next_round = now + self._timing.probe_interval_s

    # --- probing ---------------------------------------------------------------------------------

    def _round(self, now: float) -> None:
        view = self._view
        self._next_round = now + self._timing.probe_interval_s * view.health.factor
        for forgotten in view.round(now):
            self._exchange.forgotten(forgotten)
        if not view.own.state.is_live:
            return
        self._rounds += 1
        node = None
        if self._timing.own_rules and self._rounds % 2:
            node = view.ring.neighbour(self._me, without=view.suspicions)
        node = node or view.ring.next()
        if node is not None:
            self._probing.probe(now, node)
        self._exchange.round(now)

    def _hasten(self, now: float, node: NodeId) -> None:
        if self._view.own.state.is_live:
            self._probing.hasten(now, node)

    def _call_the_dead(self, now: float) -> None:
        """Contact one of the dead, so that a mended network is noticed.  The members share that
        among them: each does it the more rarely, the more there are."""
        share = CALL_INTERVALS * self._timing.probe_interval_s * self._view.live_count
        gap = min(share, self._timing.dead_announce_s)
        self._next_call = now + gap * self._rng.uniform(0.5, 1.5)
        if self._timing.own_rules:
            self._call(self._view.some_dead())

    def _call(self, member: Member | None) -> None:
        """Ping one that is held dead, or nearly: it reads what is held against it, and refutes."""
        if member is not None and self._view.own.state.is_live:
            self._voice.say(
                member.address, Ping, member.node, sequence=self._voice.number(), to=member.node
            )

    # --- datagrams -------------------------------------------------------------------------------

    def _received(self, now: float, source: Address, message: Datagram) -> None:
        header, view = message.header, self._view
        if header.sender == self._me:
            if self._twins.heard(now, source, message):
                self._probing.stop()
            return
        for rumor in message.rumors:
            view.believe(now, rumor)
        if not isinstance(message, Accused):
            held = view.reproach(now, header)
            if held is not None:
                self._voice.say(source, Accused, held.state, held.incarnation)
        sender = view.get(header.sender)
        if sender is not None and sender.state.is_live:
            view.heard(now)
            if self._timing.own_rules:
                self._exchange.seen(header.sender, header.digest)
        match message:
            case Ping():
                self._probing.pinged(self._me, source, message)
            case Ack():
                self._probing.acknowledged(now, header)
            case PingRequest():
                self._probing.relay(now, source, message)
            case Nack():
                self._probing.nacked(header)
            case NotMe():
                self._probing.not_there(now, message)
            case Accused():
                self._accused(now, source, message)
            case Gossip() | Twin():
                pass

    def _accused(self, now: float, source: Address, message: Accused) -> None:
        claim = Rumor(message.state, self._me, message.incarnation, message.header.sender)
        self._view.believe(now, claim)
        self._voice.say(source, Gossip, first=self._view.own.claim(self._me))

    def _gossip_due(self) -> float | None:
        if not self._view.rumors or self._view.ring.is_empty or not self._timing.gossip_fanout:
            return None
        return self._last_gossip + self._timing.gossip_interval_s

    def _gossip(self, now: float) -> None:
        self._last_gossip = now
        fanout = self._timing.gossip_fanout
        if self._timing.own_rules and self._view.rumors.tell_of_a_crowd:
            # Tables spread news as well, and whoever only talks is taken for dead.
            fanout = min(1, fanout)
        for node in self._view.ring.sample(fanout):
            member = self._view.live_member(node)
            if member is not None and self._view.rumors:
                self._voice.say(member.address, Gossip, to=node)

    # --- leaving ---------------------------------------------------------------------------------

    def _leave(self, now: float) -> None:
        if not self._view.own.state.is_live:
            return
        self._view.leave(now)
        self._probing.stop()
        self._leave_by = now + LEAVE_S_MAX
        self._last_gossip = now
        goodbye = self._view.own.claim(self._me)
        for node in self._view.ring.sample(GOODBYES_MAX):
            member = self._view.live_member(node)
            assert member is not None
            self._voice.say(member.address, Gossip, to=node, first=goodbye)

    def _finish_leave(self, now: float) -> None:
        if self._leave_by is None:
            return
        told = self._me not in self._view.rumors or self._view.ring.is_empty
        if told or now >= self._leave_by:
            self._leave_by = None
            self._outbox.append(LeaveFinished())
