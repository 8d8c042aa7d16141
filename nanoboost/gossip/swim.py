"""The core of membership: SWIM with Lifeguard, told the time and events, answering with effects.

**One deadline, and values for timers**: whatever is due is found by looking, so a timer can neither
be forgotten nor fire for something that is over.
"""

from random import Random

from nanoboost.config import GossipTiming
from nanoboost.core import Woke
from nanoboost.gossip.effects import (
    Answered,
    AskStream,
    Effect,
    Event,
    Hinted,
    JoinAsked,
    LeaveAsked,
    LeaveFinished,
    Met,
    MetaChanged,
    Received,
    SendDatagram,
    SyncAsked,
    Unanswered,
)
from nanoboost.gossip.health import PAUSE_PENALTY, pause_s
from nanoboost.gossip.members import Member, Rumor, check_address
from nanoboost.gossip.messages import (
    Accused,
    Ack,
    Datagram,
    Gossip,
    Header,
    Nack,
    NotMe,
    Ping,
    PingRequest,
    Question,
    StreamPing,
    StreamPong,
    Sync,
    Synced,
)
from nanoboost.gossip.probe import Probe, Probes, Relays
from nanoboost.gossip.sync import JoinClock, SyncClock
from nanoboost.gossip.view import View
from nanoboost.ids import Address, NodeId
from nanoboost.wire.codec import evolve

LEAVE_S_MAX = 1.5
SYNC_TIMEOUT_S = 5.0


class Swim:
    """One node's part in the protocol.  `me` is its own record at this start's generation."""

    def __init__(self, me: Member, timing: GossipTiming, rng: Random, now: float) -> None:
        self._me = me.node
        self._address = me.address
        self._timing = timing
        self._rng = rng
        self._outbox: list[Effect] = []
        self._view = View(me, timing, rng, self._outbox)
        self._probes = Probes(rng.getrandbits(32))
        self._relays = Relays()
        self._sync = SyncClock(timing, rng, now)
        self._join = JoinClock(rng)
        self._asked: dict[int, Probe | None] = {}
        """By ticket, what a question over TCP was for: a probe, or an exchange of tables."""
        self._next_round = now + rng.uniform(0.0, timing.probe_interval_s)
        self._last_gossip = now - timing.gossip_interval_s
        self._next_announce = now + timing.dead_announce_s
        self._leave_by: float | None = None

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
        """Lifeguard's score: 0 is healthy, 7 the worst."""
        return self._view.health.score

    def rows(self) -> tuple[Rumor, ...]:
        """The whole table, as it is sent in an exchange."""
        return self._view.rows()

    # --- the contract of a core ------------------------------------------------------------------

    def step(self, now: float, event: Event | Woke) -> tuple[Effect, ...]:
        """Take one event; see `nanoboost.core`."""
        self._outbox.clear()
        paused = pause_s(now, self.deadline(), self._timing)
        if paused:
            self._forgive(now, paused)
        match event:
            case Received(source, message):
                self._received(now, source, message)
            case Answered(ticket, node, answer):
                self._answered(now, ticket, node, answer)
            case Unanswered(ticket, refused):
                self._unanswered(now, ticket, refused)
            case SyncAsked(rows):
                self._view.merge(now, rows)
            case JoinAsked(seeds, peers):
                self._join.begin(now, seeds, peers)
            case LeaveAsked():
                self._leave(now)
            case Hinted(node):
                self._hinted(now, node)
            case Met(node):
                self._call_back(self._view.dead_member(node))
            case MetaChanged(meta):
                self._view.describe(meta)
            case Woke():
                pass
        self._run(now)
        return tuple(self._outbox)

    def deadline(self) -> float | None:
        """When to be woken next."""
        times = [
            self._next_round,
            self._next_announce,
            self._sync.due,
            self._join.due,
            self._probes.deadline(),
            self._relays.deadline(),
            self._view.deadline(),
            self._gossip_due(),
            self._leave_by,
        ]
        return min(each for each in times if each is not None)

    def _run(self, now: float) -> None:
        """Do whatever is due."""
        for probe in self._probes.to_widen(now):
            self._widen(now, probe)
        for probe in self._probes.ended(now):
            self._view.health.adjust(probe.health_delta())
            self._view.accuse(now, probe.target, refused=False)
        for relay in self._relays.to_nack(now):
            self._send(relay.asker, Nack(self._header(relay.asker_sequence)))
        self._view.expire(now)
        if now >= self._next_round:
            self._round(now)
        if self._join.due is not None and now >= self._join.due:
            self._look_for_cluster(now)
        if now >= self._sync.due:
            self._exchange(now)
        if now >= self._next_announce:
            self._announce(now)
        if self._view.risen is not None:
            member = self._view.live_member(self._view.risen)
            self._view.risen = None
            if member is not None and self._sync.wanted(now, self._view.live_count):
                self._ask_table(member.address)
        gossip_due = self._gossip_due()
        if gossip_due is not None and now >= gossip_due:
            self._gossip(now)
        self._finish_leave(now)

    def _forgive(self, now: float, paused: float) -> None:
        """This process did not run for `paused` seconds: nothing that it missed is evidence."""
        self._view.forgive(paused)
        self._view.health.adjust(PAUSE_PENALTY)
        self._probes.end_all()
        self._next_round = now + self._timing.probe_interval_s

    # --- probing ---------------------------------------------------------------------------------

    def _round(self, now: float) -> None:
        interval_s = self._timing.probe_interval_s * self._view.health.factor
        self._next_round = now + interval_s
        for forgotten in self._view.round(now):
            self._join.remember(forgotten.address)
        if not self._view.own.state.is_live:
            return
        node = self._view.ring.next()
        if node is not None and self._probes.of(node) is None:
            self._probe(now, node, widen_s=self._timing.probe_timeout_s)
        partner = self._sync.round(now)
        member = None if partner is None else self._view.live_member(partner)
        if member is not None:
            self._ask_table(member.address)
        if node is None:
            self._join.again(now)
        else:
            self._join.found()

    def _probe(self, now: float, node: NodeId, widen_s: float) -> None:
        member = self._view.live_member(node)
        assert member is not None
        interval_s = self._timing.probe_interval_s * self._view.health.factor
        probe = self._probes.begin(node, now + widen_s, now + interval_s)
        self._send(member.address, Ping(self._header(probe.sequence), node), to=node)

    def _widen(self, now: float, probe: Probe) -> None:
        """The direct ping is unanswered: try it through others, and over TCP, both at once."""
        probe.widen_at = None
        target = self._view.live_member(probe.target)
        if target is None:
            self._probes.end(probe)
            return
        budget_s = probe.ends - now
        if budget_s <= 0:
            return
        candidates = [each for each in self._view.others() if each.node != probe.target]
        helpers = self._rng.sample(candidates, min(self._timing.indirect_probes, len(candidates)))
        for helper in helpers:
            probe.helpers[helper.node] = False
            header = self._header(probe.sequence)
            request = PingRequest(header, target.node, target.address, budget_s)
            self._send(helper.address, request, to=helper.node)
        self._ask(target.address, StreamPing(target.node), budget_s, probe)

    def _hinted(self, now: float, node: NodeId) -> None:
        if self._view.live_member(node) is None or not self._view.own.state.is_live:
            return
        probe = self._probes.of(node)
        if probe is None:
            self._probe(now, node, widen_s=0.0)  # it is widened in this same step
        elif probe.widen_at is not None:
            probe.widen_at = now

    def _gone(self, now: float, probe: Probe) -> None:
        """At the target's address there is no such process: stronger than silence."""
        if self._probes.get(probe.sequence) is probe:
            self._probes.end(probe)
            self._view.accuse(now, probe.target, refused=True)

    # --- datagrams -------------------------------------------------------------------------------

    def _received(self, now: float, source: Address, message: Datagram) -> None:
        header = message.header
        if header.sender == self._me:
            return
        for rumor in message.rumors:
            self._view.believe(now, rumor)
        held = None if isinstance(message, Accused) else self._view.reproach(now, header)
        if held is not None:
            self._send(source, Accused(self._header(0), held.state, held.incarnation))
        if self._view.live_member(header.sender) is not None:
            self._sync.seen(header.sender, header.digest == self._view.digest)
        match message:
            case Ping():
                self._pinged(source, message)
            case Ack():
                self._acknowledged(header)
            case PingRequest():
                self._relay(now, source, message)
            case Nack():
                self._probes.nacked(header.sequence, header.sender)
            case NotMe():
                probe = self._probes.get(header.sequence)
                if probe is not None and probe.target == message.target:
                    self._gone(now, probe)
            case Accused():
                self._accused(now, source, message)
            case Gossip():
                pass

    def _pinged(self, source: Address, ping: Ping) -> None:
        header = self._header(ping.header.sequence)
        if ping.target == self._me:
            self._send(source, Ack(header), to=ping.header.sender)
        else:
            self._send(source, NotMe(header, ping.target), to=ping.header.sender)

    def _acknowledged(self, header: Header) -> None:
        if self._probes.answered(header.sequence, header.sender):
            self._view.health.adjust(-1)
            return
        relay = self._relays.answered(header.sequence, header.sender)
        if relay is not None:
            self._send(relay.asker, Ack(self._header(relay.asker_sequence)))

    def _relay(self, now: float, source: Address, request: PingRequest) -> None:
        try:
            check_address(request.address)
        except ValueError:
            return
        sequence = self._probes.number()
        asked = request.header.sequence
        if self._relays.begin(now, sequence, source, asked, request.target, request.budget_s):
            self._send(request.address, Ping(self._header(sequence), request.target))

    def _accused(self, now: float, source: Address, message: Accused) -> None:
        claim = Rumor(message.state, self._me, message.incarnation, message.header.sender)
        self._view.believe(now, claim)
        own = self._view.own.claim(self._me)
        self._send(source, Gossip(self._header(0)), first=own)

    def _gossip_due(self) -> float | None:
        if not self._view.rumors or self._view.ring.is_empty:
            return None
        return self._last_gossip + self._timing.gossip_interval_s

    def _gossip(self, now: float) -> None:
        self._last_gossip = now
        others = self._view.others()
        for member in self._rng.sample(others, min(self._timing.gossip_fanout, len(others))):
            if self._view.rumors:
                self._send(member.address, Gossip(self._header(0)), to=member.node)

    def _announce(self, now: float) -> None:
        """Contact one of the dead, so that a healed network is noticed."""
        self._next_announce = now + self._timing.dead_announce_s
        self._call_back(self._view.some_dead())

    def _call_back(self, member: Member | None) -> None:
        """Ping one that is held dead: it reads what is held against it, and refutes."""
        if member is not None and self._view.own.state.is_live:
            ping = Ping(self._header(self._probes.number()), member.node)
            self._send(member.address, ping, to=member.node)

    def _header(self, sequence: int) -> Header:
        return Header(self._me, self._view.own.incarnation, sequence, self._view.digest)

    def _send(
        self,
        address: Address,
        message: Datagram,
        to: NodeId | None = None,
        first: Rumor | None = None,
    ) -> None:
        told = evolve(message, rumors=self._view.tell(to, first))
        self._outbox.append(SendDatagram(address, told))

    # --- questions over TCP ----------------------------------------------------------------------

    def _ask(
        self, address: Address, question: Question, timeout_s: float, probe: Probe | None = None
    ) -> None:
        ticket = self._probes.number()
        self._asked[ticket] = probe
        self._outbox.append(AskStream(ticket, address, question, timeout_s))

    def _ask_table(self, address: Address) -> None:
        if self._view.own.state.is_live:
            self._ask(address, Sync(self.rows()), SYNC_TIMEOUT_S)

    def _exchange(self, now: float) -> None:
        """The regular exchange; and a look at where somebody was who is forgotten by now: the other
        half of a network that has been broken for longer than the dead are remembered."""
        self._sync.passed(now, self._view.live_count)
        others = [member.address for member in self._view.others()]
        if others:
            self._ask_table(self._rng.choice(others))
            lost = self._join.lost({*others, self._address})
            if lost is not None:
                self._ask_table(lost)

    def _look_for_cluster(self, now: float) -> None:
        for address in self._join.asked(now):
            if address != self._address:
                self._ask_table(address)

    def _answered(self, now: float, ticket: int, node: NodeId, answer: Synced | StreamPong) -> None:
        probe = self._asked.pop(ticket, None)
        if isinstance(answer, Synced):
            self._view.merge(now, answer.rows)
            if not self._view.ring.is_empty:
                self._join.found()
        elif probe is not None and node == answer.node == probe.target:
            self._probes.answered(probe.sequence, node)
        elif probe is not None:
            self._gone(now, probe)

    def _unanswered(self, now: float, ticket: int, refused: bool) -> None:
        probe = self._asked.pop(ticket, None)
        if probe is not None and refused:
            self._gone(now, probe)

    # --- leaving ---------------------------------------------------------------------------------

    def _leave(self, now: float) -> None:
        if not self._view.own.state.is_live:
            return
        self._view.leave(now)
        self._probes.end_all()
        self._leave_by = now + LEAVE_S_MAX
        self._last_gossip = now - self._timing.gossip_interval_s

    def _finish_leave(self, now: float) -> None:
        if self._leave_by is None:
            return
        told = self._me not in self._view.rumors or self._view.ring.is_empty
        if told or now >= self._leave_by:
            self._leave_by = None
            self._outbox.append(LeaveFinished())
