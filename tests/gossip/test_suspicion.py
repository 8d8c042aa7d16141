"""How long a suspect has: the golden numbers of memberlist's own tests."""

import pytest
from attrs import evolve

from nanoboost.config import PROFILES, GossipTiming
from nanoboost.gossip.health import LocalHealth, pause_s
from nanoboost.gossip.probe import PingTimeout
from nanoboost.gossip.rumors import transmit_limit
from nanoboost.gossip.suspicion import Suspicion, SuspicionBounds, bounds
from tests.gossip.lan import node_id

LAN = PROFILES["lan"].gossip


@pytest.mark.parametrize(
    ("confirmed", "elapsed", "remaining"),
    [(0, 0, 30.0), (1, 2, 14.0), (2, 3, 4.810), (3, 4, -2.0), (4, 5, -3.0), (5, 10, -8.0)],
)
def test_remaining_time_is_memberlists(confirmed: int, elapsed: float, remaining: float) -> None:
    limits = SuspicionBounds(2.0, 30.0, 3)
    assert limits.timeout_s(confirmed) - elapsed == pytest.approx(remaining, abs=1e-9)


@pytest.mark.parametrize(
    ("accusers", "lasts"),
    [
        ([], 2.0),
        ([0], 2.0),
        ([1], 1.25),
        ([1, 1, 0, 1], 1.25),
        ([1, 2], 0.81),
        ([1, 2, 3], 0.5),
        ([1, 2, 3, 4], 0.5),
    ],
)
def test_only_distinct_accusers_shorten_a_suspicion(accusers: list[int], lasts: float) -> None:
    suspicion = Suspicion(100.0, node_id(0), SuspicionBounds(0.5, 2.0, 3))
    news = [suspicion.confirm(node_id(each)) for each in accusers]
    assert suspicion.deadline - 100.0 == pytest.approx(lasts, abs=0.005)
    assert sum(news) == min(3, len(set(accusers) - {0}))


def _timing(mult: int, interval_s: float = 1.0) -> GossipTiming:
    return evolve(LAN, suspicion_mult=mult, probe_interval_s=interval_s)


@pytest.mark.parametrize(
    ("live", "scale"),
    [(5, 1.0), (10, 1.0), (50, 1.698), (100, 2.0), (500, 2.698), (1000, 3.0)],
)
def test_the_shortest_time_grows_with_the_logarithm(live: int, scale: float) -> None:
    limits = bounds(_timing(3), live)
    assert limits.min_s / 3 == pytest.approx(scale)
    assert limits.max_s == pytest.approx(6 * limits.min_s)


@pytest.mark.parametrize(
    ("live", "periods"), [(8, 9), (19, 9), (20, 12), (53, 12), (55, 15), (147, 15)]
)
def test_the_swim_papers_own_scale(live: int, periods: int) -> None:
    """Figure 3c: 3 * ceil(ln(N + 1)) periods, and no confirmations."""
    timing = evolve(LAN, suspicion_mult=3, probe_interval_s=2.0, suspicion_max_mult=1)
    limits = bounds(evolve(timing, natural_log=True), live)
    assert limits.min_s == limits.max_s == 2.0 * periods
    assert {limits.timeout_s(confirmed) for confirmed in range(4)} == {2.0 * periods}
    assert transmit_limit(evolve(timing, natural_log=True, retransmit_mult=3), live) == periods


@pytest.mark.parametrize(("live", "confirmations"), [(1, 0), (2, 0), (4, 0), (5, 3), (100, 3)])
def test_too_few_to_confirm_means_the_shortest_time(live: int, confirmations: int) -> None:
    limits = bounds(LAN, live)
    assert limits.confirmations == confirmations
    if not confirmations:
        assert limits.timeout_s(0) == limits.min_s


def test_a_refusing_host_leaves_little_time() -> None:
    suspicion = Suspicion(10.0, node_id(0), bounds(LAN, 10))
    assert suspicion.rests_on(node_id(0))
    suspicion.condemn(0.25)
    suspicion.condemn(0.5)
    assert suspicion.deadline == pytest.approx(10.25)
    assert not suspicion.rests_on(node_id(0))
    suspicion.shift(5.0)
    assert suspicion.deadline == pytest.approx(15.25)


def test_a_pause_moves_the_end() -> None:
    suspicion = Suspicion(10.0, node_id(0), SuspicionBounds(2.0, 12.0, 3))
    suspicion.shift(30.0)
    assert suspicion.deadline == pytest.approx(52.0)


# --- the direct ping -----------------------------------------------------------------------------


def test_a_ping_waits_as_long_as_answers_take_here_within_its_bounds() -> None:
    timeout = PingTimeout(LAN)
    assert timeout.seconds == LAN.probe_timeout_s
    for _ in range(100):
        timeout.note(0.001)
    assert timeout.seconds == LAN.probe_timeout_s_min
    for _ in range(2):  # one in a hundred is no rule, two are the 99th percentile
        timeout.note(0.03)
    assert timeout.seconds == pytest.approx(0.12)
    for _ in range(2):
        timeout.note(1.5)
    assert timeout.seconds == LAN.probe_timeout_s
    for _ in range(99):
        timeout.note(0.001)
    assert timeout.seconds == LAN.probe_timeout_s_min


def test_a_few_answers_are_no_rule() -> None:
    timeout = PingTimeout(LAN)
    for _ in range(10):
        timeout.note(0.001)
    assert timeout.seconds == LAN.probe_timeout_s


def test_where_the_bounds_are_one_it_is_fixed() -> None:
    timeout = PingTimeout(PROFILES["slow"].gossip)
    for _ in range(100):
        timeout.note(0.001)
    assert timeout.seconds == 0.4


# --- health --------------------------------------------------------------------------------------


def test_health_stays_within_its_bounds() -> None:
    health = LocalHealth(8)
    seen = []
    for delta in (-1, 3, 9, -1, -99):
        health.adjust(delta)
        seen.append((health.score, health.factor))
    assert seen == [(0, 1), (3, 4), (7, 8), (6, 7), (0, 1)]


def test_without_doubts_about_oneself_probes_are_never_stretched() -> None:
    health = LocalHealth(1)
    health.adjust(5)
    assert (health.score, health.factor) == (0, 1)


@pytest.mark.parametrize(
    ("now", "deadline", "paused"),
    [(10.0, None, 0.0), (10.0, 11.0, 0.0), (10.9, 10.0, 0.0), (12.0, 10.0, 2.0)],
)
def test_a_pause_is_what_a_busy_machine_does_not_do(
    now: float, deadline: float | None, paused: float
) -> None:
    assert pause_s(now, deadline, LAN) == pytest.approx(paused)
