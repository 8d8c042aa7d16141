"""The contract of a core.

**A core is told the time and an event, and answers with effects.**  It never waits, never calls
back, never looks at a clock and never draws from a global random source.  Waiting is a state: disk,
network and child processes answer later, as events.  A core that finds a broken invariant raises
(`assert`), and its shell stops the node.
"""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from attrs import frozen

EventT_contra = TypeVar("EventT_contra", contravariant=True)
EffectT_co = TypeVar("EffectT_co", covariant=True)


@frozen
class Woke:
    """The event "your deadline has come".  A spurious one must change nothing."""


class Core(Protocol[EventT_contra, EffectT_co]):
    """What Raft, SWIM, the master's pipeline and the agent's runner are."""

    def step(self, now: float, event: EventT_contra | Woke) -> Sequence[EffectT_co]:
        """Take one event at monotonic time `now` (seconds); return what must be done, in order."""

    def deadline(self) -> float | None:
        """When to be woken next (same clock as `now`); None means only if something happens."""
