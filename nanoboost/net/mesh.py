"""All connections of one node: messages to and from nodes, questions and answers.

**A link carries messages one way**: A speaks to B over the link that A opened, B to A over its own.
So who may say what is decided in one place (`_received`), and no two ends ever fight over whose
connection survives.
"""

import errno
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.python.failure import Failure

from nanoboost.errors import LocalError, RemoteError, UserError
from nanoboost.ids import Address, NodeId
from nanoboost.net.dial import ANYBODY, NobodyThere, dial, is_refusal
from nanoboost.net.ends import LocalEnd
from nanoboost.net.link import Link
from nanoboost.net.port import Port
from nanoboost.net.session import Owner, Session, why
from nanoboost.runtime import Runtime
from nanoboost.wire.codec import Catalog
from nanoboost.wire.frame import pack

Receive = Callable[[NodeId, Any], None]
Answer = Callable[[Session, Any], None]

KNOCKS_S = 1.5
"""A question waits so long for a connection: the kernel repeats a lost SYN once, after a second.
Who asked may ask again sooner than the kernel would."""


class Mesh(MultiService):
    """The node's TCP side.  `address` is where it listens, the real port after `listen()`."""

    def __init__(self, runtime: Runtime, catalog: Catalog, me: NodeId, listen: Address) -> None:
        super().__init__()
        self.address = listen
        self._end = LocalEnd(runtime.reactor, runtime.security, catalog, me)
        self._me = me
        self._rng = runtime.rng("mesh")
        self._receivers: dict[type, Receive] = {}
        self._answerers: dict[type, Answer] = {}
        self._refusals: list[Callable[[NodeId], None]] = []
        self._meetings: list[Callable[[NodeId], None]] = []
        self._links: dict[NodeId, Link] = {}
        self._port: IListeningPort | None = None
        self._to_self: deque[Any] = deque()
        self._stopped = False

    # --- wiring ----------------------------------------------------------------------------------

    def subscribe(self, classes: Iterable[type], receive: Receive) -> None:
        """Hand messages of `classes` to `receive(sender, message)`; only nodes may send them.

        `receive` may raise `RemoteError`: the connection that the message came by is dropped.
        """
        for cls in classes:
            self._claim(cls)
            self._receivers[cls] = receive

    def serve(self, classes: Iterable[type], answer: Answer) -> None:
        """Hand questions of `classes` to `answer(session, question)`, which answers, now or later,
        by `session.send`; nodes and clients may ask."""
        for cls in classes:
            self._claim(cls)
            self._answerers[cls] = answer

    def on_refused(self, heard: Callable[[NodeId], None]) -> None:
        """Tell `heard(node)` whenever the host of a node that we send to refuses the connection:
        the host lives, but the node's process is gone."""
        self._refusals.append(heard)

    def on_met(self, heard: Callable[[NodeId], None]) -> None:
        """Tell `heard(node)` whenever a node has opened a session with this one."""
        self._meetings.append(heard)

    def _claim(self, cls: type) -> None:
        if cls in self._receivers or cls in self._answerers:
            raise LocalError(f"{cls.__name__} already has a receiver")

    # --- life ------------------------------------------------------------------------------------

    def listen(self) -> None:
        """Take the port, before the service is started.  Raises `UserError` if that cannot be."""
        owner = Owner(self._met, self._received, lambda session, reason: None)
        outcome: list[Any] = []
        listening = self._end.server_endpoint(self.address).listen(Port(self._end, owner))
        listening.addBoth(outcome.append)
        assert outcome, "a TCP endpoint listens at once or fails at once"
        if isinstance(outcome[0], Failure):
            outcome[0].trap(CannotListenError)
            raise _cannot_listen(self.address, outcome[0].value)
        port: IListeningPort = outcome[0]
        self._port = port
        self.address = Address(self.address.host, port.getHost().port)  # type: ignore[attr-defined]

    def stopService(self) -> "Deferred[None]":
        """Stop listening and end all sessions politely; fires when all is closed."""
        self._stopped = True
        self._to_self.clear()
        ends: list[Deferred[Any]] = [super().stopService()]
        if self._port is not None:
            ends.append(_as_deferred(self._port.stopListening()))
            self._port = None
        for link in self._links.values():
            link.close()
        self._links.clear()
        ends.append(self._end.close_all())
        return DeferredList(ends, consumeErrors=True).addCallback(lambda _: None)

    # --- nodes -----------------------------------------------------------------------------------

    def learn(self, node: NodeId, address: Address) -> None:
        """`node` is at `address`; if that is new, its link reconnects."""
        if node == self._me or self._stopped:
            return
        link = self._links.get(node)
        if link is None:
            self._links[node] = Link(self._end, node, address, self._rng, self._refused)
        else:
            link.move(address)

    def forget(self, node: NodeId) -> None:
        """Drop the link to `node` and what waits for it."""
        link = self._links.pop(node, None)
        if link is not None:
            link.close()

    def renew(self) -> None:
        """Make everybody prove anew who they are: what opened the sessions may count no more."""
        sessions = list(self._end.sessions)
        for link in self._links.values():
            link.renew()
        for session in sessions:
            session.close()

    def send(self, node: NodeId, message: object) -> None:
        """Say `message` to `node`, once, unless it is lost: nothing tells whether it arrived.

        Lost at once if `node` is not known.  Raises `LocalError` if it cannot travel.
        """
        if self._stopped:
            return
        if node == self._me:
            if type(message) not in self._receivers:
                raise LocalError(f"{type(message).__name__} has no receiver")
            self._to_self.append(message)
            if len(self._to_self) == 1:
                self._end.clock.callLater(0, self._deliver_to_self)
        elif node in self._links:
            self._links[node].send_frame(pack(self._end.catalog.encode(message)))

    def ask(
        self, address: Address, message: object, timeout_s: float
    ) -> "Deferred[tuple[NodeId, Any]]":
        """Ask whichever node is at `address`; fires with its id and its answer.

        Fails with `RemoteError`, whose text is one line, if there is none within `timeout_s`: with
        `NobodyThere` if the host refuses the connection.
        """
        return _Question(self._end, address, message, timeout_s).answer

    # --- what comes in ---------------------------------------------------------------------------

    def _received(self, session: Session, message: Any) -> None:
        kind = type(message)
        if kind in self._answerers:
            self._answerers[kind](session, message)
        elif kind in self._receivers and session.peer:
            self._receivers[kind](session.peer, message)
        else:
            raise RemoteError(f"{kind.__name__} is not said here")

    def _met(self, session: Session) -> None:
        if session.peer:
            for heard in self._meetings:
                heard(session.peer)

    def _deliver_to_self(self) -> None:
        """What we say to ourselves arrives later, in order, like everything that is said; a
        receiver that raises costs us one message, not all later ones."""
        if self._stopped:
            return
        message = self._to_self.popleft()
        if self._to_self:
            self._end.clock.callLater(0, self._deliver_to_self)
        self._receivers[type(message)](self._me, message)

    def _refused(self, node: NodeId) -> None:
        for heard in self._refusals:
            heard(node)


class _Question:
    """One question to one address, over a session of its own."""

    def __init__(self, end: LocalEnd, address: Address, message: object, timeout_s: float) -> None:
        self._address = address
        self._message = message
        self._session: Session | None = None
        self.answer: Deferred[tuple[NodeId, Any]] = Deferred(lambda _: self._release())
        self._timer = end.clock.callLater(
            timeout_s, self._fail, f"no answer within {timeout_s:g} s"
        )
        connect_s = min(timeout_s, KNOCKS_S)
        self._attempt = dial(end, address, ANYBODY, self._received, self._closed, connect_s)
        self._attempt.addCallbacks(self._opened, self._not_opened)

    def _opened(self, session: Session) -> None:
        if self.answer.called:
            session.close()
            return
        self._session = session
        session.send(self._message)

    def _not_opened(self, reason: Failure) -> None:
        self._fail(why(reason), NobodyThere if is_refusal(reason) else RemoteError)

    def _received(self, session: Session, message: Any) -> None:
        self._release()
        if not self.answer.called:
            self.answer.callback((session.peer, message))

    def _closed(self, session: Session, reason: Failure) -> None:
        self._fail(why(reason))

    def _fail(self, reason: str, kind: type[RemoteError] = RemoteError) -> None:
        if not self.answer.called:
            self.answer.errback(kind(f"{self._address}: {reason}"))
            self._release()

    def _release(self) -> None:
        """Let go of the timer and of the connection."""
        if self._timer.active():
            self._timer.cancel()
        if self._session is not None:
            self._session.close()
        else:
            self._attempt.cancel()


def _cannot_listen(address: Address, error: Any) -> UserError:
    if address.port and getattr(error.socketError, "errno", None) == errno.EADDRINUSE:
        return UserError(
            f"port {address.port} is in use on {address.host}: stop the program that has it "
            "(`ss -ltnp` shows which), or choose another port with --listen"
        )
    detail = getattr(error.socketError, "strerror", None) or error.socketError
    return UserError(f"cannot listen on {address}: {detail}; choose another with --listen")


def _as_deferred(result: Any) -> "Deferred[Any]":
    return result if isinstance(result, Deferred) else succeed(result)
