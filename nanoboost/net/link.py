"""The one-way path from this node to one peer: a queue, and a session while there is need for one.

**Sending never blocks and never fails**: what cannot be delivered soon is lost, and whoever sent it
says it again (all messages may be lost anyway, with the machine that they go to).

A session that is lost is dialled once more even if there is nothing to say: a host that refuses
tells at once, and long before any timeout, that the peer's process is gone.
"""

import random
from collections import deque
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from nanoboost.errors import RemoteError
from nanoboost.ids import Address, NodeId
from nanoboost.net.dial import dial, is_refusal
from nanoboost.net.ends import LocalEnd
from nanoboost.net.session import Session

QUEUE_FRAMES_MAX = 1024
QUEUE_BYTES_MAX = 4 << 20
"""What may wait for a connection.  Beyond it the newest is dropped: the older ones are what it
refers to."""

FRESH_S = 10.0
"""How long a message may wait: later than that its sender has repeated it or given up."""

RETRY_S_MIN = 0.05
RETRY_S_MAX = 1.0
"""Between two attempts, doubling; times a random 0.5 to 1, so that a cluster does not retry in step
after a power cut."""

SETTLED_S = 5.0
"""A session that lasted this long begins the doubling anew: one that is lost at once does not."""

IDLE_S = 60.0
"""A session that nobody used for this long is closed."""


class Link:
    """Frames go to the peer `node` at `address`; `refused` hears that its host refused us."""

    def __init__(
        self,
        end: LocalEnd,
        node: NodeId,
        address: Address,
        rng: random.Random,
        refused: Callable[[NodeId], None],
    ) -> None:
        self._end = end
        self._node = node
        self._rng = rng
        self._refused = refused
        self.address = address
        self._queue: deque[tuple[float, bytes]] = deque()  # (fresh until, frame)
        self._queued_bytes = 0
        self._failures = 0
        self._lost = False  # a session was lost, and whether the peer lives is not known since
        self._session: Session | None = None
        self._opened_at = 0.0
        self._attempt: Deferred[None] | None = None
        self._retry: IDelayedCall | None = None
        self._idle: IDelayedCall | None = None
        self._stopped = False

    @property
    def is_open(self) -> bool:
        """Whether there is a session now."""
        return self._session is not None

    def send_frame(self, frame: bytes) -> None:
        """Say it now, or as soon as there is a session."""
        if self._session is not None:
            self._session.send_frame(frame)
            return
        self._forget_stale()
        if len(self._queue) >= QUEUE_FRAMES_MAX:
            return
        if self._queued_bytes + len(frame) > QUEUE_BYTES_MAX:
            return
        self._queue.append((self._end.clock.seconds() + FRESH_S, frame))
        self._queued_bytes += len(frame)
        self._connect()

    def move(self, address: Address) -> None:
        """The peer is at `address` now: what was said to the old one may be lost."""
        if address == self.address:
            return
        self.address = address
        self._disconnect()
        self._failures = 0
        self._connect()

    def renew(self) -> None:
        """Open another session, if there is one; what is said meanwhile waits for it."""
        if self._session is not None:
            self._disconnect()
            self._lost = True
            self._connect()

    def close(self) -> None:
        """End politely, for good."""
        self._stopped = True
        self._queue.clear()
        self._disconnect()

    # --- from no session to a session ------------------------------------------------------------

    def _connect(self) -> None:
        """Dial, if there is something to say, or to learn, and nothing to wait for."""
        if self._stopped or self._session is not None:
            return
        if self._attempt is not None or self._retry is not None:
            return
        self._forget_stale()
        if not self._queue and not self._lost:
            return
        self._lost = False
        attempt = dial(self._end, self.address, self._node, self._received, self._closed)
        self._attempt = attempt.addCallbacks(self._opened, self._failed)
        if attempt.called:
            self._attempt = None

    def _opened(self, session: Session) -> None:
        self._attempt = None
        self._session = session
        self._opened_at = self._end.clock.seconds()
        self._forget_stale()
        while self._queue and self._session is session:
            session.send_frame(self._queue.popleft()[1])
        self._queued_bytes = sum(len(frame) for _, frame in self._queue)
        self._idle = self._end.clock.callLater(IDLE_S, self._rest)

    def _received(self, session: Session, message: object) -> None:
        raise RemoteError(f"{type(message).__name__} from a node that we dialled")

    # --- from a session, or an attempt, to none --------------------------------------------------

    def _failed(self, reason: Failure) -> None:
        self._attempt = None
        if self._stopped:
            return
        self._wait()
        if is_refusal(reason):
            self._refused(self._node)

    def _closed(self, session: Session, reason: Failure) -> None:
        if session is not self._session:
            return  # one that we have ended ourselves
        self._session = None
        self._lost = True
        self._stop_idle()
        if self._end.clock.seconds() - self._opened_at >= SETTLED_S:
            self._failures = 0
        self._wait()

    def _wait(self) -> None:
        """Let some time pass before the next attempt, whoever asks for it."""
        limit = min(RETRY_S_MAX, RETRY_S_MIN * 2.0 ** min(self._failures, 10))
        self._failures += 1
        delay = limit * self._rng.uniform(0.5, 1.0)
        self._retry = self._end.clock.callLater(delay, self._retry_now)

    def _retry_now(self) -> None:
        self._retry = None
        self._connect()

    def _rest(self) -> None:
        """Close a session that nobody has used for `IDLE_S`; the next message opens another."""
        self._idle = None
        if self._session is None:
            return
        left = self._session.used_at + IDLE_S - self._end.clock.seconds()
        if left > 0:
            self._idle = self._end.clock.callLater(left, self._rest)
        else:
            session, self._session = self._session, None
            session.close()

    def _disconnect(self) -> None:
        """No session, no attempt, no timer."""
        session, self._session = self._session, None
        attempt, self._attempt = self._attempt, None
        if session is not None:
            session.close()
        if attempt is not None:
            attempt.cancel()  # `_failed` hears of it
        if self._retry is not None:
            self._retry.cancel()
        self._retry = None
        self._stop_idle()

    def _stop_idle(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self._idle = None

    def _forget_stale(self) -> None:
        now = self._end.clock.seconds()
        while self._queue and self._queue[0][0] <= now:
            self._queued_bytes -= len(self._queue.popleft()[1])
