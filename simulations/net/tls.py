"""TLS in a world without entropy: certificates are names, and the handshake is a few flights.

**A connection carries nothing before both sides have shown a certificate that the other accepts**,
and as in the real thing the protocol above is connected from the first moment: what it writes waits
for the handshake.  Nothing is encrypted; that is tested with real sockets.
"""

from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint, IStreamServerEndpoint
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from zope.interface import implementer

HELLO, CERTIFICATE, FINISHED = 0, 1, 2
FLIGHT_BYTES = (300, 900, 700)
"""About what the flights of TLS 1.3 with P-256 weigh; each begins with what it says."""


class Certified(Protocol):
    """Whose certificate is shown, and which are accepted."""

    certificate: str
    accepted: tuple[str, ...]


class _Session(ProtocolWrapper):
    """One end of a connection."""

    factory: Any
    transport: Any

    def __init__(self, factory: Any, wrapped: Any) -> None:
        super().__init__(factory, wrapped)
        self._waiting: list[bytes] = []
        self._received = bytearray()
        self._is_open = False
        self._is_closing = False
        self._expected = CERTIFICATE if factory.is_client else HELLO

    def makeConnection(self, transport: Any) -> None:
        """The wire is there (Twisted's name for it)."""
        super().makeConnection(transport)
        if self.factory.is_client and not self.disconnecting:
            self._fly(HELLO)

    def dataReceived(self, data: bytes) -> None:
        """Bytes have come (Twisted's name for it)."""
        if self._is_open:
            self.wrappedProtocol.dataReceived(data)
            return
        self._received += data
        size = FLIGHT_BYTES[self._expected]
        while not self._is_open and len(self._received) >= size:
            flight = bytes(self._received[:size])
            del self._received[:size]
            self._take(flight[:64].rstrip(b" ").decode("ascii", "replace"))
            size = FLIGHT_BYTES[self._expected]
        if self._is_open and self._received:
            rest, self._received = bytes(self._received), bytearray()
            self.wrappedProtocol.dataReceived(rest)

    def write(self, data: bytes) -> None:
        """Now, or after the handshake (Twisted's name for it)."""
        if self._is_open:
            self.transport.write(data)
        else:
            self._waiting.append(data)

    def writeSequence(self, data: Any) -> None:
        """Now, or after the handshake (Twisted's name for it)."""
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """Close, once all is said (Twisted's name for it)."""
        self._is_closing = True
        if self._is_open or not self._waiting:
            super().loseConnection()

    def connectionLost(self, reason: Any) -> None:  # type: ignore[override]
        """It is over (Twisted's name for it)."""
        self._is_open = True  # nothing need wait any more
        super().connectionLost(reason)

    def _take(self, said: str) -> None:
        """A flight has come."""
        is_client = self.factory.is_client
        if self._expected != HELLO and said not in self.factory.certified.accepted:
            self.transport.abortConnection()
        elif self._expected == HELLO:
            self._expected = FINISHED
            self._fly(CERTIFICATE)
        else:
            if is_client:
                self._fly(FINISHED)
            self._open()

    def _fly(self, flight: int) -> None:
        said = "hello" if flight == HELLO else self.factory.certified.certificate
        self.transport.write(said.encode().ljust(64).ljust(FLIGHT_BYTES[flight], b"."))

    def _open(self) -> None:
        self._is_open = True
        waiting, self._waiting = self._waiting, []
        if waiting:
            self.transport.write(b"".join(waiting))
        if self._is_closing:
            super().loseConnection()


class _Factory(WrappingFactory):
    """As Twisted's, but a wrapped factory may say None: hang up before any handshake."""

    protocol = _Session
    noisy = False

    def __init__(self, wrapped: Any, certified: Certified, *, is_client: bool) -> None:
        super().__init__(wrapped)
        self.certified = certified
        self.is_client = is_client

    def buildProtocol(self, addr: Any) -> Any:
        """The wrapped factory's protocol in a session (Twisted's name for it)."""
        inner = self.wrappedFactory.buildProtocol(addr)
        return None if inner is None else self.protocol(self, inner)


@implementer(IStreamServerEndpoint)
class ServerEndpoint:
    """Listens for holders of an accepted certificate."""

    def __init__(self, plain: IStreamServerEndpoint, certified: Certified) -> None:
        self._plain = plain
        self._certified = certified

    def listen(self, protocolFactory: Any) -> "Deferred[Any]":
        """Listen (Twisted's name for it)."""
        return self._plain.listen(_Factory(protocolFactory, self._certified, is_client=False))


@implementer(IStreamClientEndpoint)
class ClientEndpoint:
    """Connects to holders of an accepted certificate."""

    def __init__(self, plain: IStreamClientEndpoint, certified: Certified) -> None:
        self._plain = plain
        self._certified = certified

    def connect(self, protocolFactory: Any) -> "Deferred[Any]":
        """Connect (Twisted's name for it)."""
        made = self._plain.connect(_Factory(protocolFactory, self._certified, is_client=True))
        return made.addCallback(_unwrapped)


def _unwrapped(session: Any) -> Any:
    return session.wrappedProtocol
