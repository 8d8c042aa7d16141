"""The invariants I1 to I14 of the consensus layer, each by its name, over what really happened.

**A check looks at disks, messages and history, never at what a core believes about itself**: so it
also sees a core that lies.  `Watch` keeps the ghosts (who voted, who led, what was committed) that
no node has as a whole; whoever runs cores tells it each effect and each sync.  A broken invariant
is a `Broken`, which no assertion inside a core is.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from itertools import combinations
from typing import Any

from nanoboost.consensus.leadership import UNCOMMITTED_BYTES_MAX
from nanoboost.consensus.membership import Configuration
from nanoboost.consensus.messages import (
    Appended,
    Entry,
    EntryKind,
    HardState,
    RequestVote,
    Snapshot,
    Vote,
)
from nanoboost.consensus.progress import INFLIGHT_MAX
from nanoboost.consensus.state import Role
from nanoboost.ids import NodeId

INVARIANTS = {
    "I1": "one leader a term, elected by the durable votes of a quorum",
    "I2": "term, and vote within a term, never go back on the disk",
    "I3": "index and term determine an entry and all before it",
    "I4": "what is committed never changes",
    "I5": "whoever leads, or could be elected, has all that is committed",
    "I6": "committed means durable on a quorum, of both halves of a joint configuration",
    "I7": "nothing is promised before it is durable",
    "I8": "everybody applies the same, and a snapshot is the state at its index",
    "I9": "a frontier never shrinks, and is closed under dependencies",
    "I10": "one configuration under way, after an entry of the leader's term; neighbours intersect",
    "I11": "what a client was told succeeded is never lost",
    "I12": "a read sees all that was committed before it was asked",
    "I13": "memory is bounded",
    "I14": "nobody is disturbed without need, and when the faults end all comes to rest",
}


class Broken(AssertionError):
    """An invariant does not hold."""

    def __init__(self, invariant: str, what: str) -> None:
        assert invariant in INVARIANTS
        super().__init__(f"{invariant}: {what}")
        self.invariant = invariant


def must(holds: bool, invariant: str, what: str) -> None:
    """Raise `Broken` unless it holds."""
    if not holds:
        raise Broken(invariant, what)


@cache
def _encoded(configuration: Configuration) -> bytes:
    return configuration.encode()


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


class Log:
    """A durable log, as a restart would find it: what elections and majorities go by."""

    def __init__(self, snapshot: Snapshot | None, entries: Mapping[int, Entry]) -> None:
        self._snapshot, self._entries = snapshot, entries
        last = max(entries, default=0)
        base = snapshot.index if snapshot else 0
        if last > base or not snapshot:
            self.end = (entries[last].term, last) if last else (0, 0)
        else:
            self.end = (snapshot.term, base)

    def has(self, index: int, term: int) -> bool:
        """Whether the entry is there, or stands behind the snapshot."""
        if index in self._entries:
            return self._entries[index].term == term
        return self._snapshot is not None and index <= self._snapshot.index

    @property
    def configuration(self) -> Configuration:
        """The one that would be in force."""
        for index in sorted(self._entries, reverse=True):
            if self._entries[index].kind is EntryKind.CONFIGURATION:
                return Configuration.decode(self._entries[index].data)
        return self._snapshot.configuration if self._snapshot else Configuration(())


class Watch:
    """The ghosts of history, and the checks against them."""

    def __init__(self) -> None:
        self.leaders: dict[int, NodeId] = {}
        self.committed: list[Entry] = []
        self.acknowledged: list[Entry] = []
        self.configurations: list[tuple[int, Configuration]] = []
        """Those that are committed, and where."""
        self._seen: dict[tuple[int, int], tuple[int | None, bytes]] = {}
        self._votes: dict[tuple[NodeId, int], NodeId] = {}
        self._pre_grants: dict[tuple[NodeId, int], set[NodeId]] = {}

    # --- the disk --------------------------------------------------------------------------------

    def synced(self, node: NodeId, was: HardState, now: HardState) -> None:
        """A term and a vote have become durable (I2)."""
        must(now.term >= was.term, "I2", f"{node} goes back from term {was.term} to {now.term}")
        if now.vote:
            first = self._votes.setdefault((node, now.term), now.vote)
            must(first == now.vote, "I2", f"{node} votes twice in term {now.term}")

    def writes(self, raft: Any, entries: Iterable[Entry], snapshot: Snapshot | None) -> None:
        """A node gives this to its disk (I3, I8, I10)."""
        state = raft.state
        for entry in entries:
            before = state.log.term_at(entry.index - 1)
            known = self._seen.setdefault((entry.index, entry.term), (before, entry.data))
            must(known[1] == entry.data, "I3", f"two entries {entry.index} of term {entry.term}")
            agrees = before is None or known[0] in (None, before)
            must(agrees, "I3", f"before entry {entry.index} of term {entry.term} lie two histories")
            if entry.kind is EntryKind.CONFIGURATION:
                self._configures(raft, entry)
        if snapshot is not None:
            self._snaps(snapshot)

    def _configures(self, raft: Any, entry: Entry) -> None:
        state = raft.state
        reached = state.membership.effective_index
        must(reached >= entry.index, "I10", "a configuration is in the log and not in force")
        if not (state.is_leader and entry.term == state.term) or entry.index == 1:
            return
        is_own = any(each.term == entry.term for each in self.committed[-64:])
        must(is_own, "I10", "a change before an entry of the leader's own term is committed")
        before = state.membership.at(entry.index - 1)
        is_settled = any(before == each for _, each in self.configurations)
        must(is_settled, "I10", "a change while another is not committed")
        must(
            do_intersect(before, Configuration.decode(entry.data)),
            "I10",
            "two neighbours among the configurations can decide apart",
        )

    def _snaps(self, snapshot: Snapshot) -> None:
        must(snapshot.index <= len(self.committed), "I8", "a snapshot of what is not committed")
        there = [each for index, each in self.configurations if index <= snapshot.index]
        must(there[-1:] == [snapshot.configuration], "I10", "a snapshot's configuration is not its")
        data = b"\0".join(each.data for each in self.committed[: snapshot.index])
        must(snapshot.data == data, "I8", f"the snapshot at {snapshot.index} is another state")

    # --- messages --------------------------------------------------------------------------------

    def sends(self, node: Any, to: NodeId, message: Any) -> None:
        """A node says something (I7; and I14: who stands must have been encouraged)."""
        hard_state = node.disk.hard_state
        if not getattr(message, "is_pre", False):
            must(hard_state.term >= message.term, "I7", "a term is told before it is durable")
        is_current = hard_state.term == message.term
        if isinstance(message, Vote) and message.is_granted:
            if message.is_pre:
                self._pre_grants.setdefault((to, message.term), set()).add(node.name)
            elif is_current:
                must(hard_state.vote == to, "I7", "a vote is given before it is durable")
        elif isinstance(message, RequestVote) and not message.is_pre and is_current:
            must(hard_state.vote == node.name, "I7", "a candidate's vote is not durable")
            grants = {node.name, *self._pre_grants.get((node.name, message.term), ())}
            if not message.is_transfer and node.raft.state.role is Role.CANDIDATE:
                # (What leaves late, when the candidacy is over, would meet another configuration.)
                is_wanted = node.raft.state.configuration.has_quorum(grants)
                must(is_wanted, "I14", "stands for election without a quorum of pre-votes")
        elif isinstance(message, Appended) and is_current:
            end = Log(node.disk.snapshot, node.disk.entries).end[1]
            must(message.index <= end, "I7", "entries are acknowledged that are not durable")

    # --- what clients see ------------------------------------------------------------------------

    def applies(self, node: Any, entry: Entry) -> None:
        """A node applies an entry (I8); if it leads, that is what a client waits for (I11)."""
        is_known = entry.index <= len(self.committed) and entry == self.committed[entry.index - 1]
        must(is_known, "I8", f"entry {entry.index} is applied and is not the committed one")
        must(len(node.applied) == entry.index - 1, "I8", "applied out of order")
        if node.raft.state.is_leader:
            must(node.disk.has(entry.index, entry.term), "I7", "a client is told too early")
            self.acknowledged.append(entry)

    def restores(self, node: Any, snapshot: Snapshot) -> None:
        """A node becomes a snapshot's state (I8)."""
        data = [each.data for each in self.committed[: snapshot.index]]
        must(node.applied == data, "I8", f"restored to another state at {snapshot.index}")

    def keeps(self, applied: list[bytes]) -> None:
        """At rest, everybody's state holds what clients were told (I11, I8)."""
        kept = set(applied)
        lost = [each for each in self.acknowledged if each.data not in kept]
        must(not lost, "I11", f"acknowledged and lost: {[each.data for each in lost]}")
        must(applied == [each.data for each in self.committed], "I8", "states differ at rest")

    # --- after each step -------------------------------------------------------------------------

    def stepped(self, node: Any, nodes: Mapping[NodeId, Any]) -> None:
        """A core has taken a step; its effects are not performed yet."""
        state, log = node.raft.state, node.raft.state.log
        is_ordered = log.applied <= log.commit <= log.last_index and log.durable <= log.last_index
        must(is_ordered, "I6", "commit beyond the log, or applied beyond commit")
        self._check_configuration(state)
        if state.is_leader:
            self._check_leader(node, nodes)
        while node.checked_commit < log.commit:
            index = node.checked_commit = max(node.checked_commit + 1, log.base_index)
            if index > len(self.committed):
                self._commits(node, nodes, log.between(index, index)[0])
            is_same = self.committed[index - 1].term == log.term_at(index)
            must(is_same, "I4", f"entry {index} was committed as another")

    def _check_configuration(self, state: Any) -> None:
        index, log = state.membership.effective_index, state.log
        if log.base_index < index <= log.last_index:
            (entry,) = log.between(index, index)
            is_there = entry.kind is EntryKind.CONFIGURATION
            is_there = is_there and entry.data == _encoded(state.configuration)
            must(is_there, "I10", "the configuration in force is not in the log")
        else:
            must(index <= log.last_index, "I10", "the configuration in force was truncated away")
            there = [each for at, each in self.configurations if at <= index]
            is_there = not there or state.configuration == there[-1]
            must(is_there, "I10", "the configuration in force is not the committed one")

    def _check_leader(self, node: Any, nodes: Mapping[NodeId, Any]) -> None:
        state, log = node.raft.state, node.raft.state.log
        first = self.leaders.setdefault(state.term, node.name)
        must(first == node.name, "I1", f"two leaders in term {state.term}")
        must(log.bytes_to_commit <= UNCOMMITTED_BYTES_MAX + 65536, "I13", "too much uncommitted")
        for name, progress in state.progress.items():
            disk = nodes[name].disk
            if progress.match > log.base_index and disk.hard_state.term <= state.term:
                term = log.term_at(progress.match)
                has_it = term is not None and disk.has(progress.match, term)
                must(has_it, "I6", f"{name} is believed to have entry {progress.match}")
            must(len(progress.inflight) <= INFLIGHT_MAX, "I13", "too many messages on their way")
            must(progress.match < progress.next, "I13", "a member is beyond what is sent to it")
        if log.commit >= state.term_start:
            return
        voters = {voter for (voter, term), vote in self._votes.items() if vote == node.name
                  and term == state.term}  # fmt: skip
        is_elected = state.membership.at(state.term_start).has_quorum(voters)
        must(is_elected, "I1", f"{node.name} leads term {state.term} without a quorum's votes")
        for entry in self.committed[log.base_index :]:
            if entry.term < state.term:
                must(
                    log.term_at(entry.index) == entry.term, "I5", "a leader lacks what is committed"
                )

    def _commits(self, node: Any, nodes: Mapping[NodeId, Any], entry: Entry) -> None:
        """An entry is committed that never was before."""
        self.committed.append(entry)
        if entry.kind is EntryKind.CONFIGURATION:
            self.configurations.append((entry.index, Configuration.decode(entry.data)))
        state = node.raft.state
        logs = {name: Log(each.disk.snapshot, each.disk.entries) for name, each in nodes.items()}
        holders = {name for name, log in logs.items() if log.has(entry.index, entry.term)}
        if state.is_leader:
            # The configuration in force may have followed the commit in the same step.
            is_durable = state.membership.at(entry.index).has_quorum(holders)
            is_durable = is_durable or state.configuration.has_quorum(holders)
            must(is_durable, "I6", f"entry {entry.index} is committed and not durable on a quorum")
        for name, log in logs.items():
            if name not in holders and log.configuration.is_voter(name):
                voters = [each for each, other in logs.items() if log.end >= other.end]
                is_safe = not log.configuration.has_quorum(voters)
                must(is_safe, "I5", f"{name} lacks entry {entry.index} and could be elected")
