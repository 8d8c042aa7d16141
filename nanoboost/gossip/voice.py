"""How a node speaks: **every datagram carries who says it, its digest, and some rumors**."""

from collections.abc import Callable
from random import Random

from nanoboost.gossip.effects import AskStream, Effect, SendDatagram
from nanoboost.gossip.members import Rumor
from nanoboost.gossip.messages import Datagram, Header, Question
from nanoboost.gossip.view import View
from nanoboost.ids import Address, NodeId


class Voice:
    """Puts what this node says into `outbox`, and numbers its questions."""

    def __init__(self, me: NodeId, view: View, rng: Random, outbox: list[Effect]) -> None:
        self._me = me
        self._view = view
        self._outbox = outbox
        self._number = rng.getrandbits(31)

    def number(self) -> int:
        """A number that no other question of this node has."""
        self._number += 1
        return self._number

    def say(
        self,
        address: Address,
        kind: Callable[..., Datagram],
        *fields: object,
        sequence: int = 0,
        to: NodeId | None = None,
        first: Rumor | None = None,
    ) -> None:
        """Send a datagram of `kind` with its `fields` to `address`, where `to` listens, if that is
        known; `first` is the rumor that it tells in any case."""
        view = self._view
        header = Header(self._me, view.own.incarnation, sequence, view.digest)
        message = kind(header, *fields, rumors=view.tell(to, first))
        self._outbox.append(SendDatagram(address, message))

    def ask(self, address: Address, question: Question, timeout_s: float) -> int:
        """Ask over TCP; returns the ticket that the answer will have."""
        ticket = self.number()
        self._outbox.append(AskStream(ticket, address, question, timeout_s))
        return ticket
