"""The invariants I1 to I14 of the consensus layer, each by its name, over records of what happened.

The records are those of `nanoboost.consensus.chronicle`, event `raft`: the cores of the unit tests,
the nodes of the simulator and those of real runs write the same.  **A check looks at what left a
core (writes, syncs, promises) and at history, never at what a core believes about itself**, but for
`commit`, `applied` and the configuration in force, which are held against all the rest.

The records must come in the order in which they happened.  Where a node's records are not there, or
do not go back to its beginning, what would need them is not claimed (`skipped` counts it).
"""

from typing import Any

from attrs import define, field

from nanoboost.consensus.leadership import UNCOMMITTED_BYTES_MAX
from nanoboost.consensus.membership import Configuration
from nanoboost.consensus.progress import INFLIGHT_MAX
from nanoboost.ids import NodeId
from simulations.checkers import judge
from simulations.checkers.ghosts import (
    Chapter,
    Founding,
    Mirror,
    Seen,
    SnapshotSeen,
    Write,
    begun,
    configuration,
    do_intersect,
    is_what_starts,
)
from simulations.kernel.journal import Record

INVARIANTS = {
    "I1": "one leader a term, elected by the durable votes of a quorum",
    "I2": "term, and vote within a term, never go back on the disk",
    "I3": "index and term determine an entry and all before it",
    "I4": "what is committed never changes",
    "I5": "whoever leads, or could be elected, has all that is committed",
    "I6": "committed means durable on a quorum, of both halves of a joint configuration",
    "I7": "nothing is promised before it is durable, and what was durable is there at a restart",
    "I8": "everybody applies the same, and a snapshot is the state at its index",
    "I9": "a frontier never shrinks, and is closed under dependencies",
    "I10": "one configuration under way, after an entry of the leader's term; neighbours intersect",
    "I11": "what a client was told succeeded is never lost",
    "I12": "a read sees all that was committed before it was asked",
    "I13": "memory is bounded",
    "I14": "nobody is disturbed without need, and when the faults end all comes to rest",
}
SLACK_BYTES = 65536
"""Beyond the limit of uncommitted bytes: configurations and no-ops are always taken."""


class Broken(judge.Broken, AssertionError):
    """An invariant does not hold."""

    def __init__(self, invariant: str, what: str) -> None:
        assert invariant in INVARIANTS
        super().__init__(f"{invariant}: {what}")
        self.invariant = self.code = invariant
        self.claim = INVARIANTS[invariant]


@define(eq=False)
class RaftHolds:
    """All of them; `saw` raises `Broken` with the name of the one that does not hold."""

    is_ordered: bool = True
    """Whether the records of different nodes come in the order in which they happened."""
    code: str = field(default="I", init=False)
    claim: str = field(default="consensus is right", init=False)
    nodes: dict[str, Seen] = field(factory=dict, init=False)
    chapters: dict[Founding, Chapter] = field(factory=dict, init=False)
    checked: dict[str, int] = field(factory=dict, init=False)
    """How often each was looked at."""
    skipped: dict[str, int] = field(factory=dict, init=False)
    """How often it could not be, for want of a node's records."""
    _votes: dict[tuple[NodeId, int], NodeId] = field(factory=dict, init=False)
    _pre_votes: dict[tuple[NodeId, int], tuple[NodeId, ...]] = field(factory=dict, init=False)

    def copy(self, place: str) -> "RaftHolds":
        """Another history that begins with the same, and goes on at `place`."""
        new = RaftHolds()
        new.nodes = {**self.nodes, place: self.nodes[place].copy()}
        new.chapters = {log: chapter.copy() for log, chapter in self.chapters.items()}
        new._votes, new._pre_votes = dict(self._votes), dict(self._pre_votes)
        return new

    # --- records ---------------------------------------------------------------------------------

    def saw(self, record: Record) -> None:
        """One more record.  Raises `Broken`."""
        if record.event == "raft":
            self.take(record.node, record.facts)
        elif record.event == "identity_taken":
            self.nodes.pop(record.node, None)  # a copy, which is nobody in Raft from now on

    def end(self) -> None:
        """Nothing is left to look at; see `rest`."""

    def take(self, place: str, facts: dict[str, Any]) -> None:
        """What a node tells.  Raises `Broken`."""
        if "begins" in facts:
            self._begin(place, facts["begins"])
            return
        node = self.nodes.get(place)
        if node is None:
            return  # its records do not begin with the beginning of a life
        before = node.log.configuration
        if "synced" in facts:
            self._synced(node, facts["synced"])
        if "writes" in facts:
            self._writes(node, Write.of(facts["writes"]), facts)
        if "effective" in facts:
            self._in_force(node, facts["effective"])
        led = node.leads or facts.get("leads", 0)  # in this step, at least at its beginning
        node.leads = facts.get("leads", node.leads)
        if "commit" in facts:
            self._commits(node, facts["commit"], led)
        if facts.get("leads"):
            self._leads(node, before)
        if "writes" in facts:
            self._changes(node, facts["writes"], led)
        for said in facts.get("says", ()):
            self._says(node, *said)
        if "applied" in facts:
            self._applies(node, facts["applied"], led)
        if "asked" in facts:
            node.asked[facts["asked"]] = self._chapter(node).top
        for ticket in facts.get("read", ()):
            top = node.asked.pop(ticket, 0)
            if self._knows("I12"):
                self._must(node.applied >= top, "I12", f"{node.name} answers a stale read")
        for index, digest in facts.get("states", ()):
            self._state(node, index, digest)

    def _must(self, holds: bool, invariant: str, what: str) -> None:
        self.checked[invariant] = self.checked.get(invariant, 0) + 1
        if not holds:
            raise Broken(invariant, what)

    def _chapter(self, node: Seen) -> Chapter:
        return self.chapters.setdefault(node.log.log, Chapter())

    def _knows(self, invariant: str, *configurations: Configuration) -> bool:
        """Whether the records of all members are there."""
        known = {node.name for node in self.nodes.values()}
        is_all = all(node in known for each in configurations for node in each.members)
        if is_all and self.is_ordered:
            return True
        self.skipped[invariant] = self.skipped.get(invariant, 0) + 1
        return False

    # --- the disk --------------------------------------------------------------------------------

    def _begin(self, place: str, told: dict[str, Any]) -> None:
        """A node starts: with all that was durable, and perhaps with more that it had begun to
        write (I7, I2)."""
        known = self.nodes.get(place)
        if known is not None and (known.name != told["me"] or known.disk.log[1] < told["log"][1]):
            known = None  # wiped, or recovered by an operator
        if known is None:
            disk = begun(told)
        else:
            disk = known.disk
            for write in known.pending:
                if is_what_starts(disk, told):
                    break
                self._sync(known, write)
            is_there = is_what_starts(disk, told)
            self._must(is_there, "I7", f"{known.name} starts without what was durable")
        node = self.nodes[place] = Seen(told["me"], disk, disk.copy())
        node.commit = node.applied = disk.base
        if disk.vote:
            self._votes.setdefault((node.name, disk.term), disk.vote)
        chapter = self._chapter(node)
        if known is None:
            chapter.top = max(chapter.top, disk.base)
        if disk.snapshot is not None:
            self._state(node, disk.base, disk.snapshot.state)

    def _synced(self, node: Seen, token: int) -> None:
        while node.pending and node.pending[0].token <= token:
            write, *rest = node.pending
            node.pending = tuple(rest)
            self._sync(node, write)

    def _sync(self, node: Seen, write: Write) -> None:
        """A write has become durable (I2)."""
        if write.hard_state is not None:
            term, vote = write.hard_state
            was = node.disk.term
            self._must(term >= was, "I2", f"{node.name} goes back from term {was} to {term}")
            if vote:
                first = self._votes.setdefault((node.name, term), vote)
                self._must(first == vote, "I2", f"{node.name} votes twice in term {term}")
        node.disk.write(write)

    def _writes(self, node: Seen, write: Write, facts: dict[str, Any]) -> None:
        """A node gives this to its disk (I2, I3, I4, I6, I8, I13)."""
        log, name = node.log, node.name
        if write.hard_state is not None:
            self._must(write.hard_state[0] >= log.term, "I2", f"{name} forgets its term")
        term, index = node.has
        kept = write.start - 1 if write.entries else write.last
        is_kept = kept >= index or term < (write.hard_state or (log.term,))[0]
        is_kept = is_kept or (write.snapshot is not None and write.snapshot.index >= index)
        self._must(is_kept, "I6", f"{name} cuts off what it has acknowledged in term {term}")
        self._must(
            max(kept, write.first - 1) >= node.commit, "I4", f"{name} cuts what it committed"
        )
        log.write(write)
        node.pending = (*node.pending, write)
        seen = self._chapter(node).entries
        for index, (term, digest) in enumerate(write.entries, write.start):
            before = log.term_at(index - 1)
            known = seen.setdefault((index, term), (before, digest))
            self._must(known[1] == digest, "I3", f"two entries {index} of term {term}")
            agrees = before is None or known[0] in (None, before)
            self._must(agrees, "I3", f"before entry {index} of term {term} lie two histories")
        if write.snapshot is not None:
            self._snaps(node, write.snapshot)
        if "open" in facts:
            limit = UNCOMMITTED_BYTES_MAX + SLACK_BYTES
            self._must(facts["open"] <= limit, "I13", f"{name} has too much uncommitted")
            is_bounded = facts["flight"] <= INFLIGHT_MAX
            self._must(is_bounded, "I13", f"{name} has too many messages on their way")

    def _snaps(self, node: Seen, snapshot: SnapshotSeen) -> None:
        chapter = self._chapter(node)
        if self._knows("I8", node.log.configuration):
            is_old = snapshot.index <= chapter.top
            self._must(is_old, "I8", f"{node.name} has a snapshot of what is not committed")
        there = [index for index in chapter.configurations if index <= snapshot.index]
        if there:
            is_its = chapter.configurations[max(there)] == snapshot.configuration
            self._must(is_its, "I10", f"a snapshot's configuration is not its, at {node.name}")
        self._state(node, snapshot.index, snapshot.state)

    def _state(self, node: Seen, index: int, digest: int) -> None:
        """The state after the entry at `index` (I8)."""
        known = self._chapter(node).states.setdefault(index, digest)
        self._must(known == digest, "I8", f"the state at {index} is another one at {node.name}")

    # --- what is committed -----------------------------------------------------------------------

    def _commits(self, node: Seen, commit: int, led: int) -> None:
        """More is committed, says a node (I4, I5, I6)."""
        log, chapter, was = node.log, self._chapter(node), node.commit
        last = max(log.last, log.base)
        self._must(was <= commit <= last, "I6", f"{node.name} commits beyond its log")
        node.commit = commit
        if commit > chapter.top and self._knows("I6", log.configuration):
            self._must(bool(led), "I6", f"{node.name} commits entry {commit} before any leader")
            self._is_durable(node, commit)
        for index in range(max(was, log.base) + 1, commit + 1):
            entry = log.entries.get(index)
            if entry is not None:
                known = chapter.committed.setdefault(index, entry)
                self._must(known == entry, "I4", f"entry {index} was committed as another")
            found = log.configurations.get(index)
            if found is not None:
                chapter.configurations[index] = found
        if commit > chapter.top:
            chapter.top = commit
            self._nobody_without(chapter, log, commit)

    def _is_durable(self, node: Seen, commit: int) -> None:
        log = node.log
        entry = log.entries.get(commit)
        if entry is None:
            return
        holders = [
            each.name
            for each in self.nodes.values()
            if each.disk.log == log.log and each.disk.has(commit, entry)
        ]
        # (The configuration in force may have followed the commit in the same step.)
        found = (log.at(commit)[1], log.configuration)
        is_durable = any(each.has_quorum(holders) for each in found)
        self._must(is_durable, "I6", f"entry {commit} is committed and not durable on a quorum")

    def _nobody_without(self, chapter: Chapter, log: Mirror, commit: int) -> None:
        """Nobody who lacks the entry could be elected, on the disks as they are (I5)."""
        entry = log.entries.get(commit)
        if entry is None or not self._knows("I5", log.configuration):
            return
        disks = {each.name: each.disk for each in self.nodes.values()}
        for name, disk in disks.items():
            found = disk.configuration
            if disk.log != log.log or disk.has(commit, entry) or not found.is_voter(name):
                continue
            if self._knows("I5", found):
                voters = [each for each, other in disks.items() if disk.end >= other.end]
                is_safe = not found.has_quorum(voters)
                self._must(is_safe, "I5", f"{name} lacks entry {commit} and could be elected")

    def _leads(self, node: Seen, before: Configuration) -> None:
        """A node leads a term from here on (I1, I5, I7, I11)."""
        log, chapter, term, name = node.log, self._chapter(node), node.leads, node.name
        first = chapter.leaders.setdefault(term, name)
        self._must(first == name, "I1", f"two leaders in term {term}")
        self._must(node.disk.term >= term, "I7", f"{name} leads a term that is not durable")
        if self._knows("I1", before):
            voters = [
                each.name
                for each in self.nodes.values()
                if self._votes.get((each.name, term)) == name
            ]
            is_elected = before.has_quorum(voters)
            self._must(is_elected, "I1", f"{name} leads term {term} without a quorum's votes")
        for index in range(max(log.base, log.blind[0]) + 1, chapter.top + 1):
            entry = chapter.committed.get(index)
            if entry is not None and entry[0] < term:
                what = f"{name}, which leads, lacks entry {index}, which is committed"
                has_it = log.entries.get(index) == entry
                if index <= chapter.told:
                    self._must(has_it, "I11", what + " and acknowledged")
                self._must(has_it, "I5", what)

    def _applies(self, node: Seen, applied: int, led: int) -> None:
        """More is applied; if the node leads, clients are told (I7, I8, I11)."""
        is_ordered = node.applied <= applied <= node.commit
        self._must(is_ordered, "I8", f"{node.name} applies what is not committed")
        node.applied = applied
        is_durable = applied <= max(node.disk.last, node.log.base)
        self._must(is_durable, "I7", f"{node.name} applies what is not durable there")
        if led:
            chapter = self._chapter(node)
            chapter.told = max(chapter.told, applied)
            self._must(applied <= chapter.top, "I11", "a client is told of what is not committed")

    # --- configurations --------------------------------------------------------------------------

    def _in_force(self, node: Seen, told: list[Any]) -> None:
        index, *halves = told
        log = node.log
        at, found = log.at(log.last)
        is_it = found == configuration(*halves) and (index == at or index <= at == log.base)
        self._must(is_it, "I10", f"{node.name}: the configuration in force is not in the log")

    def _changes(self, node: Seen, told: dict[str, Any], led: int) -> None:
        """A leader's own new configurations (I10)."""
        log = node.log
        for index, *halves in told.get("configurations", ()):
            if not led or log.term_at(index) != led or index == 1:
                continue
            is_own = log.term_at(node.commit) == led
            what = "a change before an entry of the leader's own term is committed"
            self._must(is_own, "I10", what)
            at, before = log.at(index - 1)
            self._must(at <= node.commit, "I10", "a change while another is not committed")
            is_safe = do_intersect(before, configuration(*halves))
            what = "two neighbours among the configurations can decide apart"
            self._must(is_safe, "I10", what)

    # --- promises --------------------------------------------------------------------------------

    def _says(self, node: Seen, what: str, to: NodeId, term: int, index: int) -> None:
        """A node promises something (I7), or wants to be elected (I7, I14)."""
        disk, name = node.disk, node.name
        if what == "would vote":
            grants = self._pre_votes.get((to, term), ())
            self._pre_votes[to, term] = (*grants, name)
            return
        self._must(disk.term >= term, "I7", f"{name} tells a term before it is durable")
        if disk.term > term:
            return
        if what == "votes":
            self._must(disk.vote == to, "I7", f"{name} gives a vote before it is durable")
        elif what == "has":
            node.has = (term, max(index, node.has[1] if node.has[0] == term else 0))
            is_there = index <= max(disk.last, disk.base)
            self._must(is_there, "I7", f"{name} acknowledges entries that are not durable")
        else:
            is_durable = disk.vote == name and (disk.end[1] >= index or what == "asks late")
            self._must(is_durable, "I7", f"a candidate's vote or log is not durable: {name}")
            found = node.log.configuration
            if what == "asks" and self._knows("I14", found):
                is_wanted = found.has_quorum((name, *self._pre_votes.get((name, term), ())))
                what = f"{name} stands for election without a quorum of pre-votes"
                self._must(is_wanted, "I14", what)

    # --- at rest ---------------------------------------------------------------------------------

    def rest(self) -> None:
        """The faults are over and there was time: one leads, all have the same (I14, I11)."""
        leading = [node for node in self.nodes.values() if node.leads]
        self._must(bool(leading), "I14", "nobody leads")
        leader = max(leading, key=lambda node: node.leads)
        found = leader.log.at(leader.log.last)
        is_settled = found[0] <= leader.commit and not found[1].is_joint
        self._must(is_settled, "I14", "a change of the configuration is under way")
        chapter = self._chapter(leader)
        self._must(leader.commit >= chapter.told, "I11", "what was acknowledged is lost")
        for node in self.nodes.values():
            if node.name in found[1].members:
                is_same = (node.commit, node.applied) == (leader.commit, leader.applied)
                self._must(is_same, "I14", f"{node.name} does not come to have what is committed")
