"""Rumors on their way: each is sent a limited number of times by each node that believes it.

**At most one rumor a member, the latest**: a newer one replaces it.  Own refutations go first, then
ends, then suspicions, then news of the living; among equals the one sent least, then the newest.
"""

from math import ceil, log10

from attrs import define

from nanoboost.gossip.members import MEMBERS_MAX, Rumor, State
from nanoboost.gossip.messages import RUMORS_MAX, rumor_bytes
from nanoboost.ids import NodeId

_RANK = {State.DEAD: 1, State.LEFT: 1, State.SUSPECT: 2, State.ALIVE: 3}


def transmit_limit(mult: int, live: int) -> int:
    """How often a node sends a rumor in a cluster of `live`: enough for all to hear it with
    overwhelming probability (SWIM section 4.1)."""
    return mult * ceil(log10(live + 1))


@define
class _Queued:
    rumor: Rumor
    number: int
    sent: int = 0


class Rumors:
    """The rumors that this node still passes on; `me` is whose refutations go first."""

    def __init__(self, me: NodeId) -> None:
        self._me = me
        self._queued_by_node: dict[NodeId, _Queued] = {}
        self._number = 0

    def __len__(self) -> int:
        return len(self._queued_by_node)

    def __contains__(self, node: NodeId) -> bool:
        return node in self._queued_by_node

    def add(self, rumor: Rumor) -> None:
        """Pass `rumor` on from now, instead of what was said of that member before."""
        self._queued_by_node.pop(rumor.node, None)
        if len(self._queued_by_node) >= MEMBERS_MAX:
            last = max(self._queued_by_node.values(), key=self._order)
            del self._queued_by_node[last.rumor.node]
        self._number += 1
        self._queued_by_node[rumor.node] = _Queued(rumor, self._number)

    def forget(self, node: NodeId) -> None:
        """Say nothing more of `node`."""
        self._queued_by_node.pop(node, None)

    def take(
        self, bytes_max: int, live: int, mult: int, first: Rumor | None = None
    ) -> tuple[Rumor, ...]:
        """The rumors for one datagram to one member, counted as sent once.  `first` is told in any
        case: what is held of the receiver itself (Lifeguard's buddy system)."""
        taken: list[Rumor] = []
        if first is not None:
            taken.append(first)
            bytes_max -= rumor_bytes(first)
        limit = transmit_limit(mult, live)
        for queued in sorted(self._queued_by_node.values(), key=self._order):
            size = rumor_bytes(queued.rumor)
            if len(taken) >= RUMORS_MAX or size > bytes_max:
                continue
            if first is not None and queued.rumor.node == first.node:
                continue
            bytes_max -= size
            taken.append(queued.rumor)
            queued.sent += 1
            if queued.sent >= limit:
                del self._queued_by_node[queued.rumor.node]
        return tuple(taken)

    def _order(self, queued: _Queued) -> tuple[int, int, int]:
        rumor = queued.rumor
        rank = 0 if rumor.node == self._me else _RANK[rumor.kind]
        return rank, queued.sent, -queued.number
