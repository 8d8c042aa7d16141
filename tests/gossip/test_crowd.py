"""Many at once, and machines that are late: what keeps a crowd from accusing itself."""

from random import Random

from attrs import evolve

from nanoboost.config import GOSSIP, GossipTiming
from nanoboost.core import Woke
from nanoboost.gossip.effects import (
    Answered,
    AskStream,
    Effect,
    Hinted,
    JoinAsked,
    MemberSuspected,
    Received,
    SendDatagram,
    SyncAsked,
    Unanswered,
)
from nanoboost.gossip.members import NOBODY, Incarnation, Member, Rumor, State
from nanoboost.gossip.messages import Gossip, Header, PingRequest, Sync, Synced
from nanoboost.gossip.probe import EXCUSES_MAX, LATE_S, Probe, Probes
from nanoboost.gossip.rumors import CROWD, Rumors
from nanoboost.gossip.swim import Swim
from nanoboost.ids import NodeId
from tests.gossip.lan import address, described, node_id

LAN = GOSSIP["lan"]
FIRST = Incarnation(1, 0)


def core(number: int = 0, timing: GossipTiming = LAN) -> Swim:
    me = Member(node_id(number), FIRST, State.ALIVE, 0.0, described(number))
    return Swim(me, timing, Random(7), 0.0)


def rows(*numbers: int) -> tuple[Rumor, ...]:
    return tuple(
        Rumor(State.ALIVE, node_id(number), FIRST, NOBODY, described(number)) for number in numbers
    )


def told(effects: tuple[Effect, ...]) -> list[Rumor]:
    return [
        rumor
        for effect in effects
        if isinstance(effect, SendDatagram)
        for rumor in effect.message.rumors
    ]


def asked(effects: tuple[Effect, ...]) -> list[AskStream]:
    return [
        effect
        for effect in effects
        if isinstance(effect, AskStream) and isinstance(effect.question, Sync)
    ]


def gossip_of(sender: int, *rumors: Rumor) -> Received:
    header = Header(node_id(sender), FIRST, 0, bytes(8))
    return Received(address(sender), Gossip(header, rumors))


def woken_until(swim: Swim, end: float) -> tuple[tuple[float, tuple[Effect, ...]], ...]:
    """Wake `swim` whenever it wants, up to `end`."""
    found = []
    while (due := swim.deadline()) is not None and due <= end:
        found.append((due, swim.step(due, Woke())))
    return tuple(found)


def test_a_newcomer_tells_only_of_itself() -> None:
    swim = core()
    (question,) = asked(swim.step(0.0, JoinAsked((address(1),), ())))
    effects = swim.step(0.01, Answered(question.ticket, node_id(1), Synced(rows(0, 1, 2, 3))))
    said = told(effects) + [rumor for _, each in woken_until(swim, 3.0) for rumor in told(each)]
    assert node_id(0) in {rumor.node for rumor in said}
    assert not any(rumor.kind is State.ALIVE and rumor.node != node_id(0) for rumor in said)


def test_a_member_passes_on_what_a_newcomer_s_table_says() -> None:
    swim = core()
    swim.step(0.0, SyncAsked(rows(1, 2)))
    said = [rumor for _, each in woken_until(swim, 1.0) for rumor in told(each)]
    assert {node_id(1), node_id(2)} <= {rumor.node for rumor in said}


def test_who_has_not_answered_is_not_asked_again() -> None:
    swim = core()
    (first,) = asked(swim.step(0.0, JoinAsked((address(1),), ())))
    assert all(not asked(effects) for _, effects in woken_until(swim, 4.0))
    swim.step(5.0, Unanswered(first.ticket, False))
    assert any(asked(effects) for _, effects in woken_until(swim, 25.0))


def test_a_row_of_a_table_names_the_first_accuser() -> None:
    swim = core()
    swim.step(0.0, SyncAsked(rows(1, 2, 3)))
    swim.step(0.1, gossip_of(1, Rumor(State.SUSPECT, node_id(3), FIRST, node_id(2))))
    (row,) = (row for row in swim.rows() if row.node == node_id(3))
    assert row.kind is State.SUSPECT
    assert row.accuser == node_id(2), "or each table that it lies in would be one more accuser"


def probe_at(begun: float) -> tuple[Probes, Probe]:
    probes = Probes()
    probe = Probe(1, NodeId("a" * 16), begun, begun + 0.5, begun + 0.2)
    probes.begin(probe)
    return probes, probe


def test_a_probe_that_is_looked_at_late_gets_that_time_again() -> None:
    probes, probe = probe_at(0.0)
    assert probes.excuse(0.2 + LATE_S / 2) == 0, "as late as any busy process"
    assert probes.excuse(0.4) == 1
    assert probe.widen_at is not None
    assert probe.widen_at > 0.4
    assert probe.ends > 0.5
    assert probes.to_widen(0.4) == []


def test_a_process_that_is_always_late_convicts_in_the_end() -> None:
    probes, probe = probe_at(0.0)
    now = 0.0
    for _ in range(EXCUSES_MAX):
        now = probe.due + 0.3
        assert probes.excuse(now) == 1
    assert probes.excuse(probe.due + 0.3) == 0
    assert probe.ends > now


def test_a_late_look_costs_health_and_no_datagram() -> None:
    swim = core(timing=evolve(LAN, sync_interval_s=60.0))
    swim.step(0.0, SyncAsked(rows(1, 2, 3)))
    while swim._probing._probes.deadline() is None:
        due = swim.deadline()
        assert due is not None
        swim.step(due, Woke())
    widen_at = swim._probing._probes.deadline()
    assert widen_at is not None
    effects = swim.step(widen_at + 0.1, Woke())
    assert swim.health == 1
    assert not any(
        isinstance(effect, SendDatagram) and isinstance(effect.message, PingRequest)
        for effect in effects
    )


def test_news_of_the_living_makes_a_crowd_and_news_of_the_dead_does_not() -> None:
    living, dead = Rumors(node_id(0)), Rumors(node_id(0))
    for number in range(1, CROWD + 2):
        assert not living.tell_of_a_crowd
        living.add(rows(number)[0])
        dead.add(Rumor(State.DEAD, node_id(number), FIRST, node_id(0)))
    assert living.tell_of_a_crowd
    assert not dead.tell_of_a_crowd


def crowd(timing: GossipTiming) -> tuple[int, int]:
    """Whom one of many newcomers suspects in its first seconds, though nobody answers it; and to
    how many it gossips at a time, at most."""
    swim = core(timing=timing)
    swim.step(0.0, SyncAsked(rows(*range(1, 100))))
    suspected, gossiped = 0, 0
    for _, effects in woken_until(swim, 1.4):
        suspected += sum(isinstance(effect, MemberSuspected) for effect in effects)
        sent = [e for e in effects if isinstance(e, SendDatagram) and isinstance(e.message, Gossip)]
        gossiped = max(gossiped, len(sent))
    return suspected, gossiped


def test_while_a_crowd_comes_nobody_is_asked_by_other_ways_but_for_a_reason() -> None:
    """Silence says nothing then, and each probe would add four messages to the crowd's."""
    swim = core()
    swim.step(0.0, SyncAsked(rows(*range(1, 100))))
    for _, effects in woken_until(swim, 1.4):
        assert not any(isinstance(effect, AskStream) for effect in effects)
        assert not any(
            isinstance(effect, SendDatagram) and isinstance(effect.message, PingRequest)
            for effect in effects
        )
    effects = swim.step(1.4, Hinted(node_id(50)))
    assert any(isinstance(each, AskStream) and each.address == address(50) for each in effects), (
        "a hint is a reason"
    )


def test_nobody_is_accused_and_little_said_while_a_crowd_comes() -> None:
    assert crowd(LAN) == (0, 1)
    suspected, gossiped = crowd(evolve(LAN, own_rules=False))
    assert suspected > 0
    assert gossiped == LAN.gossip_fanout
