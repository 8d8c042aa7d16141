"""One core, poked: what it says and does about each event, exactly."""

from collections.abc import Sequence
from itertools import pairwise
from math import inf
from random import Random

import pytest
from attrs import evolve

from nanoboost.config import PROFILES, GossipTiming
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
    MemberDown,
    MemberEvent,
    MemberSuspected,
    MemberUp,
    Met,
    Received,
    SendDatagram,
    Unanswered,
)
from nanoboost.gossip.health import PAUSE_PENALTY
from nanoboost.gossip.members import (
    COUNTER_MAX,
    GENERATION_MAX,
    NOBODY,
    Incarnation,
    Member,
    Rumor,
    State,
)
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
    StreamPing,
    StreamPong,
    Sync,
    Synced,
)
from nanoboost.gossip.suspicion import CONDEMNED_SHARE, bounds
from nanoboost.gossip.swim import Swim
from nanoboost.ids import NodeId
from tests.gossip.lan import address, described, node_id

LAN = PROFILES["lan"].gossip
ME, MY = node_id(0), Incarnation(3, 0)
ALIVE, SUSPECT, DEAD = State.ALIVE, State.SUSPECT, State.DEAD


def alive(number: int, counter: int = 0) -> Rumor:
    return Rumor(ALIVE, node_id(number), Incarnation(1, counter), NOBODY, described(number))


def header(sender: int, sequence: int = 0, counter: int = 0) -> Header:
    return Header(node_id(sender), Incarnation(1, counter), sequence, bytes(8))


class Poked:
    """A core that is told one thing after another."""

    def __init__(self, others: int, timing: GossipTiming = LAN) -> None:
        own = Member(ME, MY, ALIVE, 0.0, described(0))
        self.now = 0.0
        self.swim = Swim(own, timing, Random(7), 0.0)
        for number in range(1, others + 1):
            self.hear(Gossip(header(number), (alive(number),)))
        self.swim._view.rumors.forget(ME)
        for number in range(1, others + 1):
            self.swim._view.rumors.forget(node_id(number))

    def step(self, event: Event | Woke) -> tuple[Effect, ...]:
        return self.swim.step(self.now, event)

    def hear(self, message: Datagram, source: int | None = None) -> tuple[Effect, ...]:
        number = int(message.header.sender, 16) - 1 if source is None else source
        return self.step(Received(address(number), message))

    def wake(self) -> tuple[Effect, ...]:
        """Sleep until there is something to do."""
        deadline = self.swim.deadline()
        assert deadline is not None
        assert deadline < 1000.0, "what the test waits for does not come"
        self.now = deadline
        return self.step(Woke())

    def until_ping(self) -> tuple[int, int]:
        """Go on until a ping is sent; whom it asks, and its number."""
        while True:
            for to, message in datagrams(self.wake()):
                if isinstance(message, Ping):
                    assert message.target == node_id(to)
                    return to, message.header.sequence


def datagrams(effects: Sequence[Effect]) -> list[tuple[int, Datagram]]:
    """Whom each datagram is sent to, by number, and the datagram."""
    return [
        (int(effect.address.host.rpartition(".")[2]), effect.message)
        for effect in effects
        if isinstance(effect, SendDatagram)
    ]


def kinds(effects: Sequence[Effect]) -> list[type]:
    return [
        type(each.message) if isinstance(each, SendDatagram) else type(each) for each in effects
    ]


def announced(effects: Sequence[Effect]) -> list[tuple[type, NodeId]]:
    return [(type(e), e.member.node) for e in effects if isinstance(e, MemberEvent)]


def own_header(poked: Poked, sequence: int) -> Header:
    return Header(ME, poked.swim.members[0].incarnation, sequence, poked.swim.digest)


def hold_dead(poked: Poked, number: int) -> Rumor:
    """The core hears of a suspicion, and of the death that follows."""
    accuser = 2 if number == 1 else 1
    suspect, dead = [
        Rumor(k, node_id(number), Incarnation(1, 0), node_id(accuser)) for k in (SUSPECT, DEAD)
    ]
    poked.swim._view.believe(poked.now - 1.0, suspect)
    poked.hear(Gossip(header(accuser), (dead,)))
    return dead


# --- answering -----------------------------------------------------------------------------------


def test_a_ping_is_acknowledged_to_where_it_came_from() -> None:
    poked = Poked(2)
    effects = poked.hear(Ping(header(1, 42), ME), source=9)
    assert effects == (SendDatagram(address(9), Ack(own_header(poked, 42))),)


def test_a_ping_for_somebody_else_is_answered_with_not_me() -> None:
    poked = Poked(2)
    effects = poked.hear(Ping(header(1, 42), node_id(5)))
    assert effects == (SendDatagram(address(1), NotMe(own_header(poked, 42), node_id(5))),)


def test_our_own_datagrams_are_no_news() -> None:
    poked = Poked(1)
    assert poked.hear(Ping(Header(ME, MY, 1, bytes(8)), ME)) == ()


def test_a_stranger_is_answered_and_not_believed_to_be_a_member() -> None:
    poked = Poked(1)
    assert kinds(poked.hear(Ping(header(7, 1), ME))) == [Ack]
    assert node_id(7) not in {member.node for member in poked.swim.members}


def test_whoever_is_held_dead_is_told_so_and_can_refute() -> None:
    poked = Poked(2)
    hold_dead(poked, 2)
    sent = datagrams(poked.hear(Ping(header(2, 5), ME)))
    assert (2, DEAD, Incarnation(1, 0)) in [
        (to, m.state, m.incarnation) for to, m in sent if isinstance(m, Accused)
    ]
    again = poked.hear(Ping(header(2, 6), ME))
    assert Accused not in kinds(again), "once in ten seconds is enough"
    poked.now += LAN.probe_interval_s
    lost = poked.hear(Ping(header(2, 7, 1), ME))
    assert Accused in kinds(lost), "it has refuted, and nobody has heard that"
    back = poked.hear(Ping(header(2, 7, 1), ME, (alive(2, 1),)))
    assert announced(back) == [(MemberUp, node_id(2))]
    (question,) = asked(back)
    assert (question.address, type(question.question)) == (address(2), Sync)


def test_whoever_is_told_that_he_is_dead_refutes_at_once() -> None:
    poked = Poked(2)
    effects = poked.hear(Accused(header(1), DEAD, Incarnation(3, 4)))
    own = Rumor(ALIVE, ME, Incarnation(3, 5), NOBODY, described(0))
    to, reply = datagrams(effects)[0]
    assert to == 1
    assert reply == Gossip(own_header(poked, 0), (own,))
    assert poked.swim.health == 1


def test_nobody_is_accused_of_being_alive() -> None:
    with pytest.raises(ValueError, match="alive"):
        Accused(header(1), ALIVE, Incarnation(3, 4))


def test_the_greatest_incarnation_that_can_be_claimed_stops_nobody() -> None:
    poked = Poked(1)
    greatest = Incarnation(GENERATION_MAX, COUNTER_MAX)
    assert Gossip in kinds(poked.hear(Accused(header(1), DEAD, greatest)))
    assert poked.swim.members[0].state is ALIVE


# --- probing -------------------------------------------------------------------------------------


def test_every_second_ping_goes_round_and_the_others_to_the_neighbour() -> None:
    poked = Poked(3)
    asked = []
    for _ in range(6):
        to, sequence = poked.until_ping()
        poked.hear(Ack(header(to, sequence)))
        asked.append(to)
    assert asked[::2] == [1, 1, 1]
    assert sorted(asked[1::2]) == [1, 2, 3]


def test_a_ping_in_vain_is_tried_through_others_and_over_tcp_at_once() -> None:
    poked = Poked(6)
    to, sequence = poked.until_ping()
    pinged_at = poked.now
    effects = poked.wake()
    assert poked.now - pinged_at == LAN.probe_timeout_s
    assert kinds(effects) == [PingRequest] * LAN.indirect_probes + [AskStream]
    budget = pinged_at + LAN.probe_interval_s - poked.now
    helpers = [number for number, _ in datagrams(effects)]
    assert len(set(helpers)) == 3
    assert to not in helpers
    for _, message in datagrams(effects):
        wanted = PingRequest(own_header(poked, sequence), node_id(to), address(to), budget)
        assert message == wanted
    question = effects[-1]
    assert isinstance(question, AskStream)
    assert (question.address, question.question) == (address(to), StreamPing(node_id(to)))


def test_silence_to_the_end_of_the_interval_is_a_suspicion() -> None:
    poked = Poked(4)
    to, sequence = poked.until_ping()
    for helper, _ in datagrams(poked.wake()):
        poked.hear(Nack(header(helper, sequence)))
    effects = poked.wake()
    assert announced(effects) == [(MemberSuspected, node_id(to))]
    assert poked.swim.health == 0


def test_helpers_that_say_nothing_make_the_prober_doubt_itself() -> None:
    poked = Poked(5)
    _, sequence = poked.until_ping()
    helpers = [helper for helper, _ in datagrams(poked.wake())]
    poked.hear(Nack(header(helpers[0], sequence)))
    poked.wake()
    assert poked.swim.health == 2
    slow = poked.now
    poked.until_ping()
    assert poked.now - slow == 3 * LAN.probe_interval_s


def test_an_ack_through_a_helper_or_over_tcp_is_as_good() -> None:
    for way in ("helper", "tcp"):
        poked = Poked(4)
        to, sequence = poked.until_ping()
        effects = poked.wake()
        if way == "helper":
            poked.hear(Ack(header(datagrams(effects)[0][0], sequence)))
        else:
            question = effects[-1]
            assert isinstance(question, AskStream)
            poked.step(Answered(question.ticket, node_id(to), StreamPong(node_id(to))))
        assert Ping in kinds(poked.wake()), "the next round begins"
        assert poked.swim.health == 0
        assert all(member.state is ALIVE for member in poked.swim.members)


def test_an_ack_of_a_bystander_is_none() -> None:
    poked = Poked(2)
    to, sequence = poked.until_ping()
    poked.hear(Ack(header(3 - to, sequence)))
    assert PingRequest in kinds(poked.wake())


def test_a_refused_connection_is_a_suspicion_at_once_and_a_death_soon() -> None:
    poked = Poked(4)
    to, _ = poked.until_ping()
    question = poked.wake()[-1]
    assert isinstance(question, AskStream)
    suspected = poked.step(Unanswered(question.ticket, refused=True))
    assert announced(suspected) == [(MemberSuspected, node_id(to))]
    since = poked.now
    while not (down := announced(poked.wake())):
        pass
    assert down == [(MemberDown, node_id(to))]
    assert abs(poked.now - since - CONDEMNED_SHARE * LAN.probe_interval_s) < 1e-9


def test_another_node_at_the_address_means_the_same() -> None:
    for way in ("datagram", "tcp"):
        poked = Poked(4)
        to, sequence = poked.until_ping()
        if way == "datagram":
            effects = poked.hear(NotMe(header(9, sequence), node_id(to)))
        else:
            question = poked.wake()[-1]
            assert isinstance(question, AskStream)
            effects = poked.step(Answered(question.ticket, node_id(9), StreamPong(node_id(9))))
        assert announced(effects) == [(MemberSuspected, node_id(to))]


def test_a_hint_asks_by_all_ways_at_once() -> None:
    poked = Poked(5)
    effects = poked.step(Hinted(node_id(2)))
    assert kinds(effects) == [Ping, *[PingRequest] * 3, AskStream]
    assert poked.step(Hinted(node_id(2))) == (), "it is being asked already"
    assert poked.step(Hinted(node_id(77))) == ()
    assert poked.step(Hinted(ME)) == ()


# --- plain SWIM, and Lifeguard alone -------------------------------------------------------------

PLAIN = evolve(
    LAN,
    suspicion_max_mult=1,
    health_max=1,
    buddy=False,
    stream_probes=False,
    own_rules=False,
    sync_interval_s=inf,
)


def test_plain_swim_doubts_nobody_but_the_target_and_asks_by_datagram_only() -> None:
    poked = Poked(5, PLAIN)
    to, _ = poked.until_ping()
    assert kinds(poked.wake()) == [PingRequest] * 3
    suspected = poked.wake()
    assert announced(suspected) == [(MemberSuspected, node_id(to))]
    assert Accused not in kinds(suspected)
    assert poked.swim.health == 0
    since = poked.now
    while not (down := announced(poked.wake())):
        pass
    assert down[0][0] in (MemberDown, MemberSuspected)
    assert poked.now - since <= bounds(PLAIN, 6).min_s


def test_plain_swim_tells_a_suspect_only_by_chance_and_the_dead_nothing() -> None:
    for timing, is_told in ((PLAIN, False), (evolve(PLAIN, buddy=True), True)):
        poked = Poked(3, timing)
        rumor = Rumor(SUSPECT, node_id(2), Incarnation(1, 0), node_id(1))
        poked.hear(Gossip(header(1), (rumor,)))
        poked.swim._view.rumors.forget(node_id(2))
        (answer,) = [m for to, m in datagrams(poked.hear(Ping(header(2, 5), ME))) if to == 2]
        assert isinstance(answer, Ack)
        assert (answer.rumors != ()) is is_told


def test_whoever_does_not_answer_is_dead_where_there_are_no_suspicions() -> None:
    poked = Poked(3, evolve(PLAIN, suspicion_mult=0))
    to, _ = poked.until_ping()
    poked.wake()
    assert announced(poked.wake()) == [(MemberSuspected, node_id(to)), (MemberDown, node_id(to))]


# --- asking for others ---------------------------------------------------------------------------


def test_a_helper_pings_and_passes_the_ack_on() -> None:
    poked = Poked(2)
    request = PingRequest(header(1, 50), node_id(2), address(2), 1.0)
    ((to, ping),) = datagrams(poked.hear(request))
    assert isinstance(ping, Ping)
    assert (to, ping.target) == (2, node_id(2))
    effects = poked.hear(Ack(header(2, ping.header.sequence)))
    assert effects == (SendDatagram(address(1), Ack(own_header(poked, 50))),)


def test_a_helper_says_at_80_percent_of_the_time_that_it_is_there_at_least() -> None:
    poked = Poked(2)
    poked.hear(PingRequest(header(1, 50), node_id(2), address(2), 0.1))
    asked = poked.now
    for _ in range(9):
        effects = poked.wake()
        if Nack in kinds(effects):
            break
    assert abs(poked.now - asked - 0.08) < 1e-9
    assert (1, Nack(own_header(poked, 50))) in datagrams(effects)


# --- pauses --------------------------------------------------------------------------------------


def test_after_a_pause_nothing_that_was_missed_is_evidence() -> None:
    """A probe was under way and a suspicion ran when the lid was closed for ten minutes."""
    poked = Poked(4)
    rumor = Rumor(SUSPECT, node_id(1), Incarnation(1, 0), node_id(2))
    poked.hear(Gossip(header(2), (rumor,)))
    poked.until_ping()
    poked.wake()
    poked.now += 600.0
    assert announced(poked.step(Woke())) == []
    assert poked.swim.health == PAUSE_PENALTY
    poked.now += 1.0
    assert announced(poked.step(Woke())) == []
    for _ in range(100):
        if found := announced(poked.wake()):
            break
    assert found == [(MemberDown, node_id(1))] or found[0][0] is MemberSuspected


# --- tables --------------------------------------------------------------------------------------


def asked(effects: Sequence[Effect]) -> list[AskStream]:
    return [effect for effect in effects if isinstance(effect, AskStream)]


def test_joining_asks_all_seeds_and_asks_again_until_somebody_is_there() -> None:
    poked = Poked(0)
    seeds = (address(1), address(0), address(2))
    first = asked(poked.step(JoinAsked(seeds, ())))
    assert [each.address for each in first] == [address(1), address(2)]
    assert all(isinstance(each.question, Sync) for each in first)
    for question in first:
        poked.step(Unanswered(question.ticket, refused=True))
    again: list[AskStream] = []
    while not again:
        again = asked(poked.wake())
    assert 0.3 < poked.now < 0.7
    poked.step(Answered(again[0].ticket, node_id(1), Synced((alive(1),))))
    while poked.now < 25.0:
        effects = poked.wake()
        assert not any(isinstance(each.question, Sync) for each in asked(effects))
        for to, message in datagrams(effects):
            if isinstance(message, Ping):
                digest = poked.swim.digest
                ack = evolve(header(to, message.header.sequence), digest=digest)
                poked.hear(Ack(ack))


def test_peers_of_the_last_run_are_asked_a_few_at_a_time_in_turn() -> None:
    poked = Poked(0)
    peers = tuple(address(number) for number in range(1, 11))
    questions = asked(poked.step(JoinAsked((), peers)))
    found = [each.address for each in questions]
    while len(found) < 12:
        for each in questions:
            poked.step(Unanswered(each.ticket, refused=False))
        questions = asked(poked.wake())
        found += [each.address for each in questions]
    assert found[:10] == list(peers)
    assert found[10:12] == list(peers[:2])


def test_a_digest_that_keeps_differing_leads_to_an_exchange() -> None:
    poked = Poked(2)
    rounds = 0
    while True:
        to, sequence = poked.until_ping()
        effects = poked.hear(Ack(header(to, sequence)))
        rounds += 1
        deadline = poked.swim.deadline()
        assert deadline is not None
        poked.now = deadline
        effects = poked.step(Woke())
        if asked(effects):
            break
        for number, message in datagrams(effects):
            if isinstance(message, Ping):
                poked.hear(Ack(header(number, message.header.sequence)))
    assert rounds <= 3
    assert isinstance(asked(effects)[0].question, Sync)


def test_the_dead_are_contacted_now_and_then_and_told_what_is_held_against_them() -> None:
    poked = Poked(1)
    rumor = hold_dead(poked, 1)
    times: list[float] = []
    while len(times) < 3:
        for to, message in datagrams(poked.wake()):
            assert to == 1
            assert isinstance(message, Ping)
            assert message.rumors[0] == evolve(rumor, accuser=ME)
            times.append(poked.now)
    assert all(0.5 <= b - a <= 1.5 for a, b in pairwise(times)), "alone, it does it every second"


def test_one_that_is_held_dead_and_opens_a_session_is_called_back_at_once() -> None:
    poked = Poked(2)
    rumor = hold_dead(poked, 1)
    poked.swim._view.rumors.forget(node_id(1))
    poked.now += 0.01
    ((to, message),) = datagrams(poked.step(Met(node_id(1))))
    assert to == 1
    assert isinstance(message, Ping)
    assert message.rumors[0] == evolve(rumor, accuser=ME)
    assert poked.step(Met(node_id(2))) == (), "of one that is alive it is no news"
    assert poked.step(Met(node_id(9))) == ()


# --- leaving -------------------------------------------------------------------------------------


def test_a_goodbye_is_said_at_once_and_ends_when_said_often_enough() -> None:
    poked = Poked(2)
    effects = poked.step(LeaveAsked())
    goodbye = Rumor(State.LEFT, ME, MY, ME)
    assert [message.rumors for _, message in datagrams(effects)] == [(goodbye,)] * 2
    assert kinds(poked.hear(Ping(header(1, 8), ME))) == [Ack]
    said = kinds(poked.wake())
    while LeaveFinished not in said:
        said += kinds(poked.wake())
    assert poked.now < 0.5
    assert kinds(poked.hear(Ping(header(1, 9), ME))) == [Ack], "still polite"
    assert poked.step(LeaveAsked()) == ()
    assert poked.step(Hinted(node_id(1))) == ()


def test_a_spurious_waking_changes_nothing() -> None:
    poked = Poked(3)
    poked.until_ping()
    deadline = poked.swim.deadline()
    assert deadline is not None
    poked.now = (poked.now + deadline) / 2
    assert poked.step(Woke()) == ()
    assert poked.swim.deadline() == deadline
