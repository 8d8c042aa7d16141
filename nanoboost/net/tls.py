"""TLS 1.3, mutual, pinned to exactly the accepted certificates.

**A connection exists only between two holders of an accepted certificate's key**; there is no other
mode.  Not Twisted's `CertificateOptions`: that looks at dates, which a Pi without a clock battery
cannot, and at names, which mean nothing on a home network.
"""

import contextlib
import inspect
from typing import Any

from OpenSSL import SSL, crypto
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from zope.interface import implementer

from nanoboost.errors import UserError
from nanoboost.net.credential import Credential, load, replace


@implementer(IOpenSSLServerConnectionCreator, IOpenSSLClientConnectionCreator)
class _Connections:
    """Makes OpenSSL connections that prove the credential and ask for the same proof."""

    def __init__(self, credential: Credential) -> None:
        self.use(credential)

    def use(self, credential: Credential) -> None:
        """Show this credential from now on, and accept what it accepts."""
        self._accepted = credential.accepted
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_min_proto_version(SSL.TLS1_3_VERSION)
        # No session is ever resumed: each connection shows its certificate.
        context.set_options(SSL.OP_NO_TICKET)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        _use(context, credential)
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, self._verify)
        self._context = context

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """The accepting side's connection (Twisted's name for it)."""
        connection = SSL.Connection(self._context, None)
        connection.set_accept_state()
        return connection

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """The dialling side's connection (Twisted's name for it)."""
        connection = SSL.Connection(self._context, None)
        connection.set_connect_state()
        return connection

    def _verify(
        self, connection: SSL.Connection, certificate: crypto.X509, error: int, depth: int, ok: int
    ) -> bool:
        """Whatever OpenSSL thinks of dates and issuers (`error`, `ok`): only the pin counts."""
        fingerprint = bytes.fromhex(certificate.digest("sha256").decode().replace(":", ""))
        return depth == 0 and fingerprint in self._accepted


def _use(context: SSL.Context, credential: Credential) -> None:
    try:
        context.use_privatekey(credential.private_key)
        context.use_certificate(credential.certificate)
    except TypeError:  # pyOpenSSL before 24.3 takes only its own classes, deprecated since
        context.use_privatekey(crypto.PKey.from_cryptography_key(credential.private_key))
        context.use_certificate(crypto.X509.from_cryptography(credential.certificate))


class _TlsFactory(TLSMemoryBIOFactory):
    """As Twisted's, but a wrapped factory may say None: hang up, before any TLS.  And what is
    written leaves at once: Twisted's default holds it back for a turn of the reactor, to join small
    writes, which costs an idle node a third of its wake-ups."""

    protocol = TLSMemoryBIOProtocol

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """The wrapped factory's protocol in TLS (Twisted's name for it)."""
        inner = self.wrappedFactory.buildProtocol(addr)
        return None if inner is None else self.protocol(self, inner)


@implementer(IStreamServerEndpoint)
class _TlsServerEndpoint:
    def __init__(self, plain: IStreamServerEndpoint, tls: "PinnedTls") -> None:
        self._plain = plain
        self._tls = tls

    def listen(self, protocolFactory: IProtocolFactory) -> "Deferred[Any]":
        return self._plain.listen(self._tls.factory(protocolFactory, is_client=False))


@implementer(IStreamClientEndpoint)
class _TlsClientEndpoint:
    def __init__(self, plain: IStreamClientEndpoint, tls: "PinnedTls") -> None:
        self._plain = plain
        self._tls = tls

    def connect(self, protocolFactory: IProtocolFactory) -> "Deferred[IProtocol]":
        connected = self._plain.connect(self._tls.factory(protocolFactory, is_client=True))
        return connected.addCallback(_unwrapped)


def _unwrapped(wrapper: Any) -> IProtocol:
    inner: IProtocol = wrapper.wrappedProtocol
    return inner


class PinnedTls:
    """The `Security` of the real world."""

    def __init__(self, credential: Credential, reactor: Any) -> None:
        self.cluster = credential.cluster
        self._credential = credential
        self._connections = _Connections(credential)
        # Twisted 22.4 has no `clock`; later ones take the global reactor if they are given none.
        takes_clock = "clock" in inspect.signature(TLSMemoryBIOFactory.__init__).parameters
        self._clock: dict[str, Any] = {"clock": reactor} if takes_clock else {}

    def wrap_server(self, endpoint: IStreamServerEndpoint) -> IStreamServerEndpoint:
        """The endpoint, accepting only holders of the credential."""
        return _TlsServerEndpoint(endpoint, self)

    def wrap_client(self, endpoint: IStreamClientEndpoint) -> IStreamClientEndpoint:
        """The endpoint, connecting only to holders of the credential."""
        return _TlsClientEndpoint(endpoint, self)

    def datagram_keys(self) -> tuple[bytes, ...]:
        """The 32 secret bytes from which datagram keys are derived, of each key that counts."""
        return self._credential.datagram_keys()

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """What may connect, the identity in use first."""
        return self._credential.fingerprints

    def rekey(self, pem: bytes) -> None:
        """Use the credential in `pem` from now on, and after a restart.  Connections that exist
        stay.  Raises `UserError`."""
        new = self._credential.next(pem)
        replace(new)
        self._take(new)

    def refresh(self) -> None:
        """Use what the file holds now: another process may have changed the cluster's key."""
        with contextlib.suppress(UserError):
            found = load(self._credential.path)
            if found.cluster == self.cluster and found.accepted != self._credential.accepted:
                self._take(found)

    def _take(self, credential: Credential) -> None:
        self._credential = credential
        self._connections.use(credential)

    def factory(self, inner: IProtocolFactory, *, is_client: bool) -> IProtocolFactory:
        """`inner`, its protocols wrapped in TLS."""
        return _TlsFactory(self._connections, is_client, inner, **self._clock)
