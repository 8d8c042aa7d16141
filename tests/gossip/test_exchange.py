"""Of two tables only what differs is sent; and the cluster is looked for until it is found."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanoboost.config import GOSSIP
from nanoboost.core import Woke
from nanoboost.gossip.effects import (
    Answered,
    AskStream,
    Effect,
    JoinAsked,
    SyncAsked,
    Unanswered,
    Visited,
)
from nanoboost.gossip.members import NOBODY, Incarnation, Member, Rumor, State
from nanoboost.gossip.messages import PRINT_BYTES, Sync, Synced
from nanoboost.gossip.swim import Swim
from nanoboost.wire.codec import evolve
from tests.gossip.lan import Lan, address, described, node_id

LAN = GOSSIP["lan"]
WOKE = Woke()


def core(number: int) -> Swim:
    me = Member(node_id(number), Incarnation(1, 0), State.ALIVE, 0.0, described(number))
    return Swim(me, LAN, Random(number), 0.0)


def row(number: int, counter: int = 0, kind: State = State.ALIVE) -> Rumor:
    accuser = node_id(99) if kind in (State.SUSPECT, State.DEAD) else NOBODY
    return Rumor(kind, node_id(number), Incarnation(1, counter), accuser, described(number))


def questions(effects: tuple[Effect, ...]) -> list[AskStream]:
    return [e for e in effects if isinstance(e, AskStream) and isinstance(e.question, Sync)]


def exchanged(asker: Swim, other: Swim, now: float) -> list[tuple[Sync, Synced]]:
    """`asker` asks `other`, who is node 1; what was said, to and fro."""
    said = []
    waiting = questions(asker.step(now, Visited(address(1))))
    while waiting:
        asked = waiting.pop()
        question = asked.question
        assert isinstance(question, Sync)
        other.step(now, SyncAsked(question.rows))
        answer = other.answer(question)
        said.append((question, answer))
        effects = asker.step(now, Answered(asked.ticket, node_id(1), answer))
        waiting += [each for each in questions(effects) if each.address == address(1)]
    return said


def held(swim: Swim) -> dict[str, tuple[State, Incarnation]]:
    return {member.node: (member.state, member.incarnation) for member in swim.members}


LIVE_ROWS = st.dictionaries(
    st.integers(2, 9), st.tuples(st.integers(0, 3), st.sampled_from([State.ALIVE, State.SUSPECT]))
).map(lambda found: tuple(row(n, counter, kind) for n, (counter, kind) in found.items()))


@given(LIVE_ROWS, LIVE_ROWS)
def test_after_an_exchange_both_hold_the_same(mine: tuple[Rumor, ...], its: object) -> None:
    asker, other = core(0), core(1)
    asker.step(0.0, SyncAsked(mine))
    other.step(0.0, SyncAsked(its))  # type: ignore[arg-type]
    said = exchanged(asker, other, 0.1)
    assert held(asker) == held(other)
    assert asker.digest == other.digest
    assert len(said) <= 2


def test_only_what_differs_is_sent() -> None:
    asker, other = core(0), core(1)
    common = tuple(row(number) for number in range(10, 110))
    asker.step(0.0, SyncAsked((*common, row(1), row(3))))
    other.step(0.0, SyncAsked((*common, row(0), row(4))))
    said = exchanged(asker, other, 0.1)
    assert len(said) == 2
    (first, answer), (second, last) = said
    assert [each.node for each in first.rows] == [node_id(0)]
    assert len(first.prints) == PRINT_BYTES * 103
    assert [each.node for each in answer.rows] == [node_id(4)]
    assert [each.node for each in second.rows] == [node_id(0), node_id(3)]
    assert last == Synced((), b"")


def test_a_newcomer_gets_all_and_is_known_after_one_question() -> None:
    asker, other = core(0), core(1)
    other.step(0.0, SyncAsked(tuple(row(number) for number in range(10, 30))))
    ((question, answer),) = exchanged(asker, other, 0.1)
    assert [each.node for each in question.rows] == [node_id(0)]
    assert len(answer.rows) == 21
    assert held(asker) == held(other)


def test_whoever_names_no_prints_gets_the_whole_table() -> None:
    other = core(1)
    other.step(0.0, SyncAsked((row(2), row(3))))
    assert {each.node for each in other.answer(Sync(())).rows} == {node_id(n) for n in (1, 2, 3)}


def test_two_copies_of_one_machine_are_told_apart_by_an_exchange() -> None:
    """Their rows are alike but for the boot: only the print of the whole row shows it."""
    asker, other = core(0), core(1)
    copied = row(5)
    assert copied.description is not None
    copy = evolve(copied, description=evolve(copied.description, boot=b"otherone"))
    asker.step(0.0, SyncAsked((row(1), copied)))
    other.step(0.0, SyncAsked((row(0), copy)))
    ((_, answer), *_) = exchanged(asker, other, 0.1)
    assert [each.node for each in answer.rows] == [node_id(5)]


def test_what_is_wanted_again_is_not_sent_again() -> None:
    """Somebody who keeps asking for what it gets does not keep us busy."""
    asker = core(0)
    (first,) = questions(asker.step(0.0, Visited(address(1))))
    question = first.question
    assert isinstance(question, Sync)
    greedy = Synced((row(1),), question.prints)
    (second,) = questions(asker.step(0.1, Answered(first.ticket, node_id(1), greedy)))
    assert not questions(asker.step(0.2, Answered(second.ticket, node_id(1), greedy)))


# --- the cluster is looked for until it is found -------------------------------------------------


def asked_until(swim: Swim, now: float, end: float) -> list[AskStream]:
    """What `swim` asks up to `end`; nobody answers (and nobody is held dead for that so soon)."""
    found = []
    while (due := swim.deadline()) is not None and due <= end:
        for each in questions(swim.step(max(now, due), WOKE)):
            found.append(each)
            swim.step(due, Unanswered(each.ticket, False))
    return found


def test_newcomers_that_meet_one_another_first_go_on_looking_for_the_cluster() -> None:
    lan = Lan()
    lan.start(0)
    lan.run(2.0)
    lan.is_cut = lambda a, b: 0 in (a, b)
    lan.start(1, seeds=(0, 2))
    lan.start(2, seeds=(0, 1))
    lan.until(lambda: lan.state(1, 2) is State.ALIVE and lan.state(2, 1) is State.ALIVE, 5.0)
    lan.run(2.0)
    lan.is_cut = lambda a, b: False
    lan.until(lan.agreed, 8.0)  # a question in vain takes 5 s; the regular exchange comes later


@pytest.mark.parametrize("cut_s", [1.0, 3.0, 7.0, 20.0, 60.0])
def test_whoever_comes_up_while_it_is_cut_off_is_in_soon_after_the_network_is_mended(
    cut_s: float,
) -> None:
    """It had said goodbye, so nobody calls it: it must knock by itself, and often."""
    lan = Lan(1, LAN)
    lan.start_all(3)
    lan.run(1.0)
    lan.leave(2)
    lan.run(3.0)
    lan.crash(2)
    lan.is_cut = lambda a, b: 2 in (a, b)
    lan.start(2, seeds=(0, 1), generation=2)
    lan.run(cut_s)
    lan.is_cut = lambda a, b: False
    assert lan.until(lan.agreed, 30.0) <= 10 * LAN.probe_interval_s


def test_a_seed_that_has_answered_is_not_asked_for_ever() -> None:
    """Not even if it is an alias: nobody calls this address its own."""
    swim, alias = core(0), address(77)
    (first,) = questions(swim.step(0.0, JoinAsked((alias,), ())))
    swim.step(0.1, Answered(first.ticket, node_id(1), Synced((row(1),))))
    assert not [each for each in asked_until(swim, 0.1, 2.2) if each.address == alias]


def test_peers_of_the_last_run_are_not_asked_once_somebody_is_known() -> None:
    swim = core(0)
    first, second = questions(swim.step(0.0, JoinAsked((), (address(1), address(2)))))
    swim.step(0.1, Unanswered(second.ticket, False))
    swim.step(0.1, Answered(first.ticket, node_id(1), Synced((row(1),))))
    assert not [e for e in asked_until(swim, 0.1, 2.2) if e.address == address(2)]
