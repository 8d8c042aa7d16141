"""Bounds: of what a node keeps, and of what it does in a second.

**Looked at every so often from outside**; what is measured in ordinary runs is in
docs/simulation-evidence.md, and the bounds lie at twice that and more.
"""

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from attrs import define, field

from nanoboost.agent import runner
from nanoboost.consensus import snapshotting
from nanoboost.gossip.members import MEMBERS_MAX
from nanoboost.net import link
from simulations.checkers.members import MembersAreTrue
from simulations.checkers.raft import RaftHolds
from simulations.net import sockets

if TYPE_CHECKING:
    from simulations.stage.lab import Lab
    from simulations.stage.survey import Life

APPLYING = 256
"""Entries that may come between the moment when a log is long enough and its snapshot."""
LOOKS = 8
"""Work is counted over so many looks (2 s): a burst is none of a loop's business."""
TURNS = 500
TURNS_A_NODE = 200
"""So many turns and timers a second has a node at most, and so many more for each in the cluster.
(The master of `backlog`, with 12 nodes, has 1,030 to 2,309; of `monkey`, with 3 or 5, 180.)"""
PIECES_BYTES = 1000
PIECES = 4
"""So many times as many are allowed where a socket holds less than `PIECES_BYTES` (a knob of the
plan): one frame then takes many turns.  (`backlog --seed 34`, 64 bytes at a time, has 3,550.)"""


@define(eq=False)
class NothingGrows:
    """Told to `look` every so often; says what is larger than it may be, or ""."""

    _lab: "Lab" = field()
    _raft: RaftHolds = field()
    _members: MembersAreTrue = field()

    def look(self) -> str:
        """The first thing that is too large."""
        for name, life in self._lab.lives.items():
            for what, count, limit in self._sizes(name, life):
                if count > limit:
                    return f"D3 {name} keeps {count} {what}, and may {limit}"
        return ""

    def _sizes(self, name: str, life: "Life") -> Iterator[tuple[str, int, int]]:
        node = life.node
        seen = self._raft.nodes.get(name)
        if seen is not None:
            applied = seen.applied - seen.log.first + 1
            limit = snapshotting.LOG_ENTRIES_MAX + snapshotting.TRAILING_ENTRIES + APPLYING
            yield "applied entries", applied, limit
        for each in node.mesh._links.values():
            yield "frames for a peer", len(each._queue), link.QUEUE_FRAMES_MAX
            yield "bytes for a peer", each._queued_bytes, link.QUEUE_BYTES_MAX
        held: int = len(node.agent._pump._core._held)  # type: ignore[attr-defined]
        yield "results", held, runner.HELD_MAX + self._lab.model.host(name).slots
        yield "members", self._members.sizes.get(name, 0), MEMBERS_MAX


@define(eq=False)
class NobodyIsBusyForNothing:
    """Told to `look` every so often, `looks_ns` apart; says who does more than any work could ask
    for, or "".  (Two nodes that answer each other at once, without end.)"""

    _lab: "Lab" = field()
    _a_second: int = field()
    """So many looks."""
    most: int = field(default=0, init=False)
    """Turns and timers a second, of the node that had most."""
    _counts: deque[tuple[dict[tuple[str, int], int], int]] = field(factory=deque, init=False)
    """Turns until then, and how many times as many are allowed from then on."""

    def look(self) -> str:
        """A node that is too busy."""
        lives = self._lab.lives.items()
        now = {(name, life.process.number): life.process.reactor.turns for name, life in lives}
        in_pieces = min(sockets.SEND_BYTES_MAX, sockets.RECEIVE_BYTES_MAX) < PIECES_BYTES
        self._counts.append((now, PIECES if in_pieces else 1))
        if len(self._counts) <= LOOKS:
            return ""
        before, times = self._counts.popleft()
        limit = (TURNS + TURNS_A_NODE * len(lives)) * times
        for key, turns in now.items():
            rate = (turns - before.get(key, 0)) * self._a_second // LOOKS
            self.most = max(self.most, rate)
            if rate > limit:
                return f"S2 {key[0]} has {rate} turns a second, and {limit} are many"
        return ""
