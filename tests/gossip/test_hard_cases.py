"""The sixteen cases that other implementations of SWIM are known to have failed at.

One test or more for each, in virtual time over a virtual LAN; the number is that of the table in
docs/gossip-evidence.md.  `Lan` itself checks every step: datagrams of at most 1200 bytes, own
incarnations that only rise, each change of a member announced once and in a legal order.
"""

from functools import partial
from random import Random

import pytest
from attrs import evolve

from nanoboost.config import PROFILES, GossipTiming
from nanoboost.errors import UserError
from nanoboost.gossip.effects import (
    DatagramsLost,
    Isolation,
    MemberDown,
    MemberLeft,
    MemberUp,
    TwinFound,
)
from nanoboost.gossip.members import Meta, State
from nanoboost.gossip.messages import DATAGRAM_BYTES_MAX, Accused, Sync
from nanoboost.gossip.suspicion import bounds
from nanoboost.gossip.view import ACCUSED_GAP_S
from tests.gossip.lan import LAN, Lan, address, node_id

LOCAL, WIFI = PROFILES["local"].gossip, PROFILES["slow"].gossip


def started(n: int, seed: int = 1, timing: GossipTiming = LAN, **options: float) -> Lan:
    lan = Lan(seed, timing, **options)
    lan.start_all(n)
    lan.run(1.0)
    lan.heard.clear()
    return lan


def number(node: str) -> int:
    """The inverse of `node_id`."""
    return int(node, 16) - 1


def downs(lan: Lan) -> list[tuple[int, int]]:
    """Who has held whom dead."""
    return [(heard.observer, number(heard.event.member.node)) for heard in lan.said(MemberDown)]


def has_ended(lan: Lan, node: int) -> bool:
    """Whether the process of `node` has ended."""
    return not lan.nodes[node].is_running


# --- 1: a partition never heals ------------------------------------------------------------------


def broken(lan: Lan, first: int, cut_s: float) -> float:
    """Cut the first `first` nodes off for so long; how long until all agree again."""
    lan.is_cut = lambda a, b: (a < first) != (b < first)
    lan.run(cut_s)
    lan.is_cut = lambda a, b: False
    return lan.until(lan.agreed, 10 * lan.timing.probe_interval_s)


@pytest.mark.parametrize("cut_s", [1, 2, 3, 4, 5, 6, 8, 12, 60])
@pytest.mark.parametrize(("n", "first"), [(7, 3), (4, 1)])
def test_01_a_partition_heals_within_ten_probe_periods_and_nobody_flaps(
    n: int, first: int, cut_s: int
) -> None:
    lan = started(n, seed=cut_s)
    broken(lan, first, cut_s)
    lan.run(10.0)
    assert lan.agreed()
    assert [pair for pair in downs(lan) if (pair[0] < first) == (pair[1] < first)] == []


@pytest.mark.parametrize("timing", [LOCAL, WIFI], ids=["local", "wifi"])
def test_01_so_does_one_in_the_other_profiles(timing: GossipTiming) -> None:
    assert broken(started(5, timing=timing), 2, 40.0) > 0.0


def test_01_so_does_one_of_half_an_hour() -> None:
    lan = started(3, timing=WIFI)
    assert broken(lan, 1, 1800.0) < 10 * WIFI.probe_interval_s
    assert all((a == 0) != (b == 0) for a, b in downs(lan))


# --- 2: a restart with a lower incarnation, and of many at once ----------------------------------


def test_02_the_death_of_the_last_run_does_not_catch_a_restart() -> None:
    lan = started(8)
    lan.crash(3, unplug=False)
    lan.until(lambda: lan.state(0, 3) is State.DEAD, 10.0)  # the rumor is on its way
    lan.start(3, generation=2)
    lan.until(lan.agreed, 2.0)
    lan.heard.clear()
    lan.run(20.0)
    assert lan.heard == []


def test_02_a_state_from_a_backup_is_told_and_outbids_what_is_held_against_it() -> None:
    lan = started(8)
    for generation in (2, 3, 4):
        lan.crash(3, unplug=False)
        lan.run(0.5)
        lan.start(3, generation=generation)
        lan.run(2.0)
    lan.crash(3, unplug=False)
    lan.until(lambda: lan.all_hold(3, State.DEAD), 10.0)
    lan.start(3, generation=1)
    lan.until(lan.agreed, 2.0)
    assert lan.nodes[3].generation >= 4, "and its next start comes after all of them"


def test_02_all_restart_within_a_second_while_old_tables_travel() -> None:
    lan = started(20)
    old = lan.nodes[0].swim.rows()
    for each in range(20):
        lan.crash(each, unplug=False)
        lan.run(0.05)
        lan.start(each, seeds=((each + 1) % 20,), generation=2)
    lan.until(lan.agreed, 5.0)
    lan.run(2.0)  # until all know all by their second generation
    lan.heard.clear()
    lan.ask(7, Sync(old))
    lan.run(10.0)
    assert lan.heard == [], "what was true before the restart is no news"
    assert lan.agreed()


# --- 3: a slow member accuses others -------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2])
def test_03_a_member_that_hardly_runs_has_nobody_else_held_dead(seed: int) -> None:
    lan = started(16, seed)
    before, draw = lan.datagrams, Random(seed)
    for _ in range(60):
        lan.pause(5)
        lan.run(draw.uniform(0.2, 0.9))
        lan.resume(5)
        lan.run(0.02)
    assert {about for _, about in downs(lan)} <= {5}
    idle = 2 / LAN.probe_interval_s * 16 * (lan.now - 100.0)
    assert lan.datagrams - before < 3 * idle, "and no storm of refutations"


def test_03_whoever_hears_nobody_doubts_itself_and_not_all_others() -> None:
    lan = started(8)
    lan.is_cut = lambda a, b: 5 in (a, b)
    lan.run(15.0)
    assert (5, Isolation(True)) in [(observer, effect) for _, observer, effect in lan.noted]
    assert lan.nodes[5].swim.health == LAN.health_max - 1
    assert [pair for pair in downs(lan) if pair[0] == 5] == []
    lan.is_cut = lambda a, b: False
    lan.until(lan.agreed, 5.0)
    assert {about for _, about in downs(lan)} == {5}


# --- 4: UDP blocked, or one way only, while TCP is fine ------------------------------------------


@pytest.mark.parametrize("direction", ["in", "out", "both"])
def test_04_a_firewall_that_eats_datagrams_kills_nobody_and_is_named(direction: str) -> None:
    lan = started(6)
    inwards, outwards = direction in ("in", "both"), direction in ("out", "both")
    lan.eats = lambda a, b: (inwards and b == 3) or (outwards and a == 3)
    lan.run(60.0)
    assert downs(lan) == []
    named = [
        (observer, number(effect.member.node))
        for _, observer, effect in lan.noted
        if isinstance(effect, DatagramsLost)
    ]
    assert named
    assert all(3 in pair for pair in named), "it is about the one behind the firewall"


def test_04_one_pair_that_cannot_talk_goes_through_others() -> None:
    lan = started(6)
    lan.is_cut = lambda a, b: {a, b} == {2, 3}
    lan.run(60.0)
    assert downs(lan) == []


# --- 5: an update too large to be gossiped -------------------------------------------------------


def test_05_the_longest_descriptions_travel_by_rumor() -> None:
    with pytest.raises(ValueError, match="256 bytes"):
        Meta(4, 4096, 1.0, 4, tuple(label * 60 for label in "abcde"))
    longest = Meta(1 << 40, 1 << 40, 1.1, 1024, tuple(label * 32 for label in "abcde"))
    lan = Lan()
    for each in range(12):
        lan.start(each, name=f"{each:063}", meta=longest)
    lan.until(lan.agreed, 4.0)
    assert 600 < lan.largest <= DATAGRAM_BYTES_MAX


# --- 6: NACKs later than the deadline ------------------------------------------------------------


@pytest.mark.parametrize("delay_s", [0.001, 0.01, 0.03])
def test_06_the_dead_do_not_make_healthy_probers_doubt_themselves(delay_s: float) -> None:
    lan = started(12, delay_s=delay_s)
    lan.crash(1)
    worst = 0
    for _ in range(200):
        lan.run(0.05)
        worst = max(worst, *(node.swim.health for node in lan.running()))
    assert lan.all_hold(1, State.DEAD)
    assert worst == 0


@pytest.mark.parametrize("timing", [LAN, LOCAL, WIFI])
def test_06_a_configuration_in_which_they_would_be_is_refused(timing: GossipTiming) -> None:
    with pytest.raises(UserError, match="helpers answer too late"):
        evolve(timing, probe_timeout_s=timing.probe_interval_s)
    with pytest.raises(UserError, match="leaves a helper's NACK less than"):
        evolve(
            timing,
            probe_interval_s=0.06,
            gossip_interval_s=0.05,
            probe_timeout_s=0.03,
            probe_timeout_s_min=0.03,
        )


# --- 7: the same name twice ----------------------------------------------------------------------


def test_07_machines_of_one_name_live_side_by_side() -> None:
    lan = Lan()
    for each in range(5):
        lan.start(each, name="raspberrypi")
    lan.until(lan.agreed, 4.0)
    lan.crash(2)
    lan.until(lambda: lan.all_hold(2, State.DEAD), 20.0)
    lan.start(2, name="raspberrypi", generation=2)
    lan.until(lan.agreed, 2.0)
    assert {about for _, about in downs(lan)} == {2}


def twins(lan: Lan) -> list[int]:
    """Who has found out that he is a copy."""
    return [observer for _, observer, effect in lan.noted if isinstance(effect, TwinFound)]


@pytest.mark.parametrize("founds", [False, True])
def test_07_of_a_cloned_card_the_later_started_gives_way(founds: bool) -> None:
    """The card of node 1 is copied while it is off; the copy may know the cluster or nobody."""
    lan = started(6)
    lan.start(9, copy_of=1, generation=1, seeds=(0, 1) if founds else (3,))
    lan.until(lambda: twins(lan) == [9], 2.0)
    lan.crash(9, unplug=False)
    lan.start(9, generation=2)  # with its new identity
    lan.until(lan.agreed, 3.0)
    assert twins(lan) == [9], "the first one has kept its identity"
    (member,) = [each for each in lan.nodes[0].swim.members if each.node == node_id(1)]
    assert member.address == address(1)


def test_07_of_two_copies_switched_on_together_exactly_one_gives_way() -> None:
    lan = started(4)
    for each in (8, 9):
        lan.start(each, copy_of=7, generation=3)
    lan.until(lambda: len(twins(lan)) == 1, 3.0)
    lan.crash(twins(lan)[0], unplug=False)
    lan.until(lan.agreed, 5.0)


def test_07_old_news_of_an_earlier_start_elsewhere_is_no_twin() -> None:
    lan = started(5)
    old = lan.nodes[0].swim.rows()
    lan.crash(3, unplug=False)
    lan.start(3, generation=2, at=address(77))
    lan.until(lan.agreed, 3.0)
    lan.ask(3, Sync(old))
    lan.run(10.0)
    assert twins(lan) == []


# --- 8: an address reused by another node --------------------------------------------------------


def test_08_whoever_inherits_an_address_is_not_mistaken_for_the_one_before() -> None:
    lan = started(6)
    lan.crash(3, unplug=False)
    lan.start(9, at=address(3))
    lan.until(lan.agreed, 2.0)
    assert lan.all_hold(3, State.DEAD)
    assert lan.all_hold(9, State.ALIVE)


def test_08_a_node_that_moves_is_the_same_node_and_its_old_address_is_another() -> None:
    """The router gives node 3 a new address, and node 9 the old one."""
    lan = started(6)
    lan.crash(3, unplug=False)
    lan.start(3, generation=2, at=address(77))
    lan.start(9, at=address(3))
    lan.until(lan.agreed, 3.0)
    lan.heard.clear()
    lan.run(20.0)
    assert lan.heard == []


def test_08_a_machine_that_is_moved_while_it_runs_is_not_missed() -> None:
    lan = started(6)
    lan.move(3, address(77))
    lan.run(20.0)
    assert downs(lan) == []
    for node in lan.running():
        (member,) = [each for each in node.swim.members if each.node == node_id(3)]
        assert (member.address, member.incarnation.generation) == (address(77), 1)


def test_08_two_nodes_that_change_places_stay_who_they_are() -> None:
    lan = started(6)
    for each in (3, 4):
        lan.crash(each, unplug=False)
    lan.start(3, generation=2, at=address(4))
    lan.start(4, generation=2, at=address(3))
    lan.until(lan.agreed, 3.0)
    lan.heard.clear()
    lan.run(20.0)
    assert lan.heard == []


# --- 9: two clusters merge silently --------------------------------------------------------------


def test_09_clusters_on_one_lan_never_mix_even_over_an_address() -> None:
    lan = started(4)
    lan.start(10, cluster="other", seeds=(0, 1))
    lan.start(11, cluster="other", seeds=(10, 2))
    lan.crash(3, unplug=False)
    lan.start(12, cluster="other", seeds=(10,), at=address(3))
    lan.run(20.0)
    for node in lan.running():
        others = {number(m.node) for m in node.swim.members if m.state is State.ALIVE}
        assert others == ({0, 1, 2} if node.cluster == "lan" else {10, 11, 12})
    assert lan.not_believed > 0, "they have heard each other, and understood nothing"


# --- 10: left, or failed? ------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_10_half_of_all_leave_and_come_back_at_once(loss: float) -> None:
    lan = started(16, loss=loss)
    for each in range(8, 16):
        lan.leave(each)
    lan.run(0.3)
    for each in range(8, 16):
        lan.until(partial(has_ended, lan, each), 2.0)
        lan.start(each, generation=2)
    lan.until(lan.agreed, 10.0)
    lan.run(10.0)
    assert lan.agreed()


def test_10_a_goodbye_is_not_overtaken_by_the_detection_of_a_failure() -> None:
    lan = started(10)
    lan.leave(4)
    lan.until(lambda: not lan.nodes[4].is_running, 2.0)
    lan.run(20.0)
    assert downs(lan) == []
    assert len(lan.said(MemberLeft, 4)) == 9
    assert lan.all_hold(4, State.LEFT)


# --- 11: an endless flood ------------------------------------------------------------------------


def test_11_two_that_hold_each_other_dead_say_so_once_in_ten_seconds() -> None:
    """Node 1 is heard by all and hears nobody."""
    lan = started(5)
    lan.is_cut = lambda a, b: 1 in (a, b)
    lan.until(lambda: lan.all_hold(1, State.DEAD), 20.0)
    lan.is_cut = lambda a, b: b == 1
    lan.said_by.clear()
    before = lan.datagrams
    lan.run(60.0)
    told = [count for (_, to, kind), count in lan.said_by.items() if (to, kind) == (1, Accused)]
    assert len(told) == 4, "each of the others"
    assert max(told) <= 60.0 / ACCUSED_GAP_S + 1
    assert lan.datagrams - before < 60.0 * 5 * 10, "and all else goes on quietly"


# --- 12: the dead are forgotten too soon, or never -----------------------------------------------


def test_12_the_dead_are_forgotten_by_all_and_do_not_come_back_as_ghosts() -> None:
    timing = evolve(LOCAL, dead_memory_s=10.0, sync_interval_s=2.5)
    lan = started(8, timing=timing)
    lan.crash(3)
    lan.until(lambda: lan.all_hold(3, State.DEAD), 10.0)
    told = 0
    for step in range(10):
        if step < 4:
            lan.start(10 + step)  # newcomers, who hear of it from tables
        lan.run(4.0)
        told += sum(len(node.swim.members) for node in lan.running())
    assert lan.said(MemberUp, 3) == []
    assert all(lan.state(node.number, 3) is None for node in lan.running())
    lan.heard.clear()
    lan.run(20.0)
    assert lan.heard == []
    assert all(lan.state(node.number, 3) is None for node in lan.running())


# --- 13: the whole process is paused -------------------------------------------------------------


@pytest.mark.parametrize("pause_s", [2.5, 82.0])
def test_13_whoever_wakes_up_convicts_nobody(pause_s: float) -> None:
    lan = started(8)
    lan.pause(5)
    lan.run(pause_s)
    lan.heard.clear()
    lan.resume(5)
    lan.until(lan.agreed, 5.0)
    lan.run(5.0)
    assert downs(lan) == []


def test_13_whoever_was_suspected_when_we_fell_asleep_can_refute_when_we_wake_up() -> None:
    """And all that was said meanwhile has gone past a machine that slept."""
    lan = started(8)
    lan.is_cut = lambda a, b: 3 in (a, b)
    lan.until(lambda: lan.state(5, 3) is State.SUSPECT, 5.0)
    lan.is_cut = lambda a, b: b == 5
    lan.pause(5)
    lan.run(60.0)
    lan.is_cut = lambda a, b: False
    lan.resume(5)
    lan.until(lan.agreed, 5.0)
    assert (5, 3) not in downs(lan)


def test_13_all_machines_wake_up_from_a_stopped_host_and_convict_nobody() -> None:
    lan = started(8)
    for each in range(8):
        lan.pause(each)
    lan.run(30.0)
    for each in range(8):
        lan.resume(each)
    lan.run(20.0)
    assert downs(lan) == []
    assert lan.agreed()


# --- 14: an isolated restart finds nobody --------------------------------------------------------


def test_14_peers_of_the_last_run_are_looked_for_although_they_were_dead() -> None:
    lan = started(5)
    for each in range(5):
        lan.crash(each)
    lan.run(60.0)
    lan.start(4, seeds=(), generation=2, peers=(0, 1, 2, 3))
    lan.run(30.0)
    for each in range(4):
        lan.start(each, seeds=(), generation=2)
    lan.until(lan.agreed, 20.0)


# --- 15: discovery is flaky ----------------------------------------------------------------------


def test_15_a_hint_that_leads_nowhere_is_tried_again_for_ever() -> None:
    """(The beacon itself: tests/gossip/test_beacon.py, test_discovery.py.)"""
    lan = Lan()
    lan.start(0)
    lan.is_cut = lambda a, b: True
    lan.start(1)
    lan.run(90.0)
    assert lan.state(1, 0) is None
    lan.is_cut = lambda a, b: False
    lan.until(lan.agreed, 20.0)


# --- 16: reordering and repetition are normal ----------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2])
def test_16_datagrams_that_overtake_one_another_and_come_twice_mislead_nobody(seed: int) -> None:
    """(Any order of claims makes one view: tests/gossip/test_view.py.)"""
    lan = Lan(seed, loss=0.05)
    lan.jitter_s, lan.twice = 0.08, 0.3
    lan.start_all(12)
    lan.crash(5)
    lan.until(lambda: lan.all_hold(5, State.DEAD), bounds(LAN, 12).max_s)
    lan.start(5, generation=2)
    lan.until(lan.agreed, 5.0)
    lan.heard.clear()
    lan.run(20.0)
    assert downs(lan) == []
    assert lan.agreed()
    assert lan.not_believed > 100, "what comes twice counts once"


# --- beyond: one that comes and goes -------------------------------------------------------------


def test_one_that_flaps_is_called_unstable_and_given_more_time() -> None:
    """Rapid's scenario: a member hears nothing for some seconds, again and again."""
    lan = started(8)
    cut = lambda a, b: b == 3  # noqa: E731
    lives: list[int] = []
    for _ in range(8):
        before = len(lan.said(MemberDown, 3))
        lan.is_cut = cut
        lan.run(4.5)
        lan.is_cut = lambda a, b: False
        lan.run(2.5)
        lives.append(len(lan.said(MemberDown, 3)) - before)
    assert sum(lives[:3]) > 0, "it is held dead at first"
    assert lives[-2:] == [0, 0], "and in the end borne with"
    assert {about for _, about in downs(lan)} == {3}
    (member,) = [each for each in lan.nodes[0].swim.members if each.node == node_id(3)]
    assert member.is_unstable
    lan.run(70.0)
    (member,) = [each for each in lan.nodes[0].swim.members if each.node == node_id(3)]
    assert not member.is_unstable
