"""What the records of consensus add up to: what each node has on its disk and in its log.

**A ghost is made of what was told, not of what a core believes**: of the writes and of their
completion (`nanoboost.consensus.chronicle`), entry by entry.  A node whose records do not go back
to its beginning is `blind` to what it had before: of that nothing is claimed.
"""

from collections.abc import Sequence
from functools import cache
from itertools import combinations
from typing import Any

from attrs import define, evolve, field, frozen

from nanoboost.consensus.chronicle import chained
from nanoboost.consensus.membership import Configuration
from nanoboost.consensus.messages import NOBODY_YET
from nanoboost.ids import NodeId

NOBODY = Configuration(())
Founding = tuple[str, int]
"""Who founded the log, and its generation."""


def configuration(voters: Sequence[Any], outgoing: Sequence[Any], learners: Sequence[Any]) -> Any:
    """The configuration that was told."""
    return Configuration(tuple(voters), tuple(outgoing), tuple(learners))


@frozen
class SnapshotSeen:
    """A snapshot, by the digest of its state."""

    index: int
    term: int
    state: int
    configuration: Configuration

    @classmethod
    def of(cls, told: Sequence[Any]) -> "SnapshotSeen | None":
        """The one that was told, if any."""
        if not told:
            return None
        index, term, state, *halves = told
        return cls(index, term, state, configuration(*halves))


@frozen
class Write:
    """One `Persist`.  An entry is (term, digest)."""

    token: int
    first: int
    last: int
    hard_state: tuple[int, NodeId] | None
    """Term and vote."""
    log: Founding | None
    snapshot: SnapshotSeen | None
    start: int
    entries: tuple[tuple[int, int], ...]
    configurations: tuple[tuple[int, Configuration], ...]

    @classmethod
    def of(cls, told: dict[str, Any]) -> "Write":
        """The one that was told."""
        entries: list[tuple[int, int]] = []
        for word in told.get("entries", "").split():
            term, _, digests = word.partition(":")
            places = range(0, len(digests), 8)
            entries += [(int(term), int(digests[place : place + 8], 16)) for place in places]
        has_term = "term" in told
        return cls(
            told["token"],
            told["first"],
            told["last"],
            (told["term"], told["vote"]) if has_term else None,
            (told["log"][0], told["log"][1]) if has_term else None,
            SnapshotSeen.of(told.get("snapshot", ())),
            told.get("from", told["last"] + 1),
            tuple(entries),
            tuple((each[0], configuration(*each[1:])) for each in told.get("configurations", ())),
        )


@define
class Mirror:
    """A log with its term and vote: one that is on a disk, or one in a memory."""

    term: int = 0
    vote: NodeId = NOBODY_YET
    log: Founding = ("", 1)
    snapshot: SnapshotSeen | None = None
    first: int = 1
    last: int = 0
    entries: dict[int, tuple[int, int]] = field(factory=dict)
    configurations: dict[int, Configuration] = field(factory=dict)
    blind: tuple[int, int] = (0, 0)
    """Up to this index the entries are not known, and the term there."""

    def copy(self) -> "Mirror":
        """Another one with the same in it."""
        return evolve(self, entries=dict(self.entries), configurations=dict(self.configurations))

    def write(self, write: Write) -> None:
        """Take a write."""
        if write.hard_state is not None and write.log is not None:
            (self.term, self.vote), self.log = write.hard_state, write.log
        if write.snapshot is not None:
            self.snapshot = write.snapshot
        for index in range(self.first, min(write.first, self.last + 1)):
            self._forget(index)
        for index in range(max(write.last + 1, self.first), self.last + 1):
            self._forget(index)
        if write.entries and write.start <= self.last:
            for index in range(write.start, min(self.last, write.last) + 1):
                self._forget(index)
        for index, entry in enumerate(write.entries, write.start):
            self.entries[index] = entry
        for index, found in write.configurations:
            self.configurations[index] = found
        self.first, self.last = write.first, write.last
        known = min(write.start - 1, write.last)
        self.blind = (min(self.blind[0], known), self.blind[1])
        if self.blind[0] < write.first:
            self.blind = (0, 0)

    def _forget(self, index: int) -> None:
        self.entries.pop(index, None)
        self.configurations.pop(index, None)

    @property
    def base(self) -> int:
        """Up to here a snapshot stands for the entries."""
        return self.snapshot.index if self.snapshot else 0

    @property
    def end(self) -> tuple[int, int]:
        """Term and index of the last entry: what elections go by."""
        last = max(self.last, self.base)
        return self.term_at(last) or 0, last

    def term_at(self, index: int) -> int | None:
        """The term of an entry, if it is known."""
        if index in self.entries:
            return self.entries[index][0]
        if self.snapshot is not None and index == self.snapshot.index:
            return self.snapshot.term
        return self.blind[1] if index == self.blind[0] else None

    def has(self, index: int, entry: tuple[int, int]) -> bool:
        """Whether the entry is there, or stands behind the snapshot, or may be there unseen."""
        found = self.entries.get(index)
        if found is not None:
            return found == entry
        return index <= max(self.base, self.blind[0])

    def at(self, index: int) -> tuple[int, Configuration]:
        """The last configuration at or below `index`, and where it is."""
        for found in sorted(self.configurations, reverse=True):
            if found <= index and found > self.base:
                return found, self.configurations[found]
        return (self.base, self.snapshot.configuration) if self.snapshot else (0, NOBODY)

    @property
    def configuration(self) -> Configuration:
        """The one in force."""
        return self.at(self.last)[1]

    def digest(self) -> int:
        """That of all entries, as a node that starts tells it."""
        found = 0
        for index in sorted(self.entries):
            found = chained(found, *self.entries[index])
        return found


@define
class Seen:
    """One node, as its records tell of it."""

    name: NodeId
    disk: Mirror
    log: Mirror
    pending: tuple[Write, ...] = ()
    commit: int = 0
    applied: int = 0
    leads: int = 0
    """The term that it leads, or 0."""
    has: tuple[int, int] = (0, 0)
    """A term, and up to where it has said in it to have entries."""
    asked: dict[int, int] = field(factory=dict)
    """How much was committed when a read was asked."""

    def copy(self) -> "Seen":
        """Another one with the same in it."""
        return evolve(self, disk=self.disk.copy(), log=self.log.copy(), asked=dict(self.asked))


def begun(told: dict[str, Any]) -> Mirror:
    """The disk of a node of which nothing was known before: blind to the entries on it."""
    snapshot = SnapshotSeen.of(told["snapshot"])
    return Mirror(
        told["term"],
        told["vote"],
        (told["log"][0], told["log"][1]),
        snapshot,
        told["first"] or (snapshot.index + 1 if snapshot else 1),
        told["last"][0] or (snapshot.index if snapshot else 0),
        configurations={each[0]: configuration(*each[1:]) for each in told["configurations"]},
        blind=(told["last"][0], told["last"][1]),
    )


def is_what_starts(disk: Mirror, told: dict[str, Any]) -> bool:
    """Whether a node that starts has what lies on this disk."""
    snapshot = SnapshotSeen.of(told["snapshot"])
    if (disk.term, disk.vote, list(disk.log)) != (told["term"], told["vote"], told["log"]):
        return False
    if disk.snapshot != snapshot:
        return False
    if disk.blind[0]:
        return disk.last == max(told["last"][0], snapshot.index if snapshot else 0)
    return disk.digest() == told["digest"] and max(disk.entries, default=0) == told["last"][0]


@cache
def do_intersect(one: Configuration, other: Configuration) -> bool:
    """Whether each quorum of one shares a node with each of the other, by trying all of them."""
    nodes = sorted({*one.members, *other.members})
    quorums = [
        (set(some), one.has_quorum(some), other.has_quorum(some))
        for count in range(len(nodes) + 1)
        for some in combinations(nodes, count)
    ]
    ours = [some for some, is_ours, _ in quorums if is_ours]
    theirs = [some for some, _, is_theirs in quorums if is_theirs]
    return all(some & any_other for some in ours for any_other in theirs)


@define
class Chapter:
    """The history of one log: what was committed in it, by whom it was led."""

    committed: dict[int, tuple[int, int]] = field(factory=dict)
    top: int = 0
    """How much was committed, as anybody has told."""
    told: int = 0
    """How much of it a client was told, at least."""
    configurations: dict[int, Configuration] = field(factory=dict)
    """Those that are committed, and where."""
    leaders: dict[int, NodeId] = field(factory=dict)
    entries: dict[tuple[int, int], tuple[int | None, int]] = field(factory=dict)
    """By index and term: the term before, and the digest."""
    states: dict[int, int] = field(factory=dict)
    """The digest of the state after the entry at an index, where somebody has told it."""

    def copy(self) -> "Chapter":
        """Another one with the same in it."""
        return Chapter(
            dict(self.committed),
            self.top,
            self.told,
            dict(self.configurations),
            dict(self.leaders),
            dict(self.entries),
            dict(self.states),
        )
