"""What all sessions of one process share: who we are, what may be said, and whom to complain to.

**The log grows by at most one line a second because of others**, whatever they send.
"""

from typing import TYPE_CHECKING, Any

from attrs import define, field
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    TCP6ClientEndpoint,
    TCP6ServerEndpoint,
)
from twisted.internet.interfaces import IStreamClientEndpoint, IStreamServerEndpoint
from twisted.logger import Logger

from nanoboost.ids import Address, NodeId
from nanoboost.runtime import Security
from nanoboost.wire.codec import Catalog

if TYPE_CHECKING:
    from nanoboost.net.session import Session

BACKLOG = 256
"""Connections that the kernel keeps for us.  Twisted's 50 would do for calm days; of a crowd, all
others would wait a second or more until TCP knocks again."""
COMPLAINT_S = 1.0


@define(eq=False)
class Complaints:
    """Log lines about peers, at most one every `COMPLAINT_S`; the next tells how many were not."""

    _clock: Any = field()
    _quiet_until: float = field(default=float("-inf"), init=False)
    _untold: int = field(default=0, init=False)

    _log = Logger()

    def note(self, host: str, peer: NodeId, reason: str) -> None:
        """The connection with `peer` ("": not known) at `host` ended because of `reason`."""
        now = self._clock.seconds()
        if now < self._quiet_until:
            self._untold += 1
            return
        self._log.info(
            "connection with {peer} at {host} dropped: {reason}{more}",
            peer=peer or "a client or stranger",
            host=host,
            reason=reason,
            more=f" (and {self._untold} more)" if self._untold else "",
        )
        self._quiet_until = now + COMPLAINT_S
        self._untold = 0


@define(eq=False)
class LocalEnd:
    """This end of every session.  `node` is "" in a client; `clock` provides IReactorTime and
    IReactorTCP."""

    clock: Any = field()
    security: Security = field()
    catalog: Catalog = field()
    node: NodeId = field()
    complaints: Complaints = field(init=False)
    sessions: "dict[Session, None]" = field(factory=dict, init=False)
    """All that are connected, the oldest first."""
    _all_left: "Deferred[None] | None" = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.complaints = Complaints(self.clock)

    @property
    def cluster(self) -> str:
        """The cluster that we belong to."""
        return self.security.cluster

    def client_endpoint(self, address: Address, timeout_s: float) -> IStreamClientEndpoint:
        """Where to dial, with the cluster's security around it."""
        kind = TCP6ClientEndpoint if ":" in address.host else TCP4ClientEndpoint
        plain = kind(self.clock, address.host, address.port, timeout=timeout_s)
        return self.security.wrap_client(plain)

    def server_endpoint(self, address: Address) -> IStreamServerEndpoint:
        """Where to listen, with the cluster's security around it."""
        kind = TCP6ServerEndpoint if ":" in address.host else TCP4ServerEndpoint
        plain = kind(self.clock, address.port, backlog=BACKLOG, interface=address.host)
        return self.security.wrap_server(plain)

    def left(self, session: "Session") -> None:
        """A session's connection is gone."""
        self.sessions.pop(session, None)
        if not self.sessions and self._all_left is not None:
            waiting, self._all_left = self._all_left, None
            waiting.callback(None)

    def close_all(self) -> "Deferred[None]":
        """End all sessions politely; fires when their connections are gone."""
        if not self.sessions:
            return succeed(None)
        self._all_left = all_left = Deferred[None]()
        for session in list(self.sessions):
            session.close()
        return all_left
