"""Claims in any order, any number of times, make one view; each move is announced once."""

from random import Random

from attrs import evolve
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nanoboost.config import PROFILES, GossipTiming
from nanoboost.gossip.effects import (
    Effect,
    MemberDown,
    MemberLeft,
    MemberSuspected,
    MemberUp,
    MemberUpdated,
    SaveGeneration,
)
from nanoboost.gossip.members import NOBODY, Incarnation, Member, Rumor, State
from nanoboost.gossip.messages import Header
from nanoboost.gossip.suspicion import CONDEMNED_SHARE, bounds
from nanoboost.gossip.view import ACCUSED_GAP_S, View
from nanoboost.ids import NodeId
from tests.gossip.lan import META, described, node_id

LAN = PROFILES["lan"].gossip
ALIVE, SUSPECT, DEAD, LEFT = State.ALIVE, State.SUSPECT, State.DEAD, State.LEFT
OTHERS = 4


PLAIN = evolve(LAN, own_rules=False)


def view(outbox: list[Effect] | None = None, timing: GossipTiming = LAN) -> View:
    own = Member(node_id(0), Incarnation(1, 0), ALIVE, 0.0, described(0))
    return View(own, timing, Random(1), [] if outbox is None else outbox)


def hold_dead(seen: View, number: int, now: float = 1.0, counter: int = 0) -> None:
    """`seen` hears of a suspicion, and of the death that follows."""
    seen.believe(now - 1.0, claim(SUSPECT, number, counter))
    seen.believe(now, claim(DEAD, number, counter))


def claim(kind: State, number: int, counter: int = 0, by: int = 9, generation: int = 1) -> Rumor:
    incarnation = Incarnation(generation, counter)
    if kind is ALIVE:
        return Rumor(ALIVE, node_id(number), incarnation, NOBODY, described(number))
    return Rumor(kind, node_id(number), incarnation, node_id(by))


def known(seen: View) -> dict[NodeId, tuple[State, Incarnation]]:
    """What is held of all others."""
    records = [seen.get(node_id(number)) for number in range(1, OTHERS + 1)]
    return {record.node: record.known for record in records if record is not None}


claims = st.builds(
    claim,
    st.sampled_from(State),
    st.integers(1, OTHERS),
    st.integers(0, 2),
    st.integers(5, 9),
    st.integers(1, 2),
)
INTRODUCED = [claim(ALIVE, number) for number in range(1, OTHERS + 1)]


@settings(max_examples=50)
@given(st.lists(claims, max_size=12), st.data())
def test_claims_in_any_order_and_number_make_one_view(
    told: list[Rumor], data: st.DataObject
) -> None:
    again = data.draw(st.lists(st.sampled_from(told), max_size=6)) if told else []
    shuffled = data.draw(st.permutations([*told, *again]))
    one, other = view(), view()
    for rumor in (*INTRODUCED, *told):
        one.believe(1.0, rumor)
    for rumor in (*INTRODUCED, *shuffled):
        other.believe(1.0, rumor)
    # Whoever hears of a death out of the blue gives the member a moment to deny it.
    one.expire(1000.0)
    other.expire(1000.0)
    assert known(one) == known(other)
    assert one.digest == other.digest


@settings(max_examples=50)
@given(st.lists(claims, max_size=12), st.data())
def test_without_that_moment_they_make_one_view_at_once(
    told: list[Rumor], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations([*told, *told]))
    one, other = view(timing=PLAIN), view(timing=PLAIN)
    for rumor in (*INTRODUCED, *told):
        one.believe(1.0, rumor)
    for rumor in (*INTRODUCED, *shuffled):
        other.believe(1.0, rumor)
    assert known(one) == known(other)
    assert one.digest == other.digest
    assert (one.deadline() is None) == (other.deadline() is None)


@settings(max_examples=50)
@given(st.lists(claims, max_size=12))
@example([claim(SUSPECT, 1, 0, by=5), claim(SUSPECT, 1, 1, by=5)])
def test_each_change_is_announced_once_and_in_a_legal_order(told: list[Rumor]) -> None:
    outbox: list[Effect] = []
    seen = view(outbox)
    for rumor in (*INTRODUCED, *told, *told):
        seen.believe(1.0, rumor)
    live: dict[NodeId, Member] = {}
    for effect in outbox:
        match effect:
            case MemberUp(member):
                assert member.node not in live
                live[member.node] = member
            case MemberUpdated(member) | MemberSuspected(member):
                assert member.incarnation >= live[member.node].incarnation
                live[member.node] = member
            case MemberDown(member):
                assert live.pop(member.node).incarnation <= member.incarnation
            case MemberLeft(member):
                live.pop(member.node, None)
    assert live == {member.node: member for member in seen.others()}


@settings(max_examples=30)
@given(st.lists(claims, max_size=8), st.lists(claims, max_size=8))
def test_an_exchange_of_tables_is_idempotent_and_kills_nobody(
    ours: list[Rumor], theirs: list[Rumor]
) -> None:
    one, other = view(), view()
    for rumor in ours:
        one.believe(1.0, rumor)
    for rumor in theirs:
        other.believe(1.0, rumor)
    live = {member.node for member in one.others()}
    rows = tuple(row for row in other.rows(1.0) if row.node != node_id(0))
    one.merge(2.0, rows)
    for node in live:
        record = one.get(node)
        assert record is not None
        assert record.state is not DEAD
    once = known(one)
    one.merge(3.0, rows)
    assert known(one) == once


@settings(max_examples=30)
@given(st.lists(claims, max_size=8), st.lists(claims, max_size=8))
def test_after_an_exchange_both_hold_the_same_live_members_unless_one_is_suspected(
    ours: list[Rumor], theirs: list[Rumor]
) -> None:
    one, other = view(), view()
    for rumor in ours:
        one.believe(1.0, rumor)
    for rumor in theirs:
        other.believe(1.0, rumor)
    other.merge(2.0, tuple(row for row in one.rows(1.0) if row.node != node_id(0)))
    one.merge(2.0, tuple(row for row in other.rows(1.0) if row.node != node_id(0)))
    for number in range(1, OTHERS + 1):
        a, b = one.get(node_id(number)), other.get(node_id(number))
        assert (a is None) == (b is None) or SUSPECT in {x.state for x in (a, b) if x}
        if a is not None and b is not None and SUSPECT not in (a.state, b.state):
            assert a.state.is_live == b.state.is_live
            assert a.incarnation == b.incarnation


def test_a_life_in_announcements() -> None:
    outbox: list[Effect] = []
    seen = view(outbox, PLAIN)
    told = [
        claim(ALIVE, 1),
        claim(SUSPECT, 1),
        claim(ALIVE, 1, counter=1),
        claim(SUSPECT, 1, counter=1),
        claim(DEAD, 1, counter=1),
        claim(SUSPECT, 1, counter=2),
        claim(LEFT, 1, counter=2),
    ]
    for rumor in told:
        seen.believe(1.0, rumor)
    announced = [(type(e), e.member.state) for e in outbox if not isinstance(e, SaveGeneration)]  # type: ignore[union-attr]
    assert announced == [
        (MemberUp, ALIVE),
        (MemberSuspected, SUSPECT),
        (MemberUpdated, ALIVE),
        (MemberSuspected, SUSPECT),
        (MemberDown, DEAD),
        (MemberUp, SUSPECT),
        (MemberLeft, LEFT),
    ]


def test_a_restart_that_nobody_noticed_is_announced_as_an_end_and_a_beginning() -> None:
    outbox: list[Effect] = []
    seen = view(outbox)
    seen.believe(1.0, claim(ALIVE, 1, counter=5))
    before, after = seen.get(node_id(1)), claim(ALIVE, 1, generation=2)
    assert before is not None
    outbox.clear()
    seen.believe(2.0, after)
    old, new = before.member(), seen.live_member(node_id(1))
    assert old is not None
    assert new is not None
    assert outbox == [MemberDown(evolve(old, state=DEAD, since=new.since)), MemberUp(new)]


def test_a_suspicion_that_nobody_refutes_ends_as_a_death_at_its_time() -> None:
    outbox: list[Effect] = []
    seen = view(outbox, PLAIN)
    seen.believe(1.0, claim(ALIVE, 1))
    seen.accuse(10.0, node_id(1), refused=False)
    ends = 10.0 + bounds(LAN, 2).min_s
    assert seen.deadline() == ends
    outbox.clear()
    seen.expire(ends - 0.001)
    assert outbox == []
    seen.expire(ends)
    assert [type(effect) for effect in outbox] == [MemberDown]
    assert seen.deadline() is None


def test_nobody_is_held_dead_without_a_last_question() -> None:
    seen = view()
    seen.believe(1.0, claim(ALIVE, 1))
    seen.accuse(10.0, node_id(1), refused=False)
    ends = 10.0 + bounds(LAN, 2).min_s
    last_word = ends - CONDEMNED_SHARE * LAN.probe_interval_s
    assert seen.deadline() == last_word
    seen.expire(last_word)
    assert (seen.to_call, seen.deadline()) == ([node_id(1)], ends)


def test_who_is_held_dead_out_of_the_blue_is_suspected_and_asked_at_once() -> None:
    """Two halves of a network meet, and one member has not refuted everywhere yet."""
    outbox: list[Effect] = []
    seen = view(outbox)
    seen.believe(1.0, claim(ALIVE, 1))
    for _ in range(2):
        seen.believe(2.0, claim(DEAD, 1, by=2))
    ends = 2.0 + CONDEMNED_SHARE * LAN.probe_interval_s
    assert [type(effect) for effect in outbox] == [MemberUp, MemberSuspected]
    assert seen.doubtful == [node_id(1)]
    seen.expire(ends - 0.01)
    assert known(seen)[node_id(1)] == (SUSPECT, Incarnation(1, 0))
    seen.expire(ends)
    assert known(seen)[node_id(1)] == (DEAD, Incarnation(1, 0))


def test_confirmations_shorten_a_suspicion_and_only_new_ones_are_passed_on() -> None:
    seen = view(timing=PLAIN)
    for number in range(1, 10):
        seen.believe(1.0, claim(ALIVE, number))
    while seen.rumors:
        seen.tell(None)
    limits = bounds(LAN, 10)
    deadlines = []
    for accuser in (2, 3, 3, 4, 2, 5, 6):
        seen.believe(1.0, claim(SUSPECT, 1, by=accuser))
        deadline = seen.deadline()
        assert deadline is not None
        deadlines.append(deadline - 1.0)
        told = [rumor.accuser for rumor in seen.tell(None)] if accuser == 3 else []
        assert told in ([], [node_id(3)])
    assert deadlines == [limits.timeout_s(count) for count in (0, 1, 1, 2, 2, 3, 3)]


def test_whoever_misses_many_at_once_accuses_only_a_few() -> None:
    seen = view()
    for number in range(1, 30):
        seen.believe(1.0, claim(ALIVE, number))
    for number in range(1, 30):
        seen.accuse(2.0, node_id(number), refused=False)
    suspected = [m for m in seen.others() if m.state is SUSPECT]
    assert len(suspected) == 2 + 30 // 10
    seen.round(3.0)
    seen.accuse(3.0, node_id(29), refused=False)
    assert len([m for m in seen.others() if m.state is SUSPECT]) == 6


def test_news_of_a_death_that_a_teller_has_not_heard_is_retold_as_a_suspicion() -> None:
    seen = view()
    seen.believe(1.0, claim(ALIVE, 1))
    hold_dead(seen, 1)
    while seen.rumors:
        seen.tell(None)
    seen.believe(2.0, claim(ALIVE, 1))
    assert seen.tell(None) == (claim(SUSPECT, 1, by=0),)


def test_old_news_cannot_raise_the_dead_through_a_gap() -> None:
    """al8n/memberlist pull request 197: a death that is news must move the incarnation too."""
    seen = view(timing=PLAIN)
    for rumor in (
        claim(ALIVE, 1, counter=1),
        claim(DEAD, 1, counter=1),
        claim(DEAD, 1, counter=10),
        claim(ALIVE, 1, counter=2),
    ):
        seen.believe(1.0, rumor)
    assert known(seen)[node_id(1)] == (DEAD, Incarnation(1, 10))


def test_a_death_heard_before_the_life_is_remembered() -> None:
    outbox: list[Effect] = []
    seen = view(outbox)
    seen.believe(1.0, claim(DEAD, 1, counter=3))
    seen.believe(2.0, claim(ALIVE, 1, counter=3))
    assert outbox == []
    assert seen.others() == []


def test_the_dead_and_the_gone_are_forgotten_at_their_time_and_the_dead_are_named() -> None:
    seen = view()
    for number in (1, 2):
        seen.believe(0.0, claim(ALIVE, number))
    hold_dead(seen, 1, now=0.0)
    seen.believe(0.0, claim(LEFT, 2))
    assert seen.round(LAN.left_memory_s) == []
    assert len(seen.members()) == 3
    assert seen.round(LAN.left_memory_s + 1) == []
    assert len(seen.members()) == 2
    assert [member.node for member in seen.round(LAN.dead_memory_s + 1)] == [node_id(1)]
    assert len(seen.members()) == 1


# --- oneself -------------------------------------------------------------------------------------


def test_whoever_is_accused_refutes_first_of_all_and_is_less_sure_of_himself() -> None:
    seen = view()
    seen.believe(1.0, claim(DEAD, 1, counter=4))
    seen.believe(1.0, claim(SUSPECT, 0))
    assert seen.own.incarnation == Incarnation(1, 1)
    assert seen.health.score == 1
    assert seen.tell(None)[0] == claim(ALIVE, 0, counter=1)
    seen.believe(1.0, claim(SUSPECT, 0))
    assert (seen.own.incarnation, seen.health.score) == (Incarnation(1, 1), 1)


def test_a_later_generation_of_oneself_is_outbid_and_saved() -> None:
    outbox: list[Effect] = []
    seen = view(outbox)
    seen.merge(1.0, (claim(ALIVE, 0, generation=4),))
    assert seen.own.incarnation == Incarnation(4, 1)
    assert outbox == [SaveGeneration(4)]


def test_whoever_has_left_refutes_nothing_and_accuses_nobody() -> None:
    outbox: list[Effect] = []
    seen = view(outbox)
    seen.believe(1.0, claim(ALIVE, 1))
    seen.leave(2.0)
    outbox.clear()
    seen.believe(2.0, claim(DEAD, 0))
    seen.accuse(2.0, node_id(1), refused=True)
    assert seen.own.known == (LEFT, Incarnation(1, 0))
    assert outbox == []


def test_new_metadata_is_a_new_incarnation() -> None:
    seen = view()
    seen.describe(evolve(META, slots=1))
    own = seen.own.member()
    assert own is not None
    assert (own.incarnation, own.meta.slots) == (Incarnation(1, 1), 1)


def test_the_accused_is_told_first_what_is_held_against_him() -> None:
    seen = view()
    for number in (1, 2):
        seen.believe(1.0, claim(ALIVE, number))
    seen.believe(1.0, claim(SUSPECT, 1, by=5))
    assert seen.tell(node_id(1))[0] == claim(SUSPECT, 1, by=0)
    assert seen.tell(node_id(2))[0].node != node_id(2)


def test_a_reproach_is_made_seldom_and_sooner_to_whoever_has_refuted() -> None:
    seen = view()
    seen.believe(0.0, claim(ALIVE, 1))
    header = Header(node_id(1), Incarnation(1, 0), 0, bytes(8))
    assert seen.reproach(0.0, header) is None
    hold_dead(seen, 1, now=0.0)
    assert seen.reproach(0.0, header) is seen.get(node_id(1))
    refuted = evolve(header, incarnation=Incarnation(1, 1))
    interval = LAN.probe_interval_s
    assert seen.reproach(interval - 0.1, refuted) is None
    assert seen.reproach(interval, refuted) is seen.get(node_id(1))
    seen = view()
    seen.believe(0.0, claim(ALIVE, 1))
    hold_dead(seen, 1, now=0.0)
    assert seen.reproach(0.0, header) is seen.get(node_id(1))
    assert seen.reproach(ACCUSED_GAP_S - 0.1, header) is None
    assert seen.reproach(ACCUSED_GAP_S, header) is seen.get(node_id(1))
    assert seen.reproach(0.0, evolve(header, sender=node_id(7))) is None
