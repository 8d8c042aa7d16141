"""The shell of the beacon: one UDP port that all nodes of a machine share, on every network it has.

Calls (IPv4) go out by multicast, which stays on the LAN (TTL 1), and by each network's broadcast,
for access points tend to drop one of the two; the copies count once.  Answers come to the gossip
port.
Calls are sealed like all datagrams, so clusters that share a LAN do not understand one another.

**Where no call can be heard, nothing else changes**: seeds and remembered peers do without.
Networks are looked for at each call: a Pi may start before it has an address.
"""

import contextlib
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import DatagramProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from nanoboost.core import Woke
from nanoboost.errors import RemoteError
from nanoboost.gossip.beacon import (
    BEACONS,
    Answer,
    Beacon,
    Call,
    Calling,
    CompanyChanged,
    Effect,
    Event,
    Heard,
    Here,
    Visit,
)
from nanoboost.gossip.seal import BEACON_MAGIC, Seal
from nanoboost.ids import Address, NodeId
from nanoboost.net.pump import Pump
from nanoboost.runtime import Network, Runtime

GROUP = "239.255.77.7"
BEACON_PORT = 7477
"""The same on all machines, whatever port their nodes have."""
ANYWHERE = ("0.0.0.0", "::")


class Ear(DatagramProtocol):
    """A UDP port's protocol; `received` gets each datagram and where it came from."""

    noisy = False

    def __init__(self, received: Callable[[bytes, Address], None]) -> None:
        self._received = received

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """Twisted's name for it."""
        self._received(datagram, Address(addr[0], addr[1]))


class Keys(Protocol):
    """What both a credential and a node's security know."""

    @property
    def cluster(self) -> str:
        """The cluster's id."""

    def datagram_keys(self) -> tuple[bytes, ...]:
        """The first seals, all open."""


def beacon_seal(keys: Keys, boot: bytes) -> Seal:
    """The seal of calls and answers, for whoever has drawn the boot id `boot`."""
    key, *also = keys.datagram_keys()
    return Seal(key, keys.cluster, boot, also=tuple(also), magic=BEACON_MAGIC)


class Discovery:
    """This node's beacon.

    `is_live` knows who is held alive; `say` sends a datagram by the gossip port, `visit` exchanges
    tables with an address; `crashed` hears of a broken invariant.
    """

    _log = Logger()

    def __init__(
        self,
        me: NodeId,
        name: str,
        runtime: Runtime,
        seal: Seal,
        is_live: Callable[[NodeId], bool],
        say: Callable[[bytes, Address], None],
        visit: Callable[[Address], None],
        crashed: Callable[[Failure], None],
    ) -> None:
        self._me = me
        self._name = name
        self._runtime = runtime
        self.seal = seal
        self._is_live = is_live
        self._say = say
        self._visit = visit
        self._crashed = crashed
        self._address: Address | None = None
        self._listen_host = ""
        self._port: Any = None
        self._has_complained = False
        self._pump: Pump[Event, Effect] | None = None

    def start(self, address: Address, listen_host: str) -> None:
        """Begin to call: this node is at `address`, and listens on `listen_host`."""
        self._address = address
        self._listen_host = listen_host
        reactor = self._runtime.reactor
        core = Beacon(self._me, self._runtime.rng("beacon"), reactor.seconds())
        if self._runtime.networks is None:
            return
        self._pump = Pump(core, reactor, self._perform, self._crashed)
        around = self._join_networks()
        self._log.info(
            "calling for other nodes of this cluster on {around}",
            event="calling",
            around=", ".join(each.address for each in around) or "no network yet",
        )
        self._pump.start()

    def stop(self) -> "Deferred[None]":
        """Fall silent and deaf."""
        if self._pump is not None:
            self._pump.stop()
        self._pump = None
        port, self._port = self._port, None
        return succeed(None) if port is None else maybeDeferred(port.stopListening)

    def moved(self, address: Address) -> None:
        """This node is at `address` from now on."""
        self._address = address

    def company_changed(self, others: int) -> None:
        """So many other members are alive now."""
        self._feed(CompanyChanged(others))

    def heard(self, datagram: bytes, source: Address) -> None:
        """A datagram has come, by this port or by gossip's."""
        message = self.seal.open(datagram)
        if message is None or self._pump is None:
            return
        try:
            said = BEACONS.decode(message)
        except RemoteError:
            return  # of another version, perhaps
        node = getattr(said, "node", None)
        self._feed(Heard(source, said, node is not None and self._is_live(node)))

    def _feed(self, event: Event | Woke) -> None:
        if self._pump is not None:
            self._pump.feed(event)

    def _perform(self, effect: Effect) -> None:
        assert self._address is not None, "started"
        match effect:
            case Call(is_lonely):
                self._call(Calling(self._me, self._name, self._address, is_lonely))
            case Answer(address):
                here = Here(self._me, self._name, self._address, self._runtime.wall())
                self._say(self.seal.close(BEACONS.encode(here)), address)
            case Visit(address):
                self._log.info("a node of this cluster is at {at}", event="found", at=str(address))
                self._visit(address)

    # --- the port --------------------------------------------------------------------------------

    def _networks(self) -> list[Network]:
        """The networks on which others could reach this node."""
        assert self._runtime.networks is not None, "started"
        return [
            network
            for network in self._runtime.networks()
            if network.address == self._listen_host
            or (self._listen_host in ANYWHERE and not network.is_loopback)
        ]

    def _call(self, calling: Calling) -> None:
        networks = self._join_networks()
        datagram = self.seal.close(BEACONS.encode(calling))
        for network in networks:
            call_on(self._port, network, datagram)

    def _join_networks(self) -> list[Network]:
        """Take the port if need be, and join the group on every network: one more time does no
        harm, and an interface that has come back needs it."""
        if self._port is None:
            try:
                self._port = listen(self._runtime.reactor, BEACON_PORT, self.heard)
            except CannotListenError as error:
                if not self._has_complained:
                    self._has_complained = True
                    self._log.warn(
                        "UDP port {port} cannot be had ({why}): this node hears no other call on "
                        "the network, and finds the cluster only by --join",
                        port=BEACON_PORT,
                        why=str(error.socketError),
                    )
                return []
        networks = self._networks()
        for network in networks:
            self._port.joinGroup(GROUP, network.address).addErrback(_is_no_matter)
        return networks


def listen(reactor: Any, port: int, received: Callable[[bytes, Address], None]) -> Any:
    """A UDP port that hears and sends calls.  Raises `CannotListenError`."""
    made = reactor.listenMulticast(port, Ear(received), listenMultiple=True)
    made.setTTL(1)
    made.setBroadcastAllowed(True)
    return made


def call_on(port: Any, network: Network, datagram: bytes) -> None:
    """Send to everybody on `network`; what the network refuses is lost."""
    port.setOutgoingInterface(network.address).addErrback(_is_no_matter)
    for host in (GROUP, network.broadcast):
        with contextlib.suppress(OSError):  # no such route, or no cable: the other way may do
            port.write(datagram, (host, BEACON_PORT))


def _is_no_matter(failure: Failure) -> None:
    """Joined already, or the interface has just gone."""
