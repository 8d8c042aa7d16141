"""What the exhaustive search goes through: worlds of three nodes, and when two are the same.

**A world that was reached is never changed**: the next one shares with it all that stays.
"""

import copy
import enum
from collections import deque
from typing import Any

from attrs import define, evolve, frozen

from nanoboost.consensus.effects import Persist
from nanoboost.consensus.messages import Entry, HardState, Snapshot
from nanoboost.consensus.raft import Raft
from nanoboost.ids import NodeId
from simulations.checkers.raft import RaftHolds


@frozen
class Scope:
    """How deep, and how much of what."""

    depth: int
    stands: int
    proposals: int = 0
    crashes: int = 0
    duplicates: int = 0
    delays: int = 0
    """Writes that are not durable at once."""
    changes: int = 0
    hears_stale: bool = True
    """Whether answers arrive that a core is known to ignore: those of terms that are over."""


class Steady:
    """Chance plays no part here."""

    def random(self) -> float:
        """The middle."""
        return 0.5


@frozen
class Disk:
    """What a power cut leaves, and what it may take."""

    hard_state: HardState
    snapshot: Snapshot | None
    log: tuple[Entry, ...]
    pending: tuple[Persist, ...] = ()

    def synced(self, count: int) -> "Disk":
        """The disk after its first `count` pending writes."""
        disk = self
        for persist in self.pending[:count]:
            hard_state = persist.hard_state or disk.hard_state
            entries = {each.index: each for each in (*disk.log, *persist.entries)}
            log = tuple(entries[n] for n in sorted(entries) if persist.first <= n <= persist.last)
            disk = Disk(hard_state, persist.snapshot or disk.snapshot, log)
        return evolve(disk, pending=self.pending[count:])


@define
class Node:
    """One node; never changed, only replaced."""

    name: NodeId
    raft: Raft
    key: int
    disk: Disk
    disk_key: int = 0


@frozen
class World:
    """A state of everything."""

    nodes: tuple[Node, ...]
    network: tuple[int, ...]
    """The messages on their way, ascending by the number that the search gave them."""
    watch: RaftHolds
    left: Scope


_TIMES = {"heard_at", "election_due", "beat_due", "since", "sent_at", "transfer_until", "_alarm"}
_SKIPPED = _TIMES | {
    "counters",
    "rng",
    "timing",
    "_routes",
    "_questions",
    "_answers",
    "_pilot_due",
    "_beats",
}


def fingerprint(thing: Any, seen: set[int]) -> Any:
    """A hashable picture of an object and all that it holds, times and methods left out."""
    if thing is None or isinstance(thing, (int, float, str, bytes, enum.Enum)):
        return thing
    if isinstance(thing, (tuple, list, deque)):
        return tuple(fingerprint(each, seen) for each in thing)
    if isinstance(thing, dict):
        return tuple((key, fingerprint(value, seen)) for key, value in thing.items())
    if isinstance(thing, (set, frozenset)):
        return frozenset(thing)
    if getattr(type(thing), "__hash__", None) and hasattr(thing, "__attrs_attrs__"):
        return thing  # a message, an entry: a value already
    if callable(thing) or id(thing) in seen:
        return None
    seen.add(id(thing))
    names: Any = getattr(thing, "__dict__", None) or getattr(type(thing), "__slots__", ())
    return tuple(
        (name, fingerprint(getattr(thing, name), seen))
        for name in sorted(names)
        if name not in _SKIPPED and name != "__weakref__"
    )


def forked(raft: Raft) -> Raft:
    """Another core in the same state; what never changes is shared."""
    state = raft.state
    shared = [*state.log.between(state.log.base_index + 1, state.log.last_index), state.timing]
    shared += [state.configuration, state.snapshot, state.rng]
    return copy.deepcopy(raft, {id(each): each for each in shared})
