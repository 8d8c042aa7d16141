"""A house of nodes: whole services of membership over a switch in memory and one clock."""

from collections.abc import Callable, Sequence
from typing import Any

from attrs import define, field, frozen
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from nanoboost.config import PROFILES
from nanoboost.gossip.effects import MemberEvent
from nanoboost.gossip.members import Meta
from nanoboost.gossip.service import Gossip
from nanoboost.ids import Address, NodeId
from nanoboost.net.dial import NobodyThere
from nanoboost.runtime import Host, Network, Runtime, Security
from tests.gossip.lan import node_id
from tests.net.network import Plain

LOCAL = PROFILES["local"].gossip
META = Meta(4, 4096, 1.0, 4)
KEY = bytes(32)
CLUSTER = "c0ffee0123456789"
A, B, C = (Address(f"10.0.0.{n}", 7470) for n in (1, 2, 3))


class Store:
    """A disk that is durable at once, or only when told (`is_slow`)."""

    is_full = False

    def __init__(self) -> None:
        self.pairs: dict[bytes, bytes] = {}
        self.is_slow = False
        self.waiting: list[Deferred[None]] = []

    def load(self, prefix: bytes) -> list[tuple[bytes, bytes]]:
        return sorted((k, v) for k, v in self.pairs.items() if k.startswith(prefix))

    def commit(self, writes: Sequence[tuple[bytes, bytes | None]]) -> "Deferred[None]":
        for key, value in writes:
            assert value is not None
            self.pairs[key] = value
        if not self.is_slow:
            return succeed(None)
        self.waiting.append(Deferred())
        return self.waiting[-1]

    def close(self) -> "Deferred[None]":
        return succeed(None)


class Keys(Plain):
    """The cluster's credential, without TLS."""

    cluster = CLUSTER

    def datagram_keys(self) -> tuple[bytes, ...]:
        return (KEY,)


@define(eq=False)
class Switch:
    """Carries datagrams between the ports that are open on it."""

    clock: Clock = field(factory=Clock)
    ports: dict[Address, DatagramProtocol] = field(factory=dict)
    carried: list[tuple[Address, Address, bytes]] = field(factory=list)
    broken: Exception | None = field(default=None)


@define(eq=False)
class Socket:
    """A UDP port on the switch."""

    switch: Switch = field()
    address: Address = field()

    def write(self, datagram: bytes, to: tuple[str, int]) -> None:
        if self.switch.broken is not None:
            raise self.switch.broken
        receiver = Address(*to)
        self.switch.carried.append((self.address, receiver, datagram))
        self.switch.clock.callLater(0.001, self._arrive, receiver, datagram)

    def _arrive(self, receiver: Address, datagram: bytes) -> None:
        protocol = self.switch.ports.get(receiver)
        if protocol is not None:
            protocol.datagramReceived(datagram, (self.address.host, self.address.port))

    def stopListening(self) -> None:
        del self.switch.ports[self.address]


@frozen
class Machine:
    """What a node needs of a reactor: the shared clock, and ports of its own host."""

    switch: Switch
    host: str

    def seconds(self) -> float:
        return self.switch.clock.seconds()

    def callLater(self, delay: float, call: Callable[..., Any], *args: Any) -> Any:
        return self.switch.clock.callLater(delay, call, *args)

    def listenUDP(self, port: int, protocol: DatagramProtocol, interface: str) -> Socket:
        address = Address(self.host, port)
        if address in self.switch.ports:
            raise CannotListenError(interface, port, OSError("in use"))
        self.switch.ports[address] = protocol
        return Socket(self.switch, address)


@define(eq=False)
class Call:
    """The other end of a question over TCP."""

    peer: NodeId = field()
    answers: list[Any] = field(factory=list)

    def send(self, message: Any) -> None:
        self.answers.append(message)


class House:
    """Some services on one switch, and the TCP between them."""

    def __init__(self) -> None:
        self.switch = Switch()
        self.clock = self.switch.clock
        self.stores: dict[Address, Store] = {}
        self.nodes: dict[Address, Gossip] = {}
        self.heard: dict[Address, list[MemberEvent]] = {}
        self.crashes: list[Failure] = []
        self.twins: list[Address] = []

    def machine(self, address: Address) -> Any:
        return Machine(self.switch, address.host)

    def keys(self, address: Address) -> Security:
        return Keys()

    def networks(self, address: Address) -> Callable[[], Sequence[Network]] | None:
        """What `address` could call on: nothing here; the beacon has tests of its own."""
        return None

    def build(self, address: Address) -> Gossip:
        store = self.stores.setdefault(address, Store())
        number = int(address.host.rpartition(".")[2])
        heard = self.heard[address] = []

        def ask(to: Address, question: Any, timeout_s: float) -> "Deferred[Any]":
            return self._ask(node_id(number), to, question)

        runtime = Runtime(
            reactor=self.machine(address),
            wall=lambda: 0.0,
            store=store,
            security=self.keys(address),
            host=Host("pi", 4, 4096, 1.0),
            python=("python",),
            environment={},
            kill_group=lambda pid: None,
            scratch_dir="",
            seed=number,
            networks=self.networks(address),
        )
        return Gossip(
            node_id(number),
            f"node-{number}",
            META,
            LOCAL,
            runtime,
            ask,
            heard.append,
            self.twins.append,
            self.crashes.append,
        )

    def start(self, address: Address, *seeds: Address) -> Gossip:
        node = self.nodes[address] = self.build(address)
        node.open(address, address.host)
        node.startService()
        node.join(seeds)
        return node

    def stop(self, address: Address) -> None:
        self.nodes.pop(address).stopService()

    def _ask(self, asker: NodeId, to: Address, question: Any) -> "Deferred[Any]":
        node = self.nodes.get(to)
        if node is None:
            return fail(NobodyThere("refused"))
        call: Any = Call(asker)
        node.answer(call, question)
        number = int(to.host.rpartition(".")[2])
        return succeed((node_id(number), call.answers[0])) if call.answers else Deferred()

    def run(self, seconds: float) -> None:
        self.clock.pump([0.01] * round(seconds / 0.01))

    def agree(self) -> bool:
        return len({node.digest for node in self.nodes.values()}) == 1

    def said(self, address: Address, kind: type[MemberEvent]) -> list[NodeId]:
        return [each.member.node for each in self.heard[address] if type(each) is kind]


def numbered(address: Address) -> NodeId:
    return node_id(int(address.host.rpartition(".")[2]))
