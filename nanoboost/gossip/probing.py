"""Asking whether members are there, for oneself and for others, and what their silence means.

**Nobody is suspected before all ways have been tried**: a ping, pings by others, a question over
TCP.  A host that says itself that no such process is there is believed at once.
"""

from random import Random

from nanoboost.config import GossipTiming
from nanoboost.gossip.effects import DatagramsLost, Effect
from nanoboost.gossip.members import State, check_address
from nanoboost.gossip.messages import (
    Accused,
    Ack,
    Header,
    Nack,
    NotMe,
    Ping,
    PingRequest,
    StreamPing,
    StreamPong,
)
from nanoboost.gossip.probe import PingTimeout, Probe, Probes, Relays
from nanoboost.gossip.view import View
from nanoboost.gossip.voice import Voice
from nanoboost.ids import Address, NodeId

STREAM_ONLY = 3
"""So many probes in a row that only TCP answers are no chance any more."""


class Probing:
    """The probes of one node, and those that it makes for others."""

    def __init__(
        self, view: View, voice: Voice, timing: GossipTiming, rng: Random, outbox: list[Effect]
    ) -> None:
        self._view = view
        self._voice = voice
        self._timing = timing
        self._rng = rng
        self._outbox = outbox
        self._probes = Probes()
        self._relays = Relays()
        self._ping_timeout = PingTimeout(timing)
        self._by_ticket: dict[int, Probe] = {}
        self._stream_only: dict[NodeId, int] = {}
        """How many probes in a row a member has answered over TCP only."""

    # --- time ------------------------------------------------------------------------------------

    def deadline(self) -> float | None:
        """When there is something to do."""
        mine, others = self._probes.deadline(), self._relays.deadline()
        return others if mine is None else mine if others is None else min(mine, others)

    def run(self, now: float) -> None:
        """Do what is due."""
        if self._timing.own_rules:
            self._view.health.adjust(self._probes.excuse(now))
        # In a crowd answers wait behind all the news, here or there: silence says nothing, and to
        # ask further would only add to it.
        is_crowd = self._timing.own_rules and self._view.rumors.tell_of_a_crowd
        for probe in self._probes.to_widen(now):
            if is_crowd and not probe.is_hastened:
                probe.widen_at = None
            else:
                self._widen(now, probe)
        for probe in self._probes.ended(now):
            self._view.health.adjust(probe.health_delta())
            if not is_crowd:
                self._accuse(now, probe.target, refused=False)
        for relay in self._relays.to_nack(now):
            self._voice.say(relay.asker, Nack, sequence=relay.asker_sequence)

    def stop(self) -> None:
        """Forget all probes: what they would say is not to be believed."""
        self._probes.end_all()

    # --- our own ---------------------------------------------------------------------------------

    def probe(self, now: float, node: NodeId) -> None:
        """It is the turn of `node`."""
        if self._probes.of(node) is None:
            self._begin(now, node, self._ping_timeout.seconds)

    def hasten(self, now: float, node: NodeId) -> None:
        """There is reason to think that `node` is gone: ask by all ways at once."""
        probe = self._probes.of(node)
        if probe is None:
            probe = self._begin(now, node, 0.0)
        elif probe.widen_at is not None:
            probe.widen_at = now
        if probe is not None:
            probe.is_hastened = True

    def _begin(self, now: float, node: NodeId, widen_s: float) -> Probe | None:
        member = self._view.live_member(node)
        if member is None:
            return None
        interval_s = self._timing.probe_interval_s * self._view.health.factor
        probe = Probe(self._voice.number(), node, now, now + interval_s, now + widen_s)
        self._probes.begin(probe)
        self._voice.say(member.address, Ping, node, sequence=probe.sequence, to=node)
        return probe

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
        asked = (target.node, target.address, budget_s)
        for node in self._view.ring.sample(self._timing.indirect_probes, without=target.node):
            helper = self._view.live_member(node)
            assert helper is not None
            probe.helpers[node] = False
            self._voice.say(
                helper.address, PingRequest, *asked, sequence=probe.sequence, to=helper.node
            )
        if self._timing.stream_probes:
            question = StreamPing(target.node)
            self._by_ticket[self._voice.ask(target.address, question, budget_s)] = probe

    def acknowledged(self, now: float, header: Header) -> None:
        """An `Ack` has come: for a probe of ours, or for one that we made for somebody."""
        probe = self._probes.answered(header.sequence, header.sender)
        if probe is not None:
            if probe.target == header.sender:
                self._ping_timeout.note(now - probe.begun)
            self._stream_only.pop(probe.target, None)
            self._view.health.adjust(-1)
            return
        relay = self._relays.answered(header.sequence, header.sender)
        if relay is not None:
            self._voice.say(relay.asker, Ack, sequence=relay.asker_sequence)

    def nacked(self, header: Header) -> None:
        """A helper has said that it is there at least."""
        self._probes.nacked(header.sequence, header.sender)

    def not_there(self, now: float, message: NotMe) -> None:
        """Another node is at the address that we have asked."""
        probe = self._probes.get(message.header.sequence)
        if probe is not None and probe.target == message.target:
            self._gone(now, probe)

    def answered(self, now: float, ticket: int, node: NodeId, answer: StreamPong) -> None:
        """Over TCP, `node` says that it is there."""
        probe = self._by_ticket.pop(ticket, None)
        if probe is None:
            return
        if not node == answer.node == probe.target:
            self._gone(now, probe)
        elif self._probes.answered(probe.sequence, node) is not None:
            times = self._stream_only[node] = self._stream_only.get(node, 0) + 1
            member = self._view.live_member(node)
            if times == STREAM_ONLY and member is not None:
                self._outbox.append(DatagramsLost(member))

    def unanswered(self, now: float, ticket: int, refused: bool) -> None:
        """The question over TCP has failed."""
        probe = self._by_ticket.pop(ticket, None)
        if probe is not None and refused:
            self._gone(now, probe)

    def _gone(self, now: float, probe: Probe) -> None:
        """At the target's address there is no such process: stronger than silence."""
        if self._probes.get(probe.sequence) is probe:
            self._probes.end(probe)
            self._accuse(now, probe.target, refused=True)

    def _accuse(self, now: float, node: NodeId, *, refused: bool) -> None:
        self._stream_only.pop(node, None)
        is_new = self._view.accuse(now, node, refused=refused)
        member = self._view.live_member(node)
        if is_new and member is not None and self._timing.own_rules:
            # It may be slow rather than gone: let it not wait for a rumor.
            held = (State.SUSPECT, member.incarnation)
            self._voice.say(member.address, Accused, *held, to=node)

    # --- for others ------------------------------------------------------------------------------

    def pinged(self, me: NodeId, source: Address, ping: Ping) -> None:
        """Somebody asks whether `ping.target` is here."""
        sequence, sender = ping.header.sequence, ping.header.sender
        if ping.target == me:
            self._voice.say(source, Ack, sequence=sequence, to=sender)
        else:
            self._voice.say(source, NotMe, ping.target, sequence=sequence, to=sender)

    def relay(self, now: float, source: Address, request: PingRequest) -> None:
        """Somebody asks us to ping."""
        try:
            check_address(request.address)
        except ValueError:
            return
        sequence = self._voice.number()
        asked = request.header.sequence
        if self._relays.begin(now, sequence, source, asked, request.target, request.budget_s):
            self._voice.say(request.address, Ping, request.target, sequence=sequence)
