"""One connection between two ends of the cluster: Hello, messages, signs of life.

**Nothing is delivered, and nothing is believed, before a Hello that names both ends.**  A shared
certificate proves membership only: without the ids a relay could lead A's connection to the wrong
node, even back to A.  (Twisted calls `connectionMade` before the TLS handshake, and a TLS 1.3
client completes its handshake even when the server then refuses it; so only the Hello counts.)

The dialler asks for signs of life and the accepting end answers them.  Whatever a peer does wrong
costs it this connection and nothing else.
"""

import enum
from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from nanoboost.errors import RemoteError
from nanoboost.ids import NODE_ID, NodeId
from nanoboost.net.ends import LocalEnd
from nanoboost.wire.frame import FrameReader, pack
from nanoboost.wire.messages import PROTOCOL_VERSION, Hello, Keepalive, Refused

HELLO_S = 5.0
"""From the connection to the peer's Hello, the TLS handshake included (Twisted bounds neither): a
Pi Zero needs 0.1 s of processor time for it, a stranger who stays silent has no use for more."""

PULSE_S = 3.0
"""How often the dialler looks whether it used the session, and asks for a sign of life if so."""

DEAD_AIR_S = 2.5
"""How long the dialler waits for that sign, so until its next look.  After a partition TCP repeats
what was lost only when its doubled-up timer fires, tens of seconds late; a new connection is there
in milliseconds."""

KEEPALIVE_S = 10.0
"""How long a session may be silent before the dialler asks for a sign of life all the same."""

SILENCE_S = 30.0
"""After this long without a byte the accepting end drops the session (three keepalives)."""

UNSENT_BYTES_MAX = 8 << 20
"""What may wait for a peer that reads too slowly, before the peer is dropped."""

CLOSE_S = 2.0
"""How long a polite end (what was said is flushed, TLS says goodbye) may take."""


class State(enum.Enum):
    """Where a session is in its life."""

    GREETING = enum.auto()
    OPEN = enum.auto()
    CLOSING = enum.auto()
    CLOSED = enum.auto()


def objection(hello: Hello, end: LocalEnd, wanted: NodeId, *, dialled: bool) -> str:
    """Why a peer that says `hello` is not let in; "" if it is.

    `wanted` is the node that we dialled ("": whoever is there).  The texts are for the peer's log
    too, so they repeat nothing that it said but ids that look like ids.
    """
    if hello.version != PROTOCOL_VERSION:
        return f"speaks protocol {hello.version}, not {PROTOCOL_VERSION}: use one NanoBoost version"
    if hello.cluster != end.cluster:
        return "belongs to another cluster"
    if hello.sender and not NODE_ID.fullmatch(hello.sender):
        return "has no proper node id"
    if hello.sender and hello.sender == end.node:
        return "is this node itself"
    if dialled:
        if not hello.sender:
            return "is not a node"
        if hello.receiver != end.node:
            return "answers somebody else"
        if wanted and hello.sender != wanted:
            return f"is node {hello.sender}, not {wanted}"
    elif hello.receiver and hello.receiver != end.node:
        return f"wants another node than {end.node}"
    return ""


@define(eq=False)
class Owner:
    """Whom a session reports to.

    `opened` once the Hellos are exchanged, `received` for each message after that (it may raise
    `RemoteError`: the peer is dropped), `closed` exactly once for a session that was connected.
    """

    opened: Callable[["Session"], None] = field()
    received: Callable[["Session", Any], None] = field()
    closed: Callable[["Session", Failure], None] = field()


@implementer(IPushProducer)
class Session(Protocol):
    """One connection.  `peer` is the node at the other end once open; "" for a client."""

    def __init__(self, end: LocalEnd, wanted: NodeId, owner: Owner, *, dialled: bool) -> None:
        self.peer = wanted
        self.state = State.GREETING
        self.used_at = end.clock.seconds()
        """When `send` was last called, on the clock's scale."""
        self._end = end
        self._wanted = wanted
        self._owner = owner
        self._dialled = dialled
        self._reader = FrameReader()
        self._timer: IDelayedCall | None = None
        self._heard_at = self.used_at
        self._asked_at = self.used_at
        self._pulsed_at = self.used_at
        self._paused = False
        self._unsent_bytes = 0
        self._verdict: Failure | None = None

    @property
    def host(self) -> str:
        """The address of the peer, as text for the log."""
        return str(getattr(self._transport.getPeer(), "host", "?"))

    # --- what the owner says ---------------------------------------------------------------------

    def send(self, message: object) -> None:
        """Say `message`; lost without notice if the session is not open (any more)."""
        if self.state is State.OPEN:
            self.send_frame(pack(self._end.catalog.encode(message)))

    def send_frame(self, frame: bytes) -> None:
        """Say what is already encoded and framed."""
        if self.state is State.OPEN:
            self.used_at = self._end.clock.seconds()
            self._write(frame)

    def close(self) -> None:
        """End politely: flush what was said, then close; by force after `CLOSE_S`."""
        if self.state in (State.GREETING, State.OPEN):
            self.state = State.CLOSING
            self._arm(CLOSE_S, self._abort)
            self._transport.unregisterProducer()
            self._transport.loseConnection()

    def drop(self, reason: str) -> None:
        """End at once because the peer is wrong; one line tells why."""
        if self.state in (State.GREETING, State.OPEN):
            self._verdict = Failure(RemoteError(reason))
            self._end.complaints.note(self.host, self.peer, reason)
            self._abort()

    def abort(self) -> None:
        """End at once; what was said may be lost."""
        if self.state is not State.CLOSED and self.transport is not None:
            self._abort()

    # --- what Twisted says -----------------------------------------------------------------------

    def connectionMade(self) -> None:
        """There is a connection, but no TLS and no peer yet."""
        self._heard_at = self._end.clock.seconds()
        self._end.sessions[self] = None
        # Not `ITCPTransport.providedBy`: Twisted's TLS wrapper loses most of what it provides.
        set_no_delay = getattr(self.transport, "setTcpNoDelay", None)
        if set_no_delay is not None:
            set_no_delay(True)
        self._transport.registerProducer(self, True)
        self._arm(HELLO_S, lambda: self.drop(f"no Hello within {HELLO_S:g} s"))
        if self._dialled:
            self._say_hello(self._wanted)

    def dataReceived(self, data: bytes) -> None:
        """Bytes have come."""
        self._heard_at = self._end.clock.seconds()
        try:
            for body in self._reader.feed(data):
                if self.state in (State.CLOSING, State.CLOSED):
                    return
                self._heard(self._end.catalog.decode(body))
        except RemoteError as error:
            self.drop(str(error))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone."""
        if self.state is State.GREETING:
            self._end.complaints.note(self.host, self.peer, f"not let in: {why(reason)}")
        self.state = State.CLOSED
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._end.left(self)
        self._owner.closed(self, self._verdict or reason)

    def pauseProducing(self) -> None:
        """The transport's buffer is full: count what we add from now on."""
        self._paused = True
        self._unsent_bytes = 0

    def resumeProducing(self) -> None:
        """The transport's buffer is empty."""
        self._paused = False

    def stopProducing(self) -> None:
        """The connection is going; `connectionLost` follows."""

    # --- Hello and messages ----------------------------------------------------------------------

    def _heard(self, message: Any) -> None:
        if self.state is State.GREETING:
            self._greeted(message)
        elif isinstance(message, Keepalive):
            if not self._dialled:
                self._write(pack(self._end.catalog.encode(message)))
        elif isinstance(message, Hello | Refused):
            raise RemoteError(f"{type(message).__name__} in the middle of a session")
        else:
            self._owner.received(self, message)

    def _greeted(self, message: Any) -> None:
        if isinstance(message, Refused) and self._dialled:
            raise RemoteError(f"refused: {message.reason[:200]!a}")
        if not isinstance(message, Hello):
            raise RemoteError(f"{type(message).__name__} before Hello")
        refusal = objection(message, self._end, self._wanted, dialled=self._dialled)
        if refusal:
            self._refuse(refusal)
            return
        self.peer = message.sender
        self.state = State.OPEN
        if self._dialled:
            self._arm(PULSE_S, self._pulse)
        else:
            self._say_hello(self.peer)
            self._arm(SILENCE_S, self._listen)
        self._asked_at = self._heard_at  # nothing is asked yet: the Hello is the last sign of life
        self._pulsed_at = self._end.clock.seconds()
        self._owner.opened(self)

    def _say_hello(self, receiver: NodeId) -> None:
        hello = Hello(PROTOCOL_VERSION, self._end.cluster, self._end.node, receiver)
        self._write(pack(self._end.catalog.encode(hello)))

    def _refuse(self, refusal: str) -> None:
        """Tell a member why it is not wanted here (a dialler just goes), then close."""
        self._verdict = Failure(RemoteError(f"the peer {refusal}"))
        self._end.complaints.note(self.host, self.peer, f"the peer {refusal}")
        if not self._dialled:
            self._write(pack(self._end.catalog.encode(Refused(f"this peer {refusal}"))))
        self.close()

    # --- signs of life ---------------------------------------------------------------------------

    def _pulse(self) -> None:
        """The dialler's beat: after use, or a long silence, ask; without an answer, give up."""
        now = self._end.clock.seconds()
        slept = now - self._pulsed_at > 2 * PULSE_S  # we, not the peer: the answer may lie unread
        waiting = self._heard_at < self._asked_at
        if waiting and slept:
            self._asked_at = now
        elif waiting and now - self._asked_at >= DEAD_AIR_S:
            self.drop(f"no sign of life for {DEAD_AIR_S:g} s")
            return
        elif not waiting and (
            self.used_at >= self._asked_at or now - self._asked_at >= KEEPALIVE_S
        ):
            self._asked_at = now
            self._write(pack(self._end.catalog.encode(Keepalive())))
        self._pulsed_at = now
        self._arm(PULSE_S, self._pulse)

    def _listen(self) -> None:
        """The accepting end's beat: drop a peer of which nothing was heard for too long."""
        left = self._heard_at + SILENCE_S - self._end.clock.seconds()
        if left > 0:
            self._arm(left, self._listen)
        else:
            self.drop(f"silent for {SILENCE_S:g} s")

    # --- leaves ----------------------------------------------------------------------------------

    @property
    def _transport(self) -> Any:
        assert self.transport is not None, "connected"
        return self.transport

    def _write(self, frame: bytes) -> None:
        self._transport.write(frame)
        if self._paused:
            self._unsent_bytes += len(frame)
            if self._unsent_bytes > UNSENT_BYTES_MAX:
                self.drop(f"reads too slowly: {UNSENT_BYTES_MAX >> 20} MiB wait")

    def _abort(self) -> None:
        self.state = State.CLOSED
        self._transport.abortConnection()

    def _arm(self, delay_s: float, call: Callable[[], None]) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = self._end.clock.callLater(delay_s, call)


def why(reason: Failure) -> str:
    """A failure as one short line.  (OpenSSL's errors are lists of (library, function, reason).)"""
    arguments = getattr(reason.value, "args", ())
    if arguments and isinstance(arguments[0], list):
        text = "; ".join(str(each[-1]) for each in arguments[0]) or "TLS failed"
        if "certificate" in text or "unknown ca" in text:
            text += " (another credential: copy cluster.pem from a node of the cluster)"
        return text
    return " ".join(str(reason.value).split())[:200] or type(reason.value).__name__
