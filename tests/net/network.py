"""A network in memory, in virtual time: what the tests of `nanoboost.net` run on.

**Nothing happens but in `advance`**: bytes, ends of connections and timers come in the order in
which they were caused, so a test sees the same every time and never waits.
"""

from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.internet.address import IPv4Address
from twisted.internet.error import (
    CannotListenError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
)
from twisted.internet.error import ConnectionRefusedError as Refusal
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from nanoboost.errors import RemoteError, UserError
from nanoboost.ids import Address, NodeId
from nanoboost.net.dial import dial
from nanoboost.net.ends import LocalEnd
from nanoboost.net.session import Session
from nanoboost.runtime import Host, Runtime, Security
from nanoboost.wire.codec import Catalog, message
from nanoboost.wire.frame import FrameReader, pack
from nanoboost.wire.messages import CLIENT, SESSION, WORK

A, B, C = (NodeId(letter * 16) for letter in "abc")
CLUSTER = "0123456789abcdef"
HERE = "127.0.0.1"
PORT = 7470
BUFFER_BYTES = 64 << 10


@message(98)
class Say:
    """Something that one node says to another."""

    text: str


CATALOG = Catalog((*SESSION, *WORK, *CLIENT, Say))


class Plain:
    """A `Security` that lets everybody in: for tests of what comes after TLS."""

    cluster = CLUSTER

    def wrap_server(self, endpoint: Any) -> Any:
        return endpoint

    def wrap_client(self, endpoint: Any) -> Any:
        return endpoint

    def datagram_keys(self) -> tuple[bytes, ...]:
        return (bytes(32),)

    @property
    def fingerprints(self) -> tuple[str, ...]:
        return (self.cluster,)

    def rekey(self, pem: bytes) -> None:
        raise UserError("no file")


class Network(Clock):
    """The reactor: a clock, and TCP between ports of this network."""

    def __init__(self) -> None:
        super().__init__()
        self.source = HERE
        """The address that the next connections come from."""
        self.silent = False
        """Whether connections are neither accepted nor refused."""
        self.ports: dict[int, Any] = {}
        self.dialled: list[int] = []
        self.halves: list[Half] = []
        """Both halves of each connection, the dialler's first."""
        self._next_port = 40000

    def settle(self) -> None:
        """Let everything happen that needs no time."""
        self.advance(0)

    def connectTCP(
        self, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: Any = None
    ) -> "Connector":
        self.dialled.append(port)
        connector = Connector(self, port, factory)
        factory.doStart()
        factory.startedConnecting(connector)
        if self.silent:
            connector.timer = self.callLater(timeout, connector.fail, ConnectTimeout())
        else:
            connector.timer = self.callLater(0, connector.connect)
        return connector

    def listenTCP(
        self, port: int, factory: Any, backlog: int = 50, interface: str = ""
    ) -> "ListeningPort":
        if not port:
            self._next_port += 1
            port = self._next_port
        if port in self.ports:
            raise CannotListenError(interface, port, OSError(98, "Address already in use"))
        self.ports[port] = factory
        factory.doStart()
        return ListeningPort(self, port, interface)

    def raw(self, port: int) -> "Raw":
        """A stranger's connection to `port`."""
        stranger = Raw()
        self.join(stranger, self.ports[port], port)
        return stranger

    def join(self, dialler: Any, factory: Any, port: int) -> None:
        """Connect `dialler` with a protocol of `factory`."""
        near, far = Half(self, HERE, port), Half(self, self.source, 50000)
        near.other, far.other = far, near
        accepted = factory.buildProtocol(IPv4Address("TCP", self.source, 50000))
        near.protocol, far.protocol = dialler, accepted
        self.halves += [near, far]
        if accepted is None:
            far.closed = True
            self.callLater(0, near.end, ConnectionDone())
        else:
            accepted.makeConnection(far)
        dialler.makeConnection(near)

    def drop_all(self) -> None:
        """All connections break."""
        for half in list(self.halves):
            self.callLater(0, half.end, ConnectionLost())
        self.settle()


@define(eq=False)
class Connector:
    network: Network
    port: int
    factory: Any
    timer: Any = None

    def connect(self) -> None:
        accepting = self.network.ports.get(self.port)
        if accepting is None:
            self.fail(Refusal())
        else:
            dialler = self.factory.buildProtocol(self.getDestination())
            self.network.join(dialler, accepting, self.port)

    def fail(self, error: Exception) -> None:
        self.factory.clientConnectionFailed(self, Failure(error))

    def getDestination(self) -> IPv4Address:
        return IPv4Address("TCP", HERE, self.port)

    def stopConnecting(self) -> None:
        if self.timer.active():
            self.timer.cancel()


@define(eq=False)
class ListeningPort:
    network: Network
    port: int
    interface: str

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", self.interface, self.port)

    def stopListening(self) -> None:
        self.network.ports.pop(self.port, None)


@define(eq=False)
class Half:
    """One end's transport."""

    network: Network
    host: str
    port: int
    protocol: Any = None
    other: Any = None
    written: bytearray = field(factory=bytearray)
    stuck: bool = False
    """Whether the peer has stopped reading: what is written stays in the buffer."""
    lossy: bool = False
    """Whether what is written is lost (a cable was pulled)."""
    closed: bool = False
    aborted: bool = False
    _held: list[bytes] = field(factory=list)
    _held_bytes: int = 0
    _paused: bool = False
    _closing: bool = False
    _producer: Any = None

    def write(self, data: bytes) -> None:
        if self.closed or self._closing:
            return
        self.written += data
        if self.stuck:
            self._held.append(data)
            self._held_bytes += len(data)
            if self._producer is not None and not self._paused and self._held_bytes > BUFFER_BYTES:
                self._paused = True
                self._producer.pauseProducing()
        elif not self.lossy:
            self.network.callLater(0, self.other.deliver, bytes(data))

    def writeSequence(self, chunks: list[bytes]) -> None:
        self.write(b"".join(chunks))

    def deliver(self, data: bytes) -> None:
        if not self.closed:
            self.protocol.dataReceived(data)

    def read_again(self) -> None:
        """The peer reads what waited."""
        self.stuck = False
        held, self._held = self._held, []
        for data in held:
            self.network.callLater(0, self.other.deliver, data)
        self._held_bytes = 0
        if self._paused and self._producer is not None:
            self._producer.resumeProducing()
        self._paused = False
        self._end_when_flushed()

    def loseConnection(self) -> None:
        self._closing = True
        self._end_when_flushed()

    def _end_when_flushed(self) -> None:
        if self._closing and not self.stuck and not self.lossy:
            self.network.callLater(0, self.end, ConnectionDone())

    def abortConnection(self) -> None:
        self.aborted = True
        self._held.clear()
        self.network.callLater(0, self.end, ConnectionAborted())

    def end(self, reason: Exception) -> None:
        if self.closed:
            return
        self.closed = True
        self.protocol.connectionLost(Failure(reason))
        if not self.lossy:
            self.network.callLater(0, self.other.end, ConnectionDone())

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert self._producer is None
        self._producer = producer

    def unregisterProducer(self) -> None:
        self._producer = None

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", self.host, self.port)

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", HERE, 0)

    def setTcpNoDelay(self, enabled: bool) -> None:
        assert enabled


class Raw(Protocol):
    """A stranger who writes bytes and keeps what comes."""

    def __init__(self, answers: tuple[object, ...] = ()) -> None:
        self.heard = b""
        self.lost: Failure | None = None
        self._answers = answers

    def connectionMade(self) -> None:
        self.say(*self._answers)

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:  # noqa: B008
        self.lost = reason

    def say(self, *messages: object) -> None:
        assert self.transport is not None
        for each in messages:
            self.transport.write(pack(CATALOG.encode(each)))

    @property
    def messages(self) -> list[Any]:
        return [CATALOG.decode(body) for body in FrameReader().feed(self.heard)]


@define
class Told:
    """What the owner of sessions was told; `received` refuses the text "wrong"."""

    opened: list[Session] = field(factory=list)
    received: list[tuple[NodeId, Any]] = field(factory=list)
    closed: list[tuple[Session, Failure]] = field(factory=list)

    def hear_opened(self, session: Session) -> None:
        self.opened.append(session)

    def hear(self, session: Session, message: Any) -> None:
        if message == Say("wrong"):
            raise RemoteError("wrong")
        self.received.append((session.peer, message))

    def hear_closed(self, session: Session, reason: Failure) -> None:
        self.closed.append((session, reason))

    @property
    def why_closed(self) -> list[str]:
        return [str(reason.value) for _, reason in self.closed]


def an_end(network: Network, node: NodeId, security: Security | None = None) -> LocalEnd:
    """One process's end of its sessions."""
    return LocalEnd(network, security or Plain(), CATALOG, node)


def a_runtime(network: Network, security: Security | None = None, seed: int = 1) -> Runtime:
    """As much of a runtime as `Mesh` takes."""
    nothing: Any = None
    return Runtime(
        reactor=network,
        wall=network.seconds,
        store=nothing,
        security=security or Plain(),
        host=Host("here", 1, 1, 1.0),
        python=(),
        environment={},
        kill_group=lambda pid: None,
        scratch_dir="",
        seed=seed,
    )


def at(port: int) -> Address:
    """The address of a port of the network."""
    return Address(HERE, port)


def outcome(deferred: Any) -> list[Any]:
    """A list that gets the result of `deferred`, or its failure, when it fires."""
    results: list[Any] = []
    append: Callable[[Any], None] = results.append
    deferred.addBoth(append)
    return results


def dialled(network: Network, told: Told, node: NodeId = B, wanted: NodeId = A) -> Session:
    """A session that `node` has opened to A."""
    result = outcome(dial(an_end(network, node), at(PORT), wanted, told.hear, told.hear_closed))
    network.settle()
    (session,) = result
    assert isinstance(session, Session)
    return session


def halves(network: Network) -> tuple[Half, Half]:
    """The transports of the first connection: the dialler's, the accepting end's."""
    return network.halves[0], network.halves[1]
