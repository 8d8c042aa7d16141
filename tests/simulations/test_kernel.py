"""Virtual time, random streams, the guard: what every run stands on."""

import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from twisted.internet.task import LoopingCall

from simulations.kernel.guard import Escape, guarded
from simulations.kernel.prng import Stream
from simulations.kernel.world import MS, SECOND, Nature, World, Zeno
from simulations.net.network import Network, Wire
from simulations.net.reactor import SimReactor

EXPECTED = [0x9A65B868D07A414, 0xFAB45DBB4E17E8CF, 0x615E775030F3DF59]


def a_reactor(world: World) -> SimReactor:
    kernel = Network(world, Wire()).add("one")
    return SimReactor(world, kernel, kernel, lambda *_: None)


def test_time_goes_in_order_and_equals_are_first_come_first_served() -> None:
    world = World(1)
    seen: list[object] = []
    for name in ("b1", "b2", "b3"):
        world.at(20, world.nature, seen.append, name)
    world.at(10, world.nature, seen.append, "a")
    world.at(30, world.nature, seen.append, "never").cancel()
    world.run(25)
    assert seen == ["a", "b1", "b2", "b3"]
    assert world.now == 25


def test_what_a_dead_owner_had_to_do_never_happens() -> None:
    world = World(1)
    seen: list[object] = []
    owner = Nature("somebody")
    world.at(10, owner, seen.append, "before")
    world.at(20, owner, seen.append, "after")
    world.at(15, world.nature, lambda: setattr(owner, "alive", False))
    world.run(100)
    assert seen == ["before"]


def test_time_that_does_not_go_on_is_an_error() -> None:
    world = World(1)

    def again() -> None:
        world.after(0, world.nature, again)

    again()
    with pytest.raises(Zeno):
        world.run(SECOND)


def test_a_looping_call_comes_as_often_as_it_should() -> None:
    """Timers that were a nanosecond early, or exact, made up to half again as many."""
    world = World(1)
    ticks: list[float] = []
    reactor = a_reactor(world)
    loop = LoopingCall(lambda: ticks.append(reactor.seconds()))
    loop.clock = reactor
    loop.start(0.05, now=False)
    world.run(200 * SECOND)
    assert 3998 <= len(ticks) <= 4000


def test_a_timer_is_never_early() -> None:
    world = World(1)
    reactor = a_reactor(world)
    draw = Stream(1, "delays")
    late: list[float] = []
    for _ in range(200):
        delay = draw.below(10**9) / 10**9
        due = reactor.seconds() + delay
        reactor.callLater(delay, lambda due=due: late.append(reactor.seconds() - due))
        world.run(world.now + draw.below(SECOND))
    assert len(late) > 100
    assert all(each > 0 for each in late)


def test_random_numbers_are_the_same_on_every_machine() -> None:
    stream = Stream(7, "link/n1>n2")
    assert [stream.bits() for _ in range(3)] == EXPECTED
    assert Stream(7, "link/n1>n2").between(10, 20) == 10 + (EXPECTED[0] * 11 >> 64)


def test_a_stream_does_not_notice_others() -> None:
    world = World(1)
    one, other = world.stream("one"), world.stream("other")
    alone = World(1).stream("one")
    mixed = [(one.bits(), other.bits())[0] for _ in range(10)]
    assert mixed == [alone.bits() for _ in range(10)]


@pytest.mark.parametrize(
    "escape",
    [
        lambda: time.time(),
        lambda: time.sleep(0),
        lambda: random.random(),
        lambda: os.urandom(1),
        lambda: socket.socket(),
        lambda: threading.Thread(target=print).start(),
        lambda: subprocess.run([sys.executable, "-V"], check=True),
        lambda: Path("never.txt").write_text(""),
        lambda: Path("/etc/hostname").read_text(),
        lambda: LoopingCall(print).start(1.0),
    ],
    ids=[
        "clock",
        "sleep",
        "random",
        "entropy",
        "socket",
        "thread",
        "process",
        "file",
        "reading",
        "reactor",
    ],
)
def test_the_real_world_is_out_of_reach(escape: Callable[[], object]) -> None:
    world = World(1)
    caught: list[BaseException] = []

    def tries() -> None:
        try:
            escape()
        except BaseException as error:
            caught.append(error)

    world.at(MS, world.nature, tries)
    with guarded():
        world.run(SECOND)
    assert [type(each) for each in caught] == [Escape]
    assert time.time() > 0, "and everything is as before afterwards"
