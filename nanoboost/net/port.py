"""Who may come in, and how many at a time.

**What strangers can occupy is bounded**: so many unfinished handshakes in all and from one address
(a half-open TLS connection costs 52 kB), and so many open sessions of one member.
"""

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from nanoboost.ids import NodeId
from nanoboost.net.dial import ANYBODY
from nanoboost.net.ends import LocalEnd
from nanoboost.net.session import Owner, Session, State

GREETINGS_MAX = 256
"""Unfinished handshakes in all: 256 * 52 kB = 13 MB is what attackers may cost us.  (A power cut
ends, and 200 machines come to one at the same moment.)"""

GREETINGS_PER_HOST_MAX = 8
"""Unfinished handshakes from one address; loopback is excepted (many nodes on one machine)."""

SESSIONS_PER_NODE_MAX = 4
"""A node needs one link and now and then a short session; more are connections it has forgotten."""

SESSIONS_OF_CLIENTS_MAX = 256

LOOPBACK = ("127.", "::1", "::ffff:127.")


class Port(Factory):
    """Makes a session for each connection that is let in.

    `owner` hears of sessions as described there, after the bookkeeping here.
    """

    noisy = False

    def __init__(self, end: LocalEnd, owner: Owner) -> None:
        self._end = end
        self._owner = owner
        self._greeting: dict[Session, str] = {}
        self._open: dict[NodeId, dict[Session, None]] = {}

    def buildProtocol(self, addr: IAddress | None) -> Session | None:
        """A session, or None to hang up (Twisted's name for it)."""
        host = str(getattr(addr, "host", ""))
        if len(self._greeting) >= GREETINGS_MAX:
            self._end.complaints.note(host, ANYBODY, "too many handshakes at a time")
            return None
        if not host.startswith(LOOPBACK):
            if list(self._greeting.values()).count(host) >= GREETINGS_PER_HOST_MAX:
                self._end.complaints.note(host, ANYBODY, "too many handshakes from this address")
                return None
        owner = Owner(self._opened, self._owner.received, self._closed)
        session = Session(self._end, ANYBODY, owner, dialled=False)
        self._greeting[session] = host
        return session

    def _opened(self, session: Session) -> None:
        self._greeting.pop(session, None)
        siblings = self._open.setdefault(session.peer, {})
        siblings[session] = None
        limit = SESSIONS_PER_NODE_MAX if session.peer else SESSIONS_OF_CLIENTS_MAX
        if len(siblings) > limit:  # the newest wins: the oldest is the likeliest to be forgotten
            oldest = next(iter(siblings))
            del siblings[oldest]
            oldest.drop(f"more than {limit} sessions")
        self._owner.opened(session)

    def _closed(self, session: Session, reason: Failure) -> None:
        was_open = self._greeting.pop(session, None) is None
        siblings = self._open.get(session.peer, {})
        siblings.pop(session, None)
        if not siblings:
            self._open.pop(session.peer, None)
        if was_open:
            self._owner.closed(session, reason)

    @property
    def greetings(self) -> int:
        """How many handshakes are unfinished now."""
        return len(self._greeting)

    @property
    def open_sessions(self) -> int:
        """How many sessions are open now."""
        return sum(
            session.state is State.OPEN for siblings in self._open.values() for session in siblings
        )
