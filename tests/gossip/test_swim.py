"""One core, poked: what it says and does about each event, exactly.  (Probes: test_probing.py.)"""

from itertools import pairwise

import pytest
from attrs import evolve

from nanoboost.core import Woke
from nanoboost.gossip.effects import (
    Answered,
    AskStream,
    Hinted,
    JoinAsked,
    LeaveAsked,
    LeaveFinished,
    MemberDown,
    MemberSuspected,
    MemberUp,
    Met,
    SendDatagram,
    Unanswered,
)
from nanoboost.gossip.health import PAUSE_PENALTY
from nanoboost.gossip.members import COUNTER_MAX, GENERATION_MAX, NOBODY, Incarnation, Rumor, State
from nanoboost.gossip.messages import Accused, Ack, Gossip, Header, NotMe, Ping, Sync, Synced
from tests.gossip.lan import LAN, address, described, node_id
from tests.gossip.poked import (
    ALIVE,
    DEAD,
    ME,
    MY,
    SUSPECT,
    Poked,
    alive,
    announced,
    asked,
    datagrams,
    header,
    hold_dead,
    kinds,
    own_header,
)

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
