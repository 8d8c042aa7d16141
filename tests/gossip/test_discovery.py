"""Nodes that find one another on a LAN, told nothing: whole services over a switch in memory."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import pytest
from attrs import define, field, frozen
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import CannotListenError, MulticastJoinError
from twisted.internet.protocol import DatagramProtocol
from twisted.logger import globalLogPublisher

from nanoboost.gossip.beacon import CALL_S, SPREAD
from nanoboost.gossip.discovery import BEACON_PORT, GROUP
from nanoboost.gossip.effects import MemberUp
from nanoboost.gossip.members import State
from nanoboost.ids import Address
from nanoboost.runtime import Network, Security
from tests.gossip.house import A, B, C, House, Keys, Machine, numbered

BROADCAST = "10.0.0.255"


@define(eq=False)
class Ear:
    """One machine's beacon port."""

    lan: "Lan" = field()
    host: str = field()
    protocol: DatagramProtocol = field()
    groups: set[str] = field(factory=set)
    outgoing: str = field(default="")

    def setTTL(self, ttl: int) -> None:
        assert ttl == 1

    def setBroadcastAllowed(self, allowed: bool) -> None:
        assert allowed

    def joinGroup(self, group: str, interface: str) -> "Deferred[None]":
        if interface in self.groups:
            return fail(MulticastJoinError(group, interface, 98, "already"))
        self.groups.add(interface)
        return succeed(None)

    def setOutgoingInterface(self, interface: str) -> "Deferred[int]":
        self.outgoing = interface
        return succeed(1)

    def write(self, datagram: bytes, to: tuple[str, int]) -> None:
        if self.outgoing not in (each.address for each in self.lan.networks_of[self.host]):
            raise OSError(101, "network is unreachable")
        if not self.lan.carries(self.host, to[0]):
            return
        assert to[1] == BEACON_PORT
        self.lan.calls.append((self.host, to[0]))
        for ear in list(self.lan.ears.values()):
            if not self.lan.networks_of[ear.host]:
                continue
            if to[0] == BROADCAST or (to[0] == GROUP and ear.groups):
                self.lan.clock.callLater(0.001, self._arrive, ear, datagram)

    def _arrive(self, ear: "Ear", datagram: bytes) -> None:
        if not self.lan.is_cut(self.host, ear.host):
            ear.protocol.datagramReceived(datagram, (self.outgoing, BEACON_PORT))

    def stopListening(self) -> None:
        del self.lan.ears[self.host]


@frozen
class Host(Machine):
    """A machine that can call to everybody."""

    lan: "Lan"

    def listenMulticast(self, port: int, protocol: DatagramProtocol, listenMultiple: bool) -> Ear:
        if self.lan.port_is_taken:
            raise CannotListenError("", port, OSError("in use"))
        assert listenMultiple
        ear = self.lan.ears[self.host] = Ear(self.lan, self.host, protocol)
        return ear


class Lan(House):
    """A house whose machines are on one LAN."""

    def __init__(self) -> None:
        super().__init__()
        self.ears: dict[str, Ear] = {}
        self.networks_of: dict[str, list[Network]] = {}
        self.keys_of: dict[Address, Security] = {}
        self.calls: list[tuple[str, str]] = []
        self.port_is_taken = False
        self.carries: Callable[[str, str], bool] = lambda host, to: True
        self.is_cut: Callable[[str, str], bool] = lambda one, other: False

    def machine(self, address: Address) -> Any:
        return Host(self.switch, address.host, self)

    def keys(self, address: Address) -> Security:
        return self.keys_of.get(address, Keys())

    def networks(self, address: Address) -> Callable[[], Sequence[Network]] | None:
        found = self.networks_of.setdefault(
            address.host, [Network(address.host, BROADCAST, is_loopback=False)]
        )
        return lambda: tuple(found)

    def live(self, address: Address) -> list[Address]:
        return sorted(m.address for m in self.nodes[address].members if m.state is State.ALIVE)


@pytest.fixture
def lan() -> Lan:
    return Lan()


def test_a_node_that_is_told_nothing_is_there_within_a_second(lan: Lan) -> None:
    lan.start(A)
    lan.run(60.0)
    lan.start(B)
    lan.run(1.0)
    lan.start(C)
    lan.run(1.0)
    assert lan.agree()
    assert [lan.live(each) for each in (A, B, C)] == [[A, B, C]] * 3
    assert lan.said(A, MemberUp) == [numbered(B), numbered(C)]


def test_nodes_that_are_switched_on_together_find_one_another(lan: Lan) -> None:
    addresses = [Address(f"10.0.0.{number}", 7470) for number in range(1, 17)]
    for address in addresses:
        lan.start(address)
    lan.run(3.0)
    assert lan.agree()
    assert lan.live(A) == sorted(addresses)
    assert lan.crashes == []


@pytest.mark.parametrize("way", [GROUP, BROADCAST])
def test_one_of_the_two_ways_is_enough(lan: Lan, way: str) -> None:
    lan.carries = lambda host, to: to == way
    lan.start(A)
    lan.start(B)
    lan.run(1.0)
    assert lan.live(A) == lan.live(B) == [A, B]


def test_a_node_that_hears_no_call_is_heard(lan: Lan) -> None:
    """A Wi-Fi card that saves power sleeps through calls, not through what is for it alone."""
    lan.start(A)
    lan.run(60.0)
    lan.start(B)
    lan.is_cut = lambda one, other: other == B.host
    lan.run(1.0)
    assert lan.live(A) == lan.live(B) == [A, B]


def test_a_node_that_is_heard_by_nobody_hears(lan: Lan) -> None:
    lan.start(A)
    lan.run(60.0)
    lan.is_cut = lambda one, other: one == B.host
    lan.start(B)
    lan.run(CALL_S * (1 + SPREAD) + 1.0)
    assert lan.live(A) == lan.live(B) == [A, B]


@frozen
class OtherKey(Keys):
    def datagram_keys(self) -> tuple[bytes, ...]:
        return (bytes([9]) * 32,)


@frozen
class OtherLabel(Keys):
    cluster: str = "f00d" * 4


@pytest.mark.parametrize("other", [OtherKey(), OtherLabel()], ids=["key", "label"])
def test_clusters_that_share_a_lan_never_mix(lan: Lan, other: Security) -> None:
    D = Address("10.0.0.4", 7470)
    lan.keys_of = {C: other, D: other}
    for each in (A, B, C, D):
        lan.start(each)
    lan.run(40.0)
    assert lan.live(A) == lan.live(B) == [A, B]
    assert lan.live(C) == lan.live(D) == [C, D]
    assert all(m.address in (A, B) for m in lan.nodes[A].members)


def test_groups_that_do_not_know_of_each_other_become_one(lan: Lan) -> None:
    lan.is_cut = lambda one, other: (one == C.host) != (other == C.host)
    for each in (A, B, C):
        lan.start(each)
    lan.run(30.0)
    assert (lan.live(A), lan.live(C)) == ([A, B], [C])
    lan.is_cut = lambda one, other: False
    lan.run(CALL_S * (1 + SPREAD) + 1.0)
    assert lan.live(A) == lan.live(B) == lan.live(C) == [A, B, C]


def test_a_node_may_start_before_it_has_an_address(lan: Lan) -> None:
    lan.start(A)
    lan.networks_of[B.host] = []
    lan.start(B)
    lan.run(60.0)
    assert lan.live(B) == [B]
    lan.networks_of[B.host].append(Network(B.host, BROADCAST, is_loopback=False))
    lan.run(CALL_S * (1 + SPREAD) + 1.0)
    assert lan.live(B) == [A, B]


def test_a_node_that_listens_on_one_network_calls_on_no_other(lan: Lan) -> None:
    """`start` listens on the node's own address."""
    lan.networks_of[A.host] = [
        Network("127.0.0.1", "127.255.255.255", is_loopback=True),
        Network("192.168.1.7", "192.168.1.255", is_loopback=False),
    ]
    lan.start(A)
    lan.run(5.0)
    assert lan.calls == []
    lan.stop(A)
    node = lan.nodes[A] = lan.build(A)
    node.open(A, "0.0.0.0")
    node.startService()
    lan.run(5.0)
    assert lan.calls[:2] == [(A.host, GROUP), (A.host, "192.168.1.255")]
    assert {to for _, to in lan.calls} == {GROUP, "192.168.1.255"}


def test_a_port_that_cannot_be_had_is_told_once_and_done_without(lan: Lan) -> None:
    told: list[Any] = []
    observer: Any = told.append
    globalLogPublisher.addObserver(observer)
    lan.port_is_taken = True
    try:
        lan.start(A)
        lan.start(B, A)
        lan.run(120.0)
    finally:
        globalLogPublisher.removeObserver(observer)
    assert lan.live(A) == [A, B]
    assert [event.get("port") for event in told if "cannot be had" in event["log_format"]] == [
        BEACON_PORT
    ] * 2, "one line for each node"
    assert lan.crashes == []


def test_a_stopped_node_leaves_no_port_and_no_timer(lan: Lan) -> None:
    lan.start(A)
    lan.start(B)
    lan.run(5.0)
    assert set(lan.ears) == {A.host, B.host}
    lan.stop(A)
    lan.stop(B)
    lan.run(0.1)
    assert (lan.ears, lan.switch.ports, lan.clock.getDelayedCalls()) == ({}, {}, [])
    assert lan.crashes == []


def test_a_visit_that_leads_nowhere_is_tried_again_at_the_next_call(lan: Lan) -> None:
    lan.start(A)
    lan.run(60.0)
    real_ask = lan._ask
    lan._ask = lambda *_: fail(OSError("no route"))  # type: ignore[method-assign]
    lan.start(B)
    lan.run(60.0)
    assert lan.live(B) == [B]
    lan._ask = real_ask  # type: ignore[method-assign]
    lan.run(2 * CALL_S * (1 + SPREAD) + 1.0)
    assert lan.live(A) == lan.live(B) == [A, B]


# --- changing the key ----------------------------------------------------------------------------


@define
class Ring(Keys):
    """A node's own copy of the cluster's keys."""

    keys: tuple[bytes, ...] = field(default=(bytes(32),))

    def datagram_keys(self) -> tuple[bytes, ...]:
        return self.keys


def test_the_key_is_changed_while_all_talk_and_nothing_is_lost(lan: Lan) -> None:
    """In whatever order the nodes take each step, and while one more comes in."""
    old, new = bytes(32), bytes([1]) * 32
    addresses = [Address(f"10.0.0.{number}", 7470) for number in range(1, 9)]
    lan.keys_of = {address: Ring() for address in addresses}
    *first, late = addresses
    for address in first:
        lan.start(address)
    lan.run(5.0)
    assert lan.agree()
    for heard in lan.heard.values():
        heard.clear()
    order = Random(1)
    running = list(first)
    for keys in ((old, new), (new, old), (new,)):
        order.shuffle(running)
        for address in running:
            ring = lan.keys_of[address]
            assert isinstance(ring, Ring)
            ring.keys = keys
            lan.nodes[address].rekey(*keys)
            lan.run(0.3)
        if late not in running:
            lan.keys_of[late] = Ring((old, new))
            lan.start(late)
            running.append(late)
            lan.run(2.0)
    lan.run(5.0)
    assert lan.agree()
    assert lan.live(late) == sorted(addresses)
    assert {node.seal.strangers for node in lan.nodes.values()} == {0}
    for address in first:
        assert [type(each) for each in lan.heard[address]] == [MemberUp], "and nobody is suspected"


def test_who_has_only_the_old_key_is_a_stranger_afterwards(lan: Lan) -> None:
    old, new = bytes(32), bytes([1]) * 32
    for address in (A, B):
        lan.keys_of[address] = Ring((new,))
        lan.start(address)
    lan.keys_of[C] = Ring((old,))
    lan.start(C)
    lan.run(40.0)
    assert lan.live(A) == lan.live(B) == [A, B]
    assert lan.live(C) == [C]
