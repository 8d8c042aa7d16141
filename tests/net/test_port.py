"""What strangers and members can occupy is bounded."""

import pytest
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock

from nanoboost.ids import Address, NodeId
from nanoboost.net import port as limits
from nanoboost.net.port import Port
from nanoboost.net.session import HELLO_S, Owner
from nanoboost.wire.messages import PROTOCOL_VERSION, Hello
from tests.net.network import CLUSTER, PORT, A, B, Network, Say, Told, an_end


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def port(network: Network, told: Told) -> Port:
    made = Port(an_end(network, A), Owner(told.hear_opened, told.hear, told.hear_closed))
    network.listenTCP(PORT, made)
    return made


def hello(node: NodeId) -> Hello:
    return Hello(PROTOCOL_VERSION, CLUSTER, node, A)


def test_one_address_has_few_handshakes_at_a_time(network: Network, port: Port) -> None:
    network.source = "192.168.1.66"
    strangers = [network.raw(PORT) for _ in range(20)]
    network.settle()
    assert port.greetings == limits.GREETINGS_PER_HOST_MAX
    assert [each.lost is None for each in strangers] == [True] * 8 + [False] * 12
    network.source = "192.168.1.5"
    member = network.raw(PORT)
    member.say(hello(B))
    network.settle()
    assert port.open_sessions == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_loopback_may_have_many(network: Network, port: Port, host: str) -> None:
    network.source = host
    for _ in range(20):
        network.raw(PORT)
    assert port.greetings == 20


def test_the_kernel_keeps_a_crowd_waiting_for_us(network: Network) -> None:
    """Beyond the backlog a connection is only tried again by TCP after a second."""
    end = an_end(network, A)
    end.clock = reactor = MemoryReactorClock()
    end.server_endpoint(Address("127.0.0.1", PORT)).listen(Factory())
    ((_, _, backlog, _),) = reactor.tcpServers
    assert limits.GREETINGS_MAX <= backlog <= 4096, "what Linux allows"


def test_all_addresses_together_have_few(network: Network, port: Port) -> None:
    for number in range(limits.GREETINGS_MAX + 50):
        network.source = f"192.168.{number >> 8}.{number & 255}"
        network.raw(PORT)
    assert port.greetings == limits.GREETINGS_MAX
    network.advance(HELLO_S)
    assert port.greetings == 0, "they were dropped, and make room"
    network.raw(PORT).say(hello(B))
    network.settle()
    assert port.open_sessions == 1


def test_the_newest_sessions_of_a_node_are_kept(network: Network, port: Port, told: Told) -> None:
    diallers = []
    for _ in range(limits.SESSIONS_PER_NODE_MAX + 2):
        diallers.append(network.raw(PORT))
        diallers[-1].say(hello(B))
        network.settle()
    assert [each.lost is None for each in diallers] == [False] * 2 + [True] * 4
    assert told.why_closed == ["more than 4 sessions"] * 2
    assert port.open_sessions == limits.SESSIONS_PER_NODE_MAX
    diallers[-1].say(Say("heard"))
    network.settle()
    assert told.received == [(B, Say("heard"))]


def test_clients_are_counted_apart(network: Network, port: Port) -> None:
    for _ in range(20):
        network.raw(PORT).say(hello(NodeId("")))
    network.raw(PORT).say(hello(B))
    network.settle()
    assert port.open_sessions == 21


def test_nothing_is_kept_of_those_who_left(network: Network, port: Port, told: Told) -> None:
    for _ in range(3):
        network.raw(PORT).say(hello(B))
        network.raw(PORT)
    network.settle()
    network.drop_all()
    assert (port.greetings, port.open_sessions) == (0, 0)
    assert len(told.closed) == 3
    assert port._open == {}
    assert network.getDelayedCalls() == []
