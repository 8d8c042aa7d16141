"""The command line's side of a session: ask one node, get the answer or one line for the user.

**Each answer goes to the question whose number it bears**; all that can go wrong on the way is a
`UserError`.
"""

from typing import Any

from OpenSSL.SSL import Error as TlsError
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferTimeout
from twisted.internet.error import ConnectError
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from nanoboost.errors import RemoteError, UserError
from nanoboost.ids import Address, NodeId
from nanoboost.net.dial import ANYBODY, dial, is_refusal
from nanoboost.net.ends import LocalEnd
from nanoboost.net.session import Session, why
from nanoboost.runtime import Security
from nanoboost.wire.codec import Catalog

A_CLIENT = NodeId("")


def connect(
    reactor: Any, security: Security, catalog: Catalog, address: Address, timeout_s: float
) -> "Deferred[Client]":
    """Open a session with the node at `address`, as a client.  Fails with `UserError`."""
    end = LocalEnd(reactor, security, catalog, A_CLIENT)
    return Deferred.fromCoroutine(_connect(end, address, timeout_s))


async def _connect(end: LocalEnd, address: Address, timeout_s: float) -> "Client":
    client = Client(end.clock, address)
    attempt = dial(end, address, ANYBODY, client.received, client.closed, timeout_s)
    attempt.addTimeout(timeout_s, end.clock)
    try:
        client.session = await attempt
    except Exception as error:
        raise UserError(_complaint(address, Failure(error), timeout_s)) from None
    return client


class Client:
    """A session with one node, for questions that have a `request` number."""

    def __init__(self, clock: Any, address: Address) -> None:
        self.session: Session | None = None
        self._clock = clock
        self._address = address
        self._waiting: dict[int, tuple[Deferred[Any], IDelayedCall]] = {}

    def ask(self, question: Any, *, timeout_s: float) -> "Deferred[Any]":
        """Send `question`; fires with the answer that bears its number, or fails with
        `UserError`."""
        request: int = question.request
        answer: Deferred[Any] = Deferred(lambda _: self._cancelled(request))
        if self.session is None:
            answer.errback(UserError(f"{self._address} has closed the connection"))
            return answer
        timer = self._clock.callLater(
            timeout_s,
            self._fail,
            request,
            f"{self._address} has not answered within {timeout_s:g} s: is it overloaded?",
        )
        self._waiting[request] = answer, timer
        self.session.send(question)
        return answer

    def close(self) -> None:
        """End the session; questions without an answer fail."""
        session, self.session = self.session, None
        if session is not None:
            session.close()
            self._fail_all(f"the connection with {self._address} was closed")

    def received(self, session: Session, message: Any) -> None:
        """The node says `message`; one that nobody waits for any more is dropped."""
        request = getattr(message, "request", None)
        if request is None:
            raise RemoteError(f"{type(message).__name__} is no answer")
        answer = self._forget(request)
        if answer is not None:
            answer.callback(message)

    def closed(self, session: Session, reason: Failure) -> None:
        """The session is gone."""
        if session is self.session:
            self.session = None
            self._fail_all(_complaint(self._address, reason, 0.0))

    def _fail_all(self, reason: str) -> None:
        for request in list(self._waiting):
            self._fail(request, reason)

    def _fail(self, request: int, reason: str) -> None:
        answer = self._forget(request)
        if answer is not None:
            answer.errback(UserError(reason))

    def _cancelled(self, request: int) -> None:
        self._forget(request)

    def _forget(self, request: int) -> "Deferred[Any] | None":
        answer, timer = self._waiting.pop(request, (None, None))
        if timer is not None and timer.active():
            timer.cancel()
        return answer


def _complaint(address: Address, reason: Failure, timeout_s: float) -> str:
    """What a user can do about it."""
    if is_refusal(reason):
        return f"nobody listens at {address}: is a node running there?"
    if reason.check(TlsError) is not None:
        text = why(reason)
        if "certificate" in text or "unknown ca" in text:
            return (
                f"{address} holds another cluster's credential: copy cluster.pem from a node of "
                "the cluster that you mean"
            )
        return f"{address} is not a NanoBoost node (TLS: {text})"
    if reason.check(ConnectTimeout, DeferTimeout) is not None:
        return f"{address} does not answer within {timeout_s:g} s: is the machine on?"
    if reason.check(ConnectError, RemoteError) is not None:
        return f"{address}: {why(reason)}"
    return f"{address} has closed the connection: {why(reason)}"
