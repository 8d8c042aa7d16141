"""The simulated transports do what real ones do: the same scripts, the same journals.

The real side runs once, in a process of its own, on the epoll reactor and real sockets.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IReactorCore,
    IReactorFDSet,
    IReactorProcess,
    IReactorTCP,
    IReactorTime,
    IReactorUDP,
)
from zope.interface.verify import verifyObject

from simulations.kernel.world import SECOND, World
from simulations.net.network import Network, Wire
from simulations.net.reactor import SimReactor
from tests.simulations.scripts import SCRIPTS, Journal

SCRIPT_FILE = Path(__file__).with_name("scripts.py")


def no_children(*arguments: Any) -> None:
    raise AssertionError("no script starts a process")


def simulated(name: str, seed: int) -> tuple[Journal, Journal]:
    world = World(seed)
    kernel = Network(world, Wire()).add("one")
    reactor = SimReactor(world, kernel, kernel, no_children)
    left: Journal = []
    right: Journal = []
    outcome: list[Any] = []
    world.at(
        0,
        kernel,
        lambda: Deferred.fromCoroutine(SCRIPTS[name](reactor, left, right)).addBoth(outcome.append),
    )
    world.run(20 * SECOND)
    assert outcome == [None], outcome
    assert reactor.getReaders() == reactor.getWriters() == []
    assert reactor.getDelayedCalls() == ()
    # (Twisted 22.4 forgets a socket that it could not bind.)
    assert not [each for each in kernel.sockets.values() if each.local[1]], "all are closed"
    return left, right


@pytest.fixture(scope="module")
def real() -> dict[str, tuple[Journal, Journal]]:
    done = subprocess.run(
        [sys.executable, SCRIPT_FILE], capture_output=True, text=True, timeout=40, check=True
    )
    return {name: (sides[0], sides[1]) for name, sides in json.loads(done.stdout).items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_has_the_same_journals_on_real_sockets(
    name: str, real: dict[str, tuple[Journal, Journal]]
) -> None:
    for seed in range(3):
        assert simulated(name, seed) == real[name]


def test_the_reactor_is_what_it_says() -> None:
    world = World(1)
    kernel = Network(world, Wire()).add("one")
    reactor = SimReactor(world, kernel, kernel, no_children)
    for interface in (
        IReactorCore,
        IReactorFDSet,
        IReactorProcess,
        IReactorTCP,
        IReactorTime,
        IReactorUDP,
    ):
        assert verifyObject(interface, reactor)
