"""A machine with a new address tells the others; one that was told its address keeps it."""

from typing import Any

import pytest
from attrs import define, field
from twisted.internet.task import Clock

from nanoboost.runtime import Network
from nanoboost.whereabouts import LOOK_S, Whereabouts


def network(address: str, *, is_loopback: bool = False) -> Network:
    return Network(address, "10.0.0.255", is_loopback)


@define(eq=False)
class World:
    """What `Whereabouts` needs of a runtime."""

    reactor: Clock = field(factory=Clock)
    now: list[Network] = field(factory=lambda: [network("127.0.0.1", is_loopback=True)])

    def networks(self) -> list[Network]:
        return self.now


def watched(world: Any, host: str, listen_host: str) -> tuple[Whereabouts, list[str]]:
    moved: list[str] = []
    whereabouts = Whereabouts(host, listen_host, world, moved.append)
    whereabouts.startService()
    return whereabouts, moved


def test_a_new_address_is_told_once_and_the_next_one_too() -> None:
    world = World()
    world.now.append(network("10.0.0.5"))
    _, moved = watched(world, "10.0.0.5", "0.0.0.0")
    world.reactor.pump([LOOK_S] * 3)
    assert moved == []
    for address in ("10.0.0.6", "10.0.0.7"):
        world.now[1] = network(address)
        world.reactor.pump([LOOK_S] * 3)
    assert moved == ["10.0.0.6", "10.0.0.7"]


def test_a_cable_that_is_out_is_no_new_address() -> None:
    world = World()
    world.now.append(network("10.0.0.5"))
    _, moved = watched(world, "10.0.0.5", "0.0.0.0")
    cable = world.now.pop()
    world.reactor.pump([LOOK_S] * 3)
    world.now.append(cable)
    world.reactor.pump([LOOK_S] * 3)
    assert moved == []


@pytest.mark.parametrize(
    ("host", "listen_host"), [("203.0.113.9", "0.0.0.0"), ("10.0.0.5", "10.0.0.5")]
)
def test_an_address_that_was_told_to_us_stays(host: str, listen_host: str) -> None:
    world = World()
    world.now.append(network("10.0.0.5"))
    _, moved = watched(world, host, listen_host)
    world.now[1] = network("10.0.0.6")
    world.reactor.pump([LOOK_S] * 3)
    assert moved == []


def test_it_ends_and_leaves_no_timer() -> None:
    world = World()
    whereabouts, _ = watched(world, "10.0.0.5", "0.0.0.0")
    whereabouts.stopService()
    assert world.reactor.getDelayedCalls() == []
