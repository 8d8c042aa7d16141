"""A node and its disk: what was told is remembered, and nothing is told once the disk has failed.

**What Raft keeps is judged by I7**, entry by entry; this is about all else that is durable: who the
node is, and which of its starts this is.
"""

from typing import TYPE_CHECKING

from attrs import define, field

from nanoboost.gossip.service import GENERATION_KEY
from nanoboost.identity import NODE_ID_KEY
from nanoboost.ids import NodeId
from simulations.checkers.judge import Broken
from simulations.checkers.members import MembersAreTrue
from simulations.kernel.journal import Record
from simulations.kernel.world import MS, SECOND

if TYPE_CHECKING:
    from simulations.stage.lab import Lab

ENDS_NS = 10 * MS
"""A process that wants to end has ended by then."""


@define(eq=False)
class StartsAreRemembered:
    """Whoever starts again is who it was, and has on its disk the generation of which others have
    heard: so its next one is news to all."""

    _lab: "Lab" = field()
    _members: MembersAreTrue = field()
    code: str = field(default="D1", init=False)
    claim: str = field(default="what was told of a start is still there at the next", init=False)
    _machines: dict[NodeId, str] = field(factory=dict, init=False)
    """Where each was first: a copy of its disk knows less, and must give the id up."""

    def saw(self, record: Record) -> None:
        """Look at each start: nothing of this life is on the disk yet."""
        if record.event != "listening":
            return
        pairs = self._lab.machines[record.node].disk.pairs
        before, now = pairs.get(NODE_ID_KEY, b"").decode(), NodeId(record["node"])
        if before and before != now:
            raise Broken(f"{record.node} was {before} and now is {now}")
        self._machines.setdefault(now, record.node)
        durable, told = int(pairs.get(GENERATION_KEY, b"0")), self._members.generations.get(now, 0)
        if durable < told and self._machines[now] == record.node:
            raise Broken(f"{record.node} was in start {told}, and remembers start {durable}")

    def end(self) -> None:
        """Nothing is left to look at."""


@define(eq=False)
class DamageIsSeen:
    """No node starts from a disk on which something is not what was written."""

    _lab: "Lab" = field()
    code: str = field(default="D2", init=False)
    claim: str = field(default="what is damaged is never used", init=False)

    def saw(self, record: Record) -> None:
        """Look at each start."""
        if record.event == "listening":
            rotten = self._lab.machines[record.node].disk.rotten
            if rotten:
                raise Broken(f"{record.node} starts, and {next(iter(rotten))!r} is damaged")

    def end(self) -> None:
        """Nothing is left to look at."""


@define(eq=False)
class FailedDiskEndsTheNode:
    """A node whose disk has failed has ended within moments: it promises nothing any more."""

    code: str = field(default="D4", init=False)
    claim: str = field(default="nobody goes on after the own disk failed", init=False)
    _failed: dict[str, int] = field(factory=dict, init=False)

    def saw(self, record: Record) -> None:
        """Look at failures and ends; by any record one sees that time goes on."""
        if record.event == "disk_failed":
            self._failed.setdefault(record.node, record.at)
        elif record.event == "down":
            self._failed.pop(record["node"], None)
        for name, at in self._failed.items():
            if record.at > at + ENDS_NS:
                raise Broken(f"{name} runs on, and its disk failed at {at / SECOND:.3f} s")

    def end(self) -> None:
        """Nothing is left to look at."""
