"""Whole clusters in virtual time: what SWIM promises, within its bounds.

`Lan` itself checks each step: sealed bytes of at most 1200, incarnations that only rise, legal
announcements, and nobody who holds himself dead.
"""

from collections import Counter

import pytest
from attrs import evolve

from nanoboost.config import PROFILES
from nanoboost.gossip.effects import (
    MemberDown,
    MemberLeft,
    MemberSuspected,
    MemberUp,
    MetaChanged,
)
from nanoboost.gossip.members import Incarnation, Rumor, State
from nanoboost.gossip.messages import DATAGRAM_BYTES_MAX, Sync
from nanoboost.gossip.suspicion import CONDEMNED_SHARE, bounds
from nanoboost.gossip.swim import LEAVE_S_MAX
from tests.gossip.lan import LAN, META, Lan, address, node_id

LOCAL = PROFILES["local"].gossip


def started(n: int, seed: int = 1, loss: float = 0.0) -> Lan:
    lan = Lan(seed, loss=loss)
    lan.start_all(n)
    lan.run(1.0)
    return lan


# --- joining -------------------------------------------------------------------------------------


def test_a_crowd_that_starts_at_once_finds_itself() -> None:
    lan = Lan()
    for number in range(25):
        lan.start(number)
    assert lan.until(lan.agreed, 4.0) < 2.0
    assert lan.largest <= DATAGRAM_BYTES_MAX


def test_a_newcomer_is_seen_by_all_within_a_second() -> None:
    lan = started(12)
    lan.start(12)
    assert lan.until(lan.agreed, 2.0) < 0.7
    assert len(lan.said(MemberUp, 12)) == 12


def test_a_seed_that_comes_up_late_is_asked_until_it_does() -> None:
    lan = Lan()
    lan.start(1)
    lan.start(2)
    lan.run(30.0)
    assert lan.state(1, 2) is None
    lan.start(0)
    lan.until(lan.agreed, 20.0)


def test_joining_needs_no_datagram_to_arrive() -> None:
    lan = Lan(loss=1.0)
    lan.start(0)
    lan.start(1)
    lan.run(0.1)
    assert (lan.state(0, 1), lan.state(1, 0)) == (State.ALIVE, State.ALIVE)


# --- quiet ---------------------------------------------------------------------------------------


def test_a_quiet_cluster_says_nothing_but_pings_and_acks() -> None:
    lan = started(10)
    lan.run(5.0)
    before, heard = (lan.datagrams, lan.bytes), len(lan.heard)
    lan.run(20.0)
    said = (lan.datagrams - before[0]) / (10 * 20.0)
    assert said == pytest.approx(2 / LAN.probe_interval_s, rel=0.02)
    assert (lan.bytes - before[1]) / (lan.datagrams - before[0]) < 120
    assert len(lan.heard) == heard


def test_a_lonely_node_wakes_no_oftener_than_it_must() -> None:
    lan = Lan()
    node = lan.start(0)
    lan.run(10.0)
    wakes = 0
    while lan.now < 170.0:
        deadline = node.swim.deadline()
        assert deadline is not None
        lan.run(max(0.0, deadline - lan.now))
        wakes += 1
    assert wakes <= 60.0 / LAN.probe_interval_s + 60.0 / LAN.dead_announce_s + 3
    assert lan.datagrams == 0


@pytest.mark.parametrize("seed", [1, 2])
def test_five_percent_of_loss_accuse_nobody(seed: int) -> None:
    lan = started(10, seed, loss=0.05)
    lan.run(40.0)
    assert lan.said(MemberDown) == []
    assert lan.said(MemberSuspected) == []


def test_a_member_that_hears_no_datagrams_lives_by_tcp() -> None:
    lan = started(6)
    lan.eats = lambda a, b: b == 3
    lan.run(30.0)
    assert lan.said(MemberDown) == []


def test_loss_of_a_third_kills_nobody() -> None:
    lan = started(10, loss=0.33)
    lan.run(40.0)
    assert lan.said(MemberDown) == []


# --- crashes -------------------------------------------------------------------------------------


def test_a_member_that_ends_is_missed_within_two_intervals_for_sure() -> None:
    """Its neighbour asks it every second time, whatever chance does."""
    lan = started(10)
    for victim in (1, 2, 3, 4, 5, 6, 7, 8, 9) * 3:
        lan.crash(victim, unplug=False)
        bound = 2 * LAN.probe_interval_s + LAN.probe_timeout_s + 0.1
        lan.until(lambda: len(lan.said(MemberSuspected)) > 0, bound)
        lan.run(3.0)
        lan.start(victim, generation=lan.nodes[victim].generation + 1)
        lan.until(lan.agreed, 2.0)
        lan.run(3.0)
        lan.heard.clear()


@pytest.mark.parametrize("n", [2, 3, 10, 16])
def test_a_machine_that_vanishes_is_held_dead_by_all_within_the_bounds(n: int) -> None:
    lan = started(n)
    lan.crash(1)
    took = lan.until(lambda: lan.all_hold(1, State.DEAD), 30.0)
    limits = bounds(LAN, n)
    # Somebody's turn comes within a few intervals; all probers together confirm it.
    assert limits.min_s <= took <= limits.min_s + 6 * LAN.probe_interval_s
    assert len(lan.said(MemberDown, 1)) == n - 1
    assert {heard.event.member.node for heard in lan.said(MemberDown)} == {node_id(1)}


def test_a_process_that_ends_on_a_live_machine_is_missed_sooner() -> None:
    lan = started(10)
    lan.crash(1, unplug=False)
    assert lan.until(lambda: lan.all_hold(1, State.DEAD), 10.0) < 1.5


def test_a_hint_saves_the_wait_for_the_turn() -> None:
    lan = started(10)
    lan.crash(1, unplug=False)
    lan.hint(0, 1)
    took = lan.until(lambda: lan.state(0, 1) is State.DEAD, 10.0)
    assert took < CONDEMNED_SHARE * LAN.probe_interval_s + 0.1


def test_a_false_hint_harms_nobody() -> None:
    lan = started(5)
    for observer in range(4):
        lan.hint(observer, 4)
    lan.run(10.0)
    assert lan.said(MemberSuspected) == []


def test_a_dead_member_makes_healthy_probers_no_less_sure_of_themselves() -> None:
    """memberlist's helpers answer too late by default: the healthy lose health over the dead."""
    lan = started(12)
    lan.crash(1)
    worst = 0
    for _ in range(300):
        lan.run(0.05)
        worst = max(worst, *(node.swim.health for node in lan.running()))
    assert lan.all_hold(1, State.DEAD)
    assert worst == 0


def test_half_of_all_die_at_once_and_the_rest_agree() -> None:
    lan = started(12)
    for number in range(6, 12):
        lan.crash(number)
    lan.until(lan.agreed, 30.0)


# --- coming back ---------------------------------------------------------------------------------


def test_a_restart_within_its_suspicion_is_seen_as_an_end_and_a_beginning() -> None:
    lan = started(8)
    lan.heard.clear()
    lan.crash(5, unplug=False)
    lan.run(0.2)
    lan.start(5, generation=2)
    assert lan.until(lan.agreed, 5.0) < 0.5
    lan.run(20.0)
    assert len(lan.said(MemberDown, 5)) == len(lan.said(MemberUp, 5)) == 7
    assert lan.agreed()


def test_a_power_cut_of_the_whole_house() -> None:
    lan = started(8)
    for number in range(8):
        lan.crash(number)
    lan.run(20.0)
    for number in range(8):
        lan.start(number, generation=2)
    lan.until(lan.agreed, 5.0)


def test_a_member_held_dead_comes_back_with_its_next_generation() -> None:
    lan = started(6)
    lan.crash(2)
    lan.until(lambda: lan.all_hold(2, State.DEAD), 20.0)
    lan.start(2, generation=2)
    lan.until(lan.agreed, 5.0)


def test_whoever_lost_its_generation_refutes_what_is_held_against_it() -> None:
    """A state directory from a backup: the cluster knows later incarnations of this node."""
    lan = started(5)
    lan.crash(2, unplug=False)
    lan.until(lambda: lan.all_hold(2, State.DEAD), 20.0)
    lan.start(2, generation=0)
    lan.until(lan.agreed, 5.0)
    assert lan.nodes[2].swim.members[0].incarnation > Incarnation(1, 0)


# --- leaving -------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 15])
def test_a_goodbye_is_heard_by_all_and_is_no_death(n: int) -> None:
    lan = started(n)
    lan.leave(1)
    assert lan.until(lambda: lan.all_hold(1, State.LEFT), 5.0) < 0.8
    lan.until(lambda: not lan.nodes[1].is_running, LEAVE_S_MAX)
    lan.run(10.0)
    assert lan.said(MemberDown) == []
    assert len(lan.said(MemberLeft)) == n - 1
    assert lan.all_hold(1, State.LEFT)


def test_a_goodbye_is_said_to_each_in_person() -> None:
    """Rumors alone may miss somebody, who would call a death what was a goodbye."""
    lan = started(15)
    lan.leave(1)
    assert lan.until(lambda: lan.all_hold(1, State.LEFT), 5.0) < LAN.gossip_interval_s


def test_a_goodbye_without_anybody_to_hear_it_ends_too() -> None:
    lan = Lan()
    lan.start(0)
    lan.leave(0)
    assert not lan.nodes[0].is_running
    lan = started(3)
    lan.loss = 1.0
    lan.leave(0)
    lan.until(lambda: not lan.nodes[0].is_running, LEAVE_S_MAX + 0.1)


def test_a_goodbye_through_loss() -> None:
    lan = started(10, loss=0.2)
    lan.leave(4)
    lan.run(20.0)
    assert lan.all_hold(4, State.LEFT)
    assert lan.said(MemberDown) == []


def test_whoever_left_may_come_back_at_once() -> None:
    lan = started(5)
    lan.leave(3)
    lan.run(1.0)
    lan.start(3, generation=2)
    lan.until(lan.agreed, 2.0)
    lan.run(10.0)
    assert lan.agreed()


# --- partitions ----------------------------------------------------------------------------------


@pytest.mark.parametrize("cut_s", [1.0, 4.0, 60.0])
def test_a_partition_heals_by_itself(cut_s: float) -> None:
    lan = started(8)
    lan.is_cut = lambda a, b: (a < 4) != (b < 4)
    lan.run(cut_s)
    if cut_s > 20.0:
        assert all(lan.state(a, b) is State.DEAD for a in range(4) for b in range(4, 8))
    lan.is_cut = lambda a, b: False
    lan.until(lan.agreed, 2.5 * LAN.dead_announce_s)
    lan.run(20.0)
    assert lan.agreed()


def test_a_partition_longer_than_the_dead_are_remembered_heals_too() -> None:
    lan = Lan(timing=evolve(LOCAL, dead_memory_s=10.0, sync_interval_s=2.5))
    lan.start_all(6)
    lan.is_cut = lambda a, b: (a < 3) != (b < 3)
    lan.run(20.0)
    assert all(len(node.swim.members) == 3 for node in lan.running())
    lan.is_cut = lambda a, b: False
    lan.until(lan.agreed, 30.0)


def test_one_who_hears_nothing_for_a_while_is_missed_and_taken_back() -> None:
    lan = started(10)
    lan.is_cut = lambda a, b: b == 3
    lan.run(20.0)
    assert lan.all_hold(3, State.DEAD)
    lan.is_cut = lambda a, b: False
    lan.until(lan.agreed, 25.0)
    downs = Counter(h.event.member.node for h in lan.said(MemberDown) if h.observer != 3)
    assert set(downs) == {node_id(3)}, "the deaf one has killed none of the others"


# --- pauses --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pause_s", "is_deaf"), [(0.9, False), (3.0, False), (100.0, False), (3.0, True), (100.0, True)]
)
def test_whoever_slept_accuses_nobody(pause_s: float, is_deaf: bool) -> None:
    """A stopped process finds its datagrams when it goes on; a sleeping machine has missed them,
    the answer to its last ping among them."""
    lan = started(6)
    if is_deaf:
        lan.is_cut = lambda a, b: b == 5
        lan.until(lambda: lan.nodes[5].swim._probing.deadline() is not None, 1.0)
    lan.pause(5)
    lan.run(pause_s)
    lan.heard.clear()
    lan.is_cut = lambda a, b: False
    lan.resume(5)
    lan.until(lan.agreed, 5.0)
    lan.run(20.0)
    assert [heard for heard in lan.heard if heard.observer == 5] == []
    assert [heard for heard in lan.heard if heard.event.member.node != node_id(5)] == []


# --- others --------------------------------------------------------------------------------------


def test_new_metadata_reaches_all() -> None:
    lan = started(10)
    lan.tell(4, MetaChanged(evolve(META, slots=1)))
    lan.run(1.0)
    for node in lan.running():
        (member,) = [m for m in node.swim.members if m.node == node_id(4)]
        assert member.meta.slots == 1
    assert len({node.swim.digest for node in lan.running()}) == 1


def test_what_rumors_missed_the_digest_repairs() -> None:
    """A newcomer that one node alone has heard of: every rumor about it is lost."""
    lan = started(6)
    lan.loss = 1.0
    lan.start(6, seeds=(2,))
    lan.run(1.0)
    assert [lan.state(each, 6) for each in (2, 0, 1)] == [State.ALIVE, None, None]
    lan.loss = 0.0
    lan.until(lan.agreed, 5.0)


def test_a_new_address_at_a_new_start() -> None:
    """DHCP has given it another address: nobody keeps talking to the old one."""
    lan = started(5)
    lan.crash(3, unplug=False)
    lan.start(3, generation=2, at=address(77))
    lan.until(lan.agreed, 5.0)
    for node in lan.running():
        (member,) = [m for m in node.swim.members if m.node == node_id(3)]
        assert member.address == address(77)


def test_the_same_seed_gives_the_same_run() -> None:
    runs = []
    for _ in range(2):
        lan = started(8, seed=5, loss=0.1)
        lan.crash(2)
        lan.run(15.0)
        runs.append((lan.datagrams, lan.bytes, lan.heard))
    assert runs[0] == runs[1]


def test_a_lie_about_everybody_is_refuted_by_everybody() -> None:
    lan = started(6)
    rows = tuple(
        Rumor(State.DEAD, node_id(number), Incarnation(1, 0), node_id(5)) for number in range(5)
    )
    lan.ask(0, Sync(rows))
    lan.run(5.0)
    assert lan.agreed()
    assert lan.said(MemberDown) == []
