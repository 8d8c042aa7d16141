"""Rumors on their way: each is sent a limited number of times by each node that believes it.

**At most one rumor a member, the latest**: a newer one replaces it.  Own refutations go first, then
ends, then suspicions, then news of the living; among equals the one sent least; among those the
newest first the first time, and in turn from then on.
"""

from math import ceil, log, log10

from attrs import define

from nanoboost.config import GossipTiming
from nanoboost.gossip.members import MEMBERS_MAX, Rumor, State
from nanoboost.gossip.messages import RUMOR_BYTES_MIN, RUMORS_MAX, rumor_bytes
from nanoboost.ids import NodeId

MISSES_MAX = 3
"""So many rumors that are too long for what is left of a datagram show that it is full."""
_RANK = {State.DEAD: 1, State.LEFT: 1, State.SUSPECT: 2, State.ALIVE: 3}
CROWD = 30
"""Three datagrams of news of the living."""


def transmit_limit(timing: GossipTiming, live: int) -> int:
    """How often a node sends a rumor in a cluster of `live`: enough for all to hear it with
    overwhelming probability (SWIM section 4.1)."""
    logarithm = log(live + 1) if timing.natural_log else log10(live + 1)
    return timing.retransmit_mult * ceil(logarithm)


@define
class _Queued:
    rumor: Rumor
    bytes: int
    place: tuple[int, int]
    """Its rank, and how often it has been sent: the shelf on which it lies."""


class Rumors:
    """The rumors that this node still passes on; `me` is whose refutations go first."""

    def __init__(self, me: NodeId) -> None:
        self._me = me
        self._queued_by_node: dict[NodeId, _Queued] = {}
        self._shelves: dict[tuple[int, int], dict[NodeId, _Queued]] = {}

    def __len__(self) -> int:
        return len(self._queued_by_node)

    def __contains__(self, node: NodeId) -> bool:
        return node in self._queued_by_node

    @property
    def tell_of_a_crowd(self) -> bool:
        """Whether more is said of the living than a few datagrams carry: many come at once, and all
        machines have their hands full."""
        living = _RANK[State.ALIVE]
        return (
            sum(len(shelf) for place, shelf in self._shelves.items() if place[0] == living) > CROWD
        )

    def add(self, rumor: Rumor) -> None:
        """Pass `rumor` on from now, instead of what was said of that member before."""
        self.forget(rumor.node)
        if len(self._queued_by_node) >= MEMBERS_MAX:
            self.forget(next(iter(self._shelves[max(self._shelves)])))
        rank = 0 if rumor.node == self._me else _RANK[rumor.kind]
        queued = _Queued(rumor, rumor_bytes(rumor), (rank, 0))
        self._queued_by_node[rumor.node] = queued
        self._shelve(queued)

    def forget(self, node: NodeId) -> None:
        """Say nothing more of `node`."""
        queued = self._queued_by_node.pop(node, None)
        if queued is not None:
            self._unshelve(queued)

    def take(self, bytes_max: int, limit: int, first: Rumor | None = None) -> tuple[Rumor, ...]:
        """The rumors for one datagram to one member, counted as sent once; each is forgotten when
        it has been sent `limit` times.  `first` is told in any case: what is held of the receiver
        itself (Lifeguard's buddy system)."""
        if not self._queued_by_node:
            return () if first is None else (first,)
        taken: list[_Queued] = []
        count, misses = RUMORS_MAX, 0
        if first is not None:
            bytes_max -= rumor_bytes(first)
            count -= 1
        for place in sorted(self._shelves):
            shelf = self._shelves[place].values()
            for queued in shelf if place[1] else reversed(shelf):
                if len(taken) >= count or bytes_max < RUMOR_BYTES_MIN or misses > MISSES_MAX:
                    break
                if queued.bytes > bytes_max:
                    misses += 1
                elif first is None or queued.rumor.node != first.node:
                    bytes_max -= queued.bytes
                    taken.append(queued)
        for queued in taken:
            self._sent(queued, limit)
        rumors = tuple(queued.rumor for queued in taken)
        return rumors if first is None else (first, *rumors)

    def _sent(self, queued: _Queued, limit: int) -> None:
        self._unshelve(queued)
        rank, sent = queued.place
        queued.place = rank, sent + 1
        if sent + 1 >= limit:
            del self._queued_by_node[queued.rumor.node]
        else:
            self._shelve(queued)

    def _shelve(self, queued: _Queued) -> None:
        self._shelves.setdefault(queued.place, {})[queued.rumor.node] = queued

    def _unshelve(self, queued: _Queued) -> None:
        shelf = self._shelves[queued.place]
        del shelf[queued.rumor.node]
        if not shelf:
            del self._shelves[queued.place]
