"""Sessions over time: idle ones stay open, dead air and silence end them, short sleeps do not."""

import math
from itertools import count

import pytest

from nanoboost.net import session as limits
from nanoboost.net.session import State
from nanoboost.wire.frame import pack
from nanoboost.wire.messages import Keepalive
from tests.net.network import CATALOG, Network, Say, Told, dialled, halves


def run(network: Network, seconds: float) -> None:
    for _ in range(round(seconds * 10)):
        network.advance(0.1)


def test_an_idle_session_stays_open_and_says_little(network: Network, told: Told) -> None:
    session = dialled(network, Told())
    before = len(halves(network)[0].written)
    run(network, 100)
    assert session.state is State.OPEN
    beats = (len(halves(network)[0].written) - before) / len(pack(CATALOG.encode(Keepalive())))
    looks = math.ceil(limits.KEEPALIVE_S / limits.PULSE_S) * limits.PULSE_S
    assert 100 // looks <= beats <= 100 / looks + 1


def test_an_idle_session_stays_open_though_time_passes_within_a_step(
    network: Network, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real clock has moved on when the Hello has been read: that is no unanswered question."""
    now, looks = network.seconds, count()
    monkeypatch.setattr(network, "seconds", lambda: now() + next(looks) * 1e-6)
    session = dialled(network, Told())
    run(network, 100)
    assert session.state is State.OPEN


def test_a_session_in_use_notices_dead_air_soon(network: Network, told: Told) -> None:
    here = Told()
    session = dialled(network, here)
    for half in halves(network):
        half.lossy = True  # a cable is pulled
    session.send(Say("into the void"))
    run(network, limits.DEAD_AIR_S + 2 * limits.PULSE_S + 0.2)
    assert here.why_closed == [f"no sign of life for {limits.DEAD_AIR_S:g} s"]


def test_an_unused_session_notices_dead_air_too(network: Network, told: Told) -> None:
    here = Told()
    dialled(network, here)
    for half in halves(network):
        half.lossy = True
    run(network, limits.KEEPALIVE_S + limits.DEAD_AIR_S + 2 * limits.PULSE_S)
    assert here.why_closed == [f"no sign of life for {limits.DEAD_AIR_S:g} s"]


def test_the_accepting_end_drops_a_peer_that_fell_silent(network: Network, told: Told) -> None:
    dialled(network, Told())
    for half in halves(network):
        half.lossy = True
    run(network, limits.SILENCE_S + 0.2)
    assert told.why_closed == [f"silent for {limits.SILENCE_S:g} s"]


def test_any_byte_is_a_sign_of_life(network: Network, told: Told) -> None:
    here = Told()
    session = dialled(network, here)
    for _ in range(20):
        session.send(Say("again"))
        run(network, 1)
        told.opened[0].send(Say("yes"))
    assert here.closed == []


def test_a_laptop_that_slept_gives_the_peer_a_second_chance(network: Network, told: Told) -> None:
    here = Told()
    session = dialled(network, here)
    halves(network)[0].lossy = True
    session.send(Say("lost"))
    run(network, limits.PULSE_S + 0.1)  # asked
    halves(network)[0].lossy = False
    network.advance(limits.SILENCE_S / 2)  # the lid was closed
    assert session.state is State.OPEN
    run(network, limits.DEAD_AIR_S + 2 * limits.PULSE_S)
    assert here.why_closed == [f"no sign of life for {limits.DEAD_AIR_S:g} s"]
