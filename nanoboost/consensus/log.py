"""The log in memory: what is stored, what of it is committed, durable and applied.

**A committed entry is never cut off, and the log of a follower is cut only where it contradicts
its leader's**: a late, short AppendEntries that agrees takes nothing away.  Everything up to
`base_index` has been compacted into a snapshot.
"""

from collections.abc import Sequence

from nanoboost.consensus.messages import Entry, Snapshot
from nanoboost.ids import Term


class Log:
    """Entries from `base_index + 1` to `last_index`."""

    def __init__(self, base_index: int, base_term: Term, entries: Sequence[Entry]) -> None:
        self.base_index = base_index
        self.base_term = base_term
        self._entries = list(entries)
        self.commit = base_index
        self.applied = base_index
        self.durable = self.last_index
        self.unsaved = self.last_index + 1
        """The first entry that nobody has been asked to make durable."""
        self.bytes_to_commit = sum(entry.size for entry in entries)
        self.bytes_applied = 0
        """Of the entries applied since the last snapshot."""

    # --- reading ---------------------------------------------------------------------------------

    @property
    def last_index(self) -> int:
        """The index of the newest entry."""
        return self.base_index + len(self._entries)

    @property
    def last_term(self) -> Term:
        """The term of the newest entry."""
        return self._entries[-1].term if self._entries else self.base_term

    def term_at(self, index: int) -> Term | None:
        """The term of an entry; None if it is compacted away or not there yet."""
        if index == self.base_index:
            return self.base_term
        if self.base_index < index <= self.last_index:
            return self._entries[index - self.base_index - 1].term
        return None

    def between(self, first: int, last: int) -> tuple[Entry, ...]:
        """The entries from `first` to `last`, both included."""
        assert first > self.base_index
        return tuple(self._entries[first - self.base_index - 1 : last - self.base_index])

    def batch(self, first: int, count_max: int, bytes_max: int) -> tuple[Entry, ...]:
        """The entries from `first` on that fit, at least one if there is one."""
        found = self.between(first, first + count_max - 1)
        size = 0
        for place, entry in enumerate(found):
            size += entry.size
            if size > bytes_max and place:
                return found[:place]
        return found

    def is_up_to_date(self, last_index: int, last_term: Term) -> bool:
        """Whether a log that ends like this has all that ours has (thesis, section 3.6.1)."""
        return (last_term, last_index) >= (self.last_term, self.last_index)

    def last_not_above(self, index: int, term: Term) -> int:
        """The last index, at most `index`, of an entry whose term is at most `term`: the first
        place where two logs may agree again.  One round trip repairs a whole term."""
        index = min(index, self.last_index)
        while index > self.base_index and self._entries[index - self.base_index - 1].term > term:
            index -= 1
        return index

    # --- writing ---------------------------------------------------------------------------------

    def append(self, entry: Entry) -> None:
        """A leader appends; it never overwrites."""
        assert entry.index == self.last_index + 1
        assert entry.term >= self.last_term
        self._entries.append(entry)
        self.bytes_to_commit += entry.size

    def agree(self, entries: Sequence[Entry]) -> tuple[int, tuple[Entry, ...]]:
        """Which of a leader's entries are news: where the log would have to be cut first (beyond
        the end if nowhere), and the entries from there."""
        for place, entry in enumerate(entries):
            if self.term_at(entry.index) != entry.term and entry.index > self.base_index:
                return entry.index, tuple(entries[place:])
        return self.last_index + 1, ()

    def cut(self, first_lost: int) -> None:
        """Forget the entries from `first_lost` on."""
        assert first_lost > self.commit, "a committed entry is never cut off"
        lost = self._entries[first_lost - self.base_index - 1 :]
        del self._entries[first_lost - self.base_index - 1 :]
        self.bytes_to_commit -= sum(entry.size for entry in lost)
        self.durable = min(self.durable, first_lost - 1)
        self.unsaved = min(self.unsaved, first_lost)

    def committed_to(self, index: int) -> None:
        """Everything up to `index` is committed."""
        assert self.commit <= index <= self.last_index
        newly = self.between(self.commit + 1, index)
        self.bytes_to_commit -= sum(entry.size for entry in newly)
        self.commit = index

    def take_applicable(self) -> tuple[Entry, ...]:
        """What is committed and durable and has not been taken yet."""
        ready = min(self.commit, self.durable)
        if ready <= self.applied:
            return ()
        taken = self.between(self.applied + 1, ready)
        self.applied = ready
        self.bytes_applied += sum(entry.size for entry in taken)
        return taken

    def compact(self, index: int) -> None:
        """Forget the entries up to `index`."""
        if index <= self.base_index:
            return
        assert index <= self.applied
        term = self.term_at(index)
        assert term is not None
        del self._entries[: index - self.base_index]
        self.base_index, self.base_term = index, term

    def install(self, snapshot: Snapshot) -> None:
        """Become the log of which there is only this snapshot."""
        assert snapshot.index > self.commit
        self._entries = []
        self.base_index, self.base_term = snapshot.index, snapshot.term
        self.commit = self.applied = snapshot.index
        self.durable = snapshot.index
        self.unsaved = snapshot.index + 1
        self.bytes_to_commit = self.bytes_applied = 0
