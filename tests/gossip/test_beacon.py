"""The core of the beacon: when it calls, when it is quiet, and whom it answers and visits."""

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanoboost.cli.doctor import LAN_S
from nanoboost.cli.lan import ASK_AGAIN_S
from nanoboost.core import Woke
from nanoboost.errors import RemoteError
from nanoboost.gossip.beacon import (
    ACTING,
    ASKED_S,
    BEACONS,
    CALL_S,
    QUIET_S,
    SPREAD,
    START_S,
    Answer,
    Beacon,
    Call,
    Calling,
    CompanyChanged,
    Effect,
    Heard,
    Here,
    Visit,
    WhoIsHere,
)
from nanoboost.gossip.messages import SEAL_BYTES
from nanoboost.gossip.seal import BEACON_MAGIC, BOOT_BYTES, Seal
from nanoboost.ids import Address, NodeId
from tests.gossip.lan import address, node_id

ME, OTHER = node_id(0), node_id(1)
HERE, THERE = address(0), address(1)


def calling(node: NodeId = OTHER, at: Address = THERE, *, lonely: bool = False) -> Calling:
    return Calling(node, "other", at, lonely)


def heard(said: Calling | WhoIsHere | Here, *, live: bool = False) -> Heard:
    return Heard(THERE, said, live)


def member(seed: int = 1, others: int = 1) -> Beacon:
    """A beacon that has just come to know others."""
    beacon = Beacon(ME, Random(seed), 0.0)
    beacon.step(0.0, CompanyChanged(others))
    return beacon


def run(beacon: Beacon, until: float) -> list[tuple[float, Effect]]:
    """What it does when nobody else is there."""
    done: list[tuple[float, Effect]] = []
    while (now := beacon.deadline()) <= until:
        done += [(now, effect) for effect in beacon.step(now, Woke())]
    return done


@given(st.integers())
def test_who_knows_nobody_calls_at_once_then_ever_more_rarely_and_for_ever(seed: int) -> None:
    done = run(Beacon(ME, Random(seed), 0.0), 3600.0)
    assert {effect for _, effect in done} == {Call(is_lonely=True)}
    times = [at for at, _ in done]
    assert times[0] <= START_S
    gaps = [later - earlier for earlier, later in pairwise(times)]
    for gap, expected in zip(gaps, [0.5, 0.5, 1.0, 2.0, *[CALL_S] * len(gaps)], strict=False):
        assert expected * (1 - SPREAD) <= gap <= expected * (1 + SPREAD)
    assert len(times) >= 3600 / CALL_S / (1 + SPREAD)


def test_a_member_calls_now_and_then_and_not_as_one_that_is_lonely() -> None:
    done = run(member(), 600.0)
    assert {effect for _, effect in done} == {Call(is_lonely=False)}
    assert 600 / CALL_S / (1 + SPREAD) - 1 <= len(done) <= 600 / CALL_S / (1 - SPREAD) + 1


def test_whoever_is_left_alone_calls_as_at_the_start() -> None:
    beacon = member()
    beacon.step(10.0, CompanyChanged(0))
    assert [effect for _, effect in run(beacon, 15.0)] == [Call(is_lonely=True)] * 5


def test_a_member_is_quiet_while_others_call() -> None:
    beacon = member()
    for second in range(0, 600, 5):
        assert run(beacon, float(second)) == []
        beacon.step(float(second), heard(calling(), live=True))


def test_who_knows_nobody_is_quiet_once_and_not_twice_in_a_row() -> None:
    """What it hears may be of no use to it: its own call may be what gets through."""
    beacon = Beacon(ME, Random(1), 0.0)
    calls = []
    for tenth in range(6000):
        beacon.step(tenth / 10, heard(calling()))
        calls += run(beacon, tenth / 10)
    assert len(calls) >= 600 / CALL_S / (1 + SPREAD) / 2


def test_a_group_together_calls_once_in_ten_to_thirty_seconds_whatever_its_size() -> None:
    for size in (2, 10, 60):
        beacons = [Beacon(node_id(number), Random(number), 0.0) for number in range(size)]
        for beacon in beacons:
            beacon.step(0.0, CompanyChanged(size - 1))
        calls: list[float] = []
        while True:
            caller = min(beacons, key=Beacon.deadline)
            now = caller.deadline()
            if now > 1200.0:
                break
            for _ in caller.step(now, Woke()):
                calls.append(now)
                for other in beacons:
                    if other is not caller:
                        other.step(now, heard(calling(node_id(beacons.index(caller))), live=True))
        gaps = [later - earlier for earlier, later in pairwise(calls)]
        assert min(gaps) >= QUIET_S
        assert max(gaps) <= QUIET_S + CALL_S * (1 + SPREAD)


def test_a_lonely_caller_is_answered_by_a_few_of_many() -> None:
    answers = [
        member(seed, others=99).step(1.0, heard(calling(lonely=True))) for seed in range(1000)
    ]
    assert set(answers) == {(), (Answer(THERE),)}
    assert 0.7 * ACTING <= 100 * sum(map(len, answers)) / 1000 <= 1.3 * ACTING


def test_in_a_small_cluster_everybody_answers() -> None:
    for seed in range(100):
        assert member(seed, 3).step(1.0, heard(calling(lonely=True))) == (Answer(THERE),)


def test_a_lonely_member_that_is_held_alive_still_has_just_restarted() -> None:
    assert member().step(1.0, heard(calling(lonely=True), live=True)) == (Answer(THERE),)


def test_two_that_know_nobody_find_each_other_whichever_way_works() -> None:
    beacon = Beacon(ME, Random(1), 0.0)
    assert beacon.step(1.0, heard(calling(lonely=True))) == (Answer(THERE), Visit(THERE))


def test_a_call_of_the_other_half_is_visited_and_answered() -> None:
    assert member().step(1.0, heard(calling())) == (Answer(THERE), Visit(THERE))


def test_a_call_of_a_member_that_is_known_changes_nothing() -> None:
    assert member().step(1.0, heard(calling(), live=True)) == ()


def test_an_answer_is_visited_unless_its_node_is_known() -> None:
    here = Here(OTHER, "other", THERE, 0.0)
    assert Beacon(ME, Random(1), 0.0).step(1.0, heard(here)) == (Visit(THERE),)
    assert member().step(1.0, heard(here, live=True)) == ()


def test_one_who_only_asks_is_answered_by_all_and_hears_a_few_calls() -> None:
    calls = 0
    for seed in range(3000):
        beacon = member(seed, others=99)
        beacon.step(0.5, heard(calling(), live=True))
        assert beacon.step(1.0, heard(WhoIsHere())) == (Answer(THERE),)
        calls += len(run(beacon, 1.0 + ASKED_S))
    assert 0.7 * ACTING <= 100 * calls / 3000 <= 1.3 * ACTING


def test_asking_again_and_again_makes_no_more_calls() -> None:
    beacon = member()
    calls: list[tuple[float, Effect]] = []
    for tenth in range(100):
        beacon.step(tenth / 10, heard(WhoIsHere()))
        calls += run(beacon, tenth / 10)
    assert 12 <= len(calls) <= 20


def test_one_who_begins_to_ask_right_after_a_call_hears_one_too() -> None:
    for seed in range(100):
        beacon = member(seed)
        beacon.step(0.0, heard(WhoIsHere()))
        calls = run(beacon, ASKED_S)
        (before,) = (at for at, effect in calls if isinstance(effect, Call))
        began = before + 0.01
        after: list[tuple[float, Effect]] = []
        for again_s in ASK_AGAIN_S:
            beacon.step(began + again_s, heard(WhoIsHere()))
            after += run(beacon, began + again_s)
        after += run(beacon, began + LAN_S)
        assert [each for _, each in after if isinstance(each, Call)]


def test_what_we_said_ourselves_means_nothing() -> None:
    beacon = member()
    for said in (calling(ME, HERE, lonely=True), Here(ME, "me", HERE, 0.0)):
        assert beacon.step(1.0, heard(said)) == ()
    assert run(beacon, 40.0) != [], "nor does it silence us"


def test_whatever_comes_visits_and_answers_are_few() -> None:
    beacon = Beacon(ME, Random(1), 0.0)
    done: list[Effect] = []
    for number in range(1, 1000):
        done += beacon.step(1.0, heard(calling(node_id(number), address(number), lonely=True)))
    assert sum(isinstance(each, Visit) for each in done) == 8
    assert sum(isinstance(each, Answer) for each in done) == 32
    again = beacon.step(1.1, heard(calling(node_id(1), address(1), lonely=True)))
    assert again == ()
    assert beacon.step(9.0, heard(calling(node_id(1), address(1), lonely=True))) != ()


def test_waking_it_early_changes_nothing() -> None:
    beacon = member()
    due = beacon.deadline()
    assert beacon.step(due - 0.1, Woke()) == ()
    assert beacon.deadline() == due


def test_the_largest_call_and_answer_are_small() -> None:
    at = Address("2001:0db8:0000:0000:0000:0000:192.168.100.100", 65535)
    seal = Seal(bytes(32), "c" * 16, bytes(BOOT_BYTES), magic=BEACON_MAGIC)
    for said in (Calling(OTHER, "n" * 63, at, True), Here(OTHER, "n" * 63, at, 1.8e9)):
        assert len(seal.close(BEACONS.encode(said))) <= 200
    assert len(BEACONS.encode(calling())) + SEAL_BYTES <= 90


@pytest.mark.parametrize(
    "said",
    [
        [130, "xyz", "other", ["10.0.0.1", 7470], False],
        [130, OTHER, "no name!", ["10.0.0.1", 7470], False],
        [130, OTHER, "other", ["239.255.77.7", 7470], False],
        [132, OTHER, "other", ["10.0.0.1", 0], 0.0],
        [132, OTHER, "other", ["nas.local", 7470], 0.0],
    ],
)
def test_what_names_no_node_or_no_host_is_refused(said: list[object]) -> None:
    import cbor2

    with pytest.raises(RemoteError):
        BEACONS.decode(cbor2.dumps(said))
