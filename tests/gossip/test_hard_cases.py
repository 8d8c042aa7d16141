"""The sixteen cases that other implementations of SWIM are known to have failed at.

One test or more for each, in virtual time over a virtual LAN; the number is that of the table in
docs/gossip-evidence.md.  `Lan` itself checks every step: datagrams of at most 1200 bytes, own
incarnations that only rise, each change of a member announced once and in a legal order.  Here is
what networks and machines do; 7, 8 and 9 are in test_hard_cases_of_identity.py, and 2, 10, 12 and
14 in test_hard_cases_of_restarts.py.
"""

from random import Random

import pytest
from attrs import evolve

from nanoboost.config import PROFILES, GossipTiming
from nanoboost.errors import UserError
from nanoboost.gossip.effects import DatagramsLost, Isolation, MemberDown
from nanoboost.gossip.members import Meta, State
from nanoboost.gossip.messages import DATAGRAM_BYTES_MAX, Accused
from nanoboost.gossip.suspicion import bounds
from nanoboost.gossip.view import ACCUSED_GAP_S
from tests.gossip.lan import LAN, Lan, node_id
from tests.gossip.settled import downs, number, started

LOCAL, WIFI = PROFILES["local"].gossip, PROFILES["slow"].gossip


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
