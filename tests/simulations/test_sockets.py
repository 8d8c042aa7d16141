"""Buffers of any size: what was written comes, however little fits at a time."""

from typing import Any

import pytest
from twisted.internet.protocol import ClientFactory, Factory, Protocol

from simulations.hosts.machine import Machine
from simulations.kernel.world import SECOND, US, World
from simulations.net import sockets
from simulations.net.network import Network, Wire

PORT = 7000
SAID = bytes(range(250)) * 16


class Speaker(Protocol):
    """Says all it has as soon as it is connected."""

    transport: Any

    def connectionMade(self) -> None:
        self.transport.write(SAID)


@pytest.mark.parametrize("size", [1, 64, 2000])
@pytest.mark.parametrize("limit", ["SEND_BYTES_MAX", "RECEIVE_BYTES_MAX"])
def test_a_full_buffer_is_refilled_whatever_else_was_acknowledged_meanwhile(
    monkeypatch: pytest.MonkeyPatch, limit: str, size: int
) -> None:
    # The handshake's last segment is acknowledged when the buffer is full already: that makes no
    # room, and whoever waits for room must still be told of it later.
    monkeypatch.setattr(sockets, limit, size)
    for seed in range(10):
        world = World(seed)
        network = Network(world, Wire(jitter_ns=5000 * US))
        one, other = (Machine(world, network, name, {}).new_life() for name in ("one", "other"))
        heard = bytearray()

        class Ear(Protocol):
            def dataReceived(self, data: bytes, heard: bytearray = heard) -> None:
                heard += data

        other.reactor.listenTCP(PORT, Factory.forProtocol(Ear))
        one.reactor.connectTCP("10.0.0.2", PORT, ClientFactory.forProtocol(Speaker))
        world.run(60 * SECOND)
        assert heard == SAID, f"seed {seed}: {len(heard)} bytes"
