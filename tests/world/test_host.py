"""Facts about this machine."""

import math
from types import SimpleNamespace

import pytest

from nanoboost.world import host as module
from nanoboost.world.host import REFERENCE_S, benchmark, host


def test_the_benchmark_gives_a_speed() -> None:
    speed = benchmark()
    assert math.isfinite(speed)
    assert 0.001 < speed < 100


def test_each_kernel_is_a_small_piece_of_work() -> None:
    """Far below the time for which it is repeated, so that there is a best of many."""
    for kernel, reference_s in REFERENCE_S:
        assert 0 < reference_s < module.KERNEL_S / 10
        kernel()


def test_the_speed_is_the_mean_over_the_best_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """In made-up time: one kernel needs twice its reference, the other an eighth."""
    now = 0.0
    runs = 0

    def slow() -> None:
        nonlocal now, runs
        runs += 1
        now += 0.002 if runs % 3 else 0.009  # some runs are disturbed

    def fast() -> None:
        nonlocal now
        now += 0.001 / 8

    monkeypatch.setattr(module, "time", SimpleNamespace(thread_time=lambda: now))
    monkeypatch.setattr(module, "REFERENCE_S", ((slow, 0.001), (fast, 0.001)))
    assert benchmark() == 2.0
    assert now < 2 * (module.KERNEL_S + 0.01)


def test_the_facts() -> None:
    facts = host(1.5)
    assert facts.speed == 1.5
    assert facts.cores >= 1
    assert facts.memory_mib > 64
    assert facts.hostname
    assert "." not in facts.hostname
