"""What transports do, as scripts that run on any reactor: the parity test compares their journals.

Each script gets a reactor and two journals (lists of text), one for each side; between the sides
there is no order.  A script is over when its Deferred fires.  Run as a program, this module runs
the script that it is told on the real epoll reactor and prints both journals as JSON.
"""

import json
import sys
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import ClientFactory, DatagramProtocol, Factory, Protocol
from twisted.internet.task import deferLater
from zope.interface import implementer

HOST = "127.0.0.1"
Journal = list[str]


class Recorder(Protocol):
    """Notes what happens to it; `said` holds what has come."""

    transport: Any

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.said = bytearray()
        self.made: Deferred[None] = Deferred()
        self.gone: Deferred[None] = Deferred()
        self.ended: Deferred[None] = Deferred()
        self.wanted: tuple[int, Deferred[None]] | None = None

    def connectionMade(self) -> None:
        self.journal.append("made")
        self.made.callback(None)

    def dataReceived(self, data: bytes) -> None:
        self.said += data
        if self.wanted is not None and len(self.said) >= self.wanted[0]:
            waiting, self.wanted = self.wanted[1], None
            waiting.callback(None)

    def heard(self, size: int) -> "Deferred[None]":
        """Fires once `size` bytes have come."""
        waiting: Deferred[None] = Deferred()
        if len(self.said) >= size:
            waiting.callback(None)
        else:
            self.wanted = (size, waiting)
        return waiting

    def connectionLost(self, reason: Any = None) -> None:
        self.journal.append(f"lost {reason.type.__name__} after {len(self.said)} bytes")
        self.gone.callback(None)


@implementer(IHalfCloseableProtocol)
class HalfCloser(Recorder):
    """Also notes half closes."""

    def readConnectionLost(self) -> None:
        self.journal.append(f"read end after {len(self.said)} bytes")
        self.ended.callback(None)

    def writeConnectionLost(self) -> None:
        self.journal.append("write end")


class Bomb(Recorder):
    """Raises at the first byte."""

    def dataReceived(self, data: bytes) -> None:
        raise RuntimeError("on purpose")


class _One(ClientFactory):
    noisy = False

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol

    def buildProtocol(self, addr: Any) -> Any:
        return self._protocol


class Pair:
    """A server and a client, connected."""

    def __init__(self, reactor: Any, server: Recorder, client: Recorder) -> None:
        self.reactor = reactor
        self.server = server
        self.client = client
        self.port = reactor.listenTCP(0, _One(server), interface=HOST)
        self.number = self.port.getHost().port

    async def connect(self) -> None:
        endpoint = TCP4ClientEndpoint(self.reactor, HOST, self.number, timeout=5)
        await endpoint.connect(_One(self.client))
        await self.server.made

    async def gone(self) -> None:
        await self.client.gone
        await self.server.gone
        await self.port.stopListening()


async def pause(reactor: Any, seconds: float = 0.05) -> None:
    """Let the other side come to rest."""
    await deferLater(reactor, seconds, lambda: None)


async def _pair(
    reactor: Any, left: Journal, right: Journal, server: Any = Recorder, client: Any = Recorder
) -> Pair:
    pair = Pair(reactor, server(left), client(right))
    await pair.connect()
    return pair


async def refused(reactor: Any, left: Journal, right: Journal) -> None:
    port = reactor.listenTCP(0, Factory(), interface=HOST)
    number = port.getHost().port
    await port.stopListening()
    try:
        await TCP4ClientEndpoint(reactor, HOST, number).connect(_One(Recorder(right)))
    except Exception as error:
        right.append(type(error).__name__)


async def both_ways(reactor: Any, left: Journal, right: Journal) -> None:
    pair = await _pair(reactor, left, right)
    pair.client.transport.write(b"hello")
    await pair.server.heard(5)
    pair.server.transport.write(bytes(pair.server.said.upper()))
    await pair.client.heard(5)
    right.append(pair.client.said.decode())
    pair.client.transport.loseConnection()
    await pair.gone()


async def large(reactor: Any, left: Journal, right: Journal) -> None:
    pair = await _pair(reactor, left, right)
    pair.client.transport.write(b"c" * 3_000_000)
    pair.server.transport.write(b"s" * 2_000_000)
    await pair.server.heard(3_000_000)
    await pair.client.heard(2_000_000)
    pair.server.transport.loseConnection()
    await pair.gone()


async def close_flushes(reactor: Any, left: Journal, right: Journal) -> None:
    pair = await _pair(reactor, left, right)
    pair.client.transport.write(b"x" * 1_000_000)
    pair.client.transport.loseConnection()
    pair.client.transport.write(b"y" * 10)  # Twisted still sends it while the buffer drains
    await pair.gone()


async def half_close(reactor: Any, left: Journal, right: Journal) -> None:
    pair = await _pair(reactor, left, right, HalfCloser, HalfCloser)
    pair.client.transport.write(b"question")
    pair.client.transport.loseWriteConnection()
    await pair.server.ended
    pair.server.transport.write(b"late answer")
    pair.server.transport.loseConnection()
    await pair.client.heard(11)
    await pair.client.ended
    pair.client.transport.loseConnection()
    await pair.gone()


async def half_close_meets_a_plain_protocol(reactor: Any, left: Journal, right: Journal) -> None:
    pair = await _pair(reactor, left, right, Recorder, HalfCloser)
    pair.client.transport.write(b"question")
    pair.client.transport.loseWriteConnection()
    await pair.client.ended
    await pause(reactor)
    right.append("closes")
    pair.client.transport.loseConnection()
    await pair.gone()


async def abort(reactor: Any, left: Journal, right: Journal) -> None:
    pair = await _pair(reactor, left, right)
    pair.client.transport.abortConnection()
    await pair.gone()


async def abort_after_data(reactor: Any, left: Journal, right: Journal) -> None:
    pair = await _pair(reactor, left, right)
    pair.client.transport.write(b"last words")
    await pair.server.heard(10)
    pair.client.transport.abortConnection()
    await pair.gone()


async def abort_meets_a_paused_reader(reactor: Any, left: Journal, right: Journal) -> None:
    pair = await _pair(reactor, left, right)
    pair.server.transport.pauseProducing()
    pair.client.transport.write(b"unread")
    await pause(reactor)
    pair.client.transport.abortConnection()
    await pause(reactor)
    left.append("resumed")
    pair.server.transport.resumeProducing()
    await pair.gone()


async def a_paused_reader_sees_no_end(reactor: Any, left: Journal, right: Journal) -> None:
    pair = await _pair(reactor, left, right)
    pair.server.transport.pauseProducing()
    pair.client.transport.write(b"x" * 50_000)
    pair.client.transport.loseConnection()
    await pause(reactor)
    left.append("resumed")
    pair.server.transport.resumeProducing()
    await pair.gone()


async def closing_with_unread_bytes_resets(reactor: Any, left: Journal, right: Journal) -> None:
    pair = await _pair(reactor, left, right)
    pair.server.transport.pauseProducing()
    pair.client.transport.write(b"unread")
    await pause(reactor)
    pair.server.transport.loseConnection()
    await pair.gone()


async def writing_to_one_who_has_gone(reactor: Any, left: Journal, right: Journal) -> None:
    pair = await _pair(reactor, left, right, Recorder, HalfCloser)
    pair.server.transport.loseConnection()
    await pair.server.gone
    await pair.client.ended
    pair.client.transport.write(b"anybody there?")
    await pause(reactor)
    pair.client.transport.write(b"no")
    await pair.gone()


async def a_protocol_that_raises(reactor: Any, left: Journal, right: Journal) -> None:
    pair = await _pair(reactor, left, right, Bomb, Recorder)
    pair.client.transport.write(b"boom")
    await pair.gone()


async def a_factory_that_says_none(reactor: Any, left: Journal, right: Journal) -> None:
    port = reactor.listenTCP(0, _One(None), interface=HOST)
    client = Recorder(right)
    endpoint = TCP4ClientEndpoint(reactor, HOST, port.getHost().port)
    await endpoint.connect(_One(client))
    await client.gone
    await port.stopListening()


async def a_cancelled_connect(reactor: Any, left: Journal, right: Journal) -> None:
    server = Recorder(left)
    port = reactor.listenTCP(0, _One(server), interface=HOST)
    attempt = TCP4ClientEndpoint(reactor, HOST, port.getHost().port).connect(_One(Recorder(right)))
    attempt.cancel()
    try:
        await attempt
    except Exception as error:
        right.append(type(error).__name__)
    await pause(reactor)
    await port.stopListening()


async def a_port_that_is_taken(reactor: Any, left: Journal, right: Journal) -> None:
    port = reactor.listenTCP(0, Factory(), interface=HOST)
    try:
        reactor.listenTCP(port.getHost().port, Factory(), interface=HOST)
    except CannotListenError as error:
        right.append(f"{type(error).__name__} {error.socketError.errno}")
    await port.stopListening()


async def producers(reactor: Any, left: Journal, right: Journal) -> None:
    class Producer:
        def pauseProducing(self) -> None:
            right.append("pause")

        def resumeProducing(self) -> None:
            right.append("resume")
            pair.client.transport.unregisterProducer()
            pair.client.transport.loseConnection()

        def stopProducing(self) -> None:
            right.append("stop")

    pair = await _pair(reactor, left, right)
    pair.client.transport.registerProducer(Producer(), True)
    pair.client.transport.write(b"p" * 200_000)
    await pair.gone()


class _Datagrams(DatagramProtocol):
    def __init__(self, journal: Journal, size: int) -> None:
        self.journal = journal
        self.size = size
        self.heard: Deferred[None] = Deferred()

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self.journal.append(f"{len(datagram)} from {addr[0]}")
        assert self.transport is not None
        if datagram.startswith(b"ping"):
            self.transport.write(b"pong", addr)
        self.size -= 1
        if not self.size:
            self.heard.callback(None)


async def datagrams(reactor: Any, left: Journal, right: Journal) -> None:
    server, client = _Datagrams(left, 1), _Datagrams(right, 1)
    port = reactor.listenUDP(0, server, interface=HOST)
    other = reactor.listenUDP(0, client, interface=HOST)
    nobody = reactor.listenUDP(0, DatagramProtocol(), interface=HOST)
    number = nobody.getHost().port
    await nobody.stopListening()
    other.write(b"to nobody", (HOST, number))
    await pause(reactor)
    other.write(b"ping" * 300, (HOST, port.getHost().port))
    await server.heard
    await client.heard
    try:
        other.write(b"x" * 70_000, (HOST, port.getHost().port))
    except Exception as error:
        right.append(type(error).__name__)
    await port.stopListening()
    await other.stopListening()


async def stop_listening_drops_nobody(reactor: Any, left: Journal, right: Journal) -> None:
    pair = await _pair(reactor, left, right)
    await pair.port.stopListening()
    pair.client.transport.write(b"still here")
    await pair.server.heard(10)
    pair.server.transport.loseConnection()
    await pair.client.gone
    await pair.server.gone


SCRIPTS: dict[str, Callable[[Any, Journal, Journal], Any]] = {
    script.__name__: script
    for script in (
        refused,
        both_ways,
        large,
        close_flushes,
        half_close,
        half_close_meets_a_plain_protocol,
        abort,
        abort_after_data,
        abort_meets_a_paused_reader,
        a_paused_reader_sees_no_end,
        closing_with_unread_bytes_resets,
        writing_to_one_who_has_gone,
        a_protocol_that_raises,
        a_factory_that_says_none,
        a_cancelled_connect,
        a_port_that_is_taken,
        producers,
        datagrams,
        stop_listening_drops_nobody,
    )
}


def _main() -> None:
    from twisted.internet import epollreactor

    reactor = epollreactor.EPollReactor()
    found: dict[str, tuple[Journal, Journal]] = {}

    async def run_all() -> None:
        for name, script in SCRIPTS.items():
            left, right = found[name] = ([], [])
            run = Deferred.fromCoroutine(script(reactor, left, right)).addTimeout(3.0, reactor)
            try:
                await run
            except Exception as error:
                left.append(repr(error))

    finished = Deferred.fromCoroutine(run_all())
    finished.addErrback(lambda failure: failure.printTraceback(sys.stderr))
    finished.addBoth(lambda _: reactor.stop())
    reactor.callLater(20, reactor.stop)
    reactor.run(installSignalHandlers=False)
    print(json.dumps(found))


if __name__ == "__main__":
    _main()
