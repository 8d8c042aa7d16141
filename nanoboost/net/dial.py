"""Open one session to a node.

**The Deferred fires with an open session, or fails; there is nothing in between**: a connection
whose Hello was not answered is no success.
"""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError as TwistedRefused
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from nanoboost.errors import RemoteError
from nanoboost.ids import Address, NodeId
from nanoboost.net.ends import LocalEnd
from nanoboost.net.session import Owner, Session

CONNECT_S = 1.0
"""A LAN answers a SYN in milliseconds; the kernel repeats a lost one after just this long."""

ANYBODY = NodeId("")


class NobodyThere(RemoteError):
    """The host lives and answered that nobody listens at the port: the process is gone."""


class _Once(Factory):
    """Makes the one protocol that it was given."""

    noisy = False

    def __init__(self, session: Session) -> None:
        self._session = session

    def buildProtocol(self, addr: IAddress | None) -> Session:
        """The session, for a connection to `addr` (Twisted's name for it)."""
        return self._session


def dial(
    end: LocalEnd,
    address: Address,
    wanted: NodeId,
    received: Callable[[Session, Any], None],
    closed: Callable[[Session, Failure], None],
    connect_s: float = CONNECT_S,
) -> "Deferred[Session]":
    """Open a session to the node `wanted` (`ANYBODY`: whoever is there) at `address`.

    `closed` is only told of a session that was open.  Cancelling gives the attempt up.  Fails with
    Twisted's connection errors, OpenSSL's, or `RemoteError` if the Hellos did not agree.
    """

    def cancelled(_: object) -> None:
        attempt.cancel()
        session.abort()

    def lost(session: Session, reason: Failure) -> None:
        if done:
            closed(session, reason)
        else:
            failed(reason)

    def opened(session: Session) -> None:
        done.append(session)
        answer.callback(session)

    def failed(reason: Failure) -> None:
        if not answer.called:
            answer.errback(reason)

    done: list[Session] = []
    answer: Deferred[Session] = Deferred(cancelled)
    session = Session(end, wanted, Owner(opened, received, lost), dialled=True)
    attempt = end.client_endpoint(address, connect_s).connect(_Once(session))
    attempt.addErrback(failed)
    return answer


def is_refusal(failure: Failure) -> bool:
    """Whether the peer's host answered that nobody listens there."""
    return failure.check(TwistedRefused) is not None
