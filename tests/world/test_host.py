"""Facts about this machine."""

import math
import socket
import sys
from ipaddress import ip_address
from types import SimpleNamespace

import pytest

from nanoboost.world import host as module
from nanoboost.world.host import REFERENCE_S, benchmark, host, networks


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


# --- networks ------------------------------------------------------------------------------------


def test_this_machine_is_on_loopback_at_least_and_can_be_called_wherever_it_is() -> None:
    found = networks()
    assert [each.address for each in found if each.is_loopback] == ["127.0.0.1"]
    for each in found:
        own, everybody = ip_address(each.address), ip_address(each.broadcast)
        assert own.version == everybody.version == 4
        assert each.is_loopback == own.is_loopback
        assert own != everybody


def test_an_interface_that_has_just_gone_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "if_nameindex", lambda: [(1, "lo"), (99, "gone0")])
    assert [each.is_loopback for each in networks()] == [True]


def test_elsewhere_than_on_linux_it_is_the_network_of_the_default_route(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    loopback, *routed = networks()
    assert loopback.is_loopback
    assert all(each.broadcast == "255.255.255.255" for each in routed)
