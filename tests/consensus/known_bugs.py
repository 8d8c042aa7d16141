"""Fifteen known Raft bugs, each of which can be put into the core.  (The hunt: mutants.py.)

The list is that of the literature and of other implementations' trackers; `where` says who had it,
`rule` what it breaks.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import attrs
from attrs import frozen

from nanoboost.consensus.election import Election
from nanoboost.consensus.membership import Change, Configuration, Membership
from nanoboost.consensus.messages import (
    Appended,
    AppendEntries,
    AppendRefused,
    EntryKind,
    Heartbeat,
    HeartbeatAnswer,
    SnapshotReceived,
)
from nanoboost.consensus.raft import Raft
from nanoboost.consensus.reading import Reading
from nanoboost.consensus.reconfiguration import Reconfiguration
from nanoboost.consensus.replication import Replication
from nanoboost.consensus.snapshotting import Snapshotting
from nanoboost.consensus.state import Role, State

evolve: Any = attrs.evolve  # our messages are attrs classes by way of a decorator of ours
Patches = Iterator[None]
_CONFIGURATION = EntryKind.CONFIGURATION


@frozen
class Mutant:
    """A bug that can be switched on."""

    number: int
    name: str
    where: str
    """Who had it."""
    rule: str
    """What it breaks."""
    apply: Callable[[], Any]
    """A context manager."""


MUTANTS: list[Mutant] = []


def mutant(name: str, where: str, rule: str) -> Callable[[Callable[[], Patches]], None]:
    """Make a generator of patches one row of the table."""

    def register(patches: Callable[[], Patches]) -> None:
        MUTANTS.append(Mutant(len(MUTANTS) + 1, name, where, rule, contextmanager(patches)))

    return register


# --- the fifteen, in the order of the list -------------------------------------------------------


@mutant(
    "a change of one server before an entry of the own term is committed",
    "Ongaro, raft-dev 2015; openraft#2051",
    "thesis 4.1 as corrected: own-term commit first",
)
def _() -> Patches:
    # Joint consensus cannot express it: so changes go by one server, without a joint phase.
    def change(self: Reconfiguration, now: float, wish: Change) -> bool:
        state = self._state
        have = state.configuration.voters
        come = [node for node in wish.voters if node not in have]
        go = [node for node in have if node not in wish.voters and len(have) > 1]
        if not state.is_leader or not state.is_configuration_committed or not (come or go):
            return False
        voters = sorted([*have, come[0]]) if come else [node for node in have if node != go[0]]
        state.append(_CONFIGURATION, Configuration(tuple(voters)).encode())
        self._replication.follow_configuration(now)
        self._replication.spread(now)
        return True

    with patch.object(Reconfiguration, "change", change):
        yield


@mutant(
    "an entry of an earlier term is committed by counting",
    "thesis figure 3.7 (figure 8 of the paper)",
    "thesis 3.6.2: count only entries of the own term",
)
def _() -> Patches:
    def commit(self: Replication) -> bool:
        state, log = self._state, self._state.log
        reached = {node: progress.match for node, progress in state.progress.items()}
        index = state.configuration.agreed({**reached, state.me: log.durable})
        if index <= log.commit:
            return False
        log.committed_to(index)
        return True

    with patch.object(Replication, "commit", commit):
        yield


@mutant(
    "a follower commits up to the end of its log, not of what was shown to agree",
    "a frequent misreading of figure 3.1, AppendEntries 5",
    "commit = min(leader's commit, last new entry)",
)
def _() -> Patches:
    heard = Replication.appended

    def appended(self: Replication, now: float, sender: Any, message: AppendEntries) -> None:
        heard(self, now, sender, message)
        log = self._state.log
        if message.term == self._state.term:
            log.committed_to(max(log.commit, min(message.commit, log.last_index)))

    with patch.object(Replication, "appended", appended):
        yield


@mutant(
    "a heartbeat carries the leader's commit, whatever the member has",
    "etcd raft.go bcastHeartbeat: min(match, committed)",
    "a follower commits only what it is known to share",
)
def _() -> Patches:
    say, heard = State.send, Replication.heartbeat

    def send(self: State, to: Any, message: Any) -> None:
        if isinstance(message, Heartbeat):
            message = evolve(message, commit=self.log.commit)
        say(self, to, message)

    def heartbeat(self: Replication, now: float, sender: Any, message: Heartbeat) -> None:
        last = self._state.log.last_index  # or the follower would only crash
        heard(self, now, sender, evolve(message, commit=min(message.commit, last)))

    with patch.object(State, "send", send), patch.object(Replication, "heartbeat", heartbeat):
        yield


@mutant(
    "a late, short AppendEntries cuts off entries that agree",
    "PySyncObj",
    "thesis figure 3.1, AppendEntries 3: only on conflict",
)
def _() -> Patches:
    def take(self: State, entries: Any) -> None:
        if entries:
            self.log.cut(entries[0].index)
            self.durability.cut(entries[0].index)
            self.membership.truncate(entries[0].index)
        for entry in entries:
            self.log.append(entry)
            if entry.kind is _CONFIGURATION:
                self.membership.append(entry.index, Configuration.decode(entry.data))

    with patch.object(State, "take", take):
        yield


@mutant(
    "an answer of an earlier term counts in this one",
    "PySyncObj next_node_idx: answers without a term",
    "thesis 3.3: requests with a stale term are rejected, and so are answers",
)
def _() -> Patches:
    hear = Raft._received

    def received(self: Raft, now: float, sender: Any, message: Any) -> None:
        answers = (Appended, AppendRefused, HeartbeatAnswer, SnapshotReceived)
        if isinstance(message, answers) and self.state.is_leader:
            message = evolve(message, term=self.state.term)
        if isinstance(message, Appended):  # or the leader would only crash
            message = evolve(message, index=min(message.index, self.state.log.last_index))
        hear(self, now, sender, message)

    with patch.object(Raft, "_received", received):
        yield


@mutant(
    "a pre-vote that comes late counts as a vote",
    "etcd TestCandidateDeliversPreCandidateSelfVoteAfterBecomingCandidate",
    "a pre-vote binds nobody and elects nobody",
)
def _() -> Patches:
    hear = Election.answered

    def answered(self: Election, now: float, sender: Any, message: Any) -> None:
        is_late = message.is_granted and self._state.role is Role.CANDIDATE
        hear(self, now, sender, evolve(message, is_pre=False) if is_late else message)

    with patch.object(Election, "answered", answered):
        yield


@mutant(
    "votes are counted without asking whose they are",
    "PySyncObj; jgroups-raft#24",
    "one node, one vote",
)
def _() -> Patches:
    hear = Election.answered

    def answered(self: Election, now: float, sender: Any, message: Any) -> None:
        voters = self._state.configuration.voters
        fresh = next((node for node in voters if node not in self._votes), sender)
        hear(self, now, fresh, message)

    with patch.object(Election, "answered", answered):
        yield


@mutant(
    "a configuration stays in force when its entry is cut off",
    "NATS TestNRGUncommittedMembershipChangeGetsTruncated",
    "thesis 4.1: always the latest configuration in the log",
)
def _() -> Patches:
    cut = Membership.truncate

    def truncate(self: Membership, first_lost: int) -> None:
        stays = self.effective
        cut(self, first_lost)
        if stays != self.effective:
            self._history[-1] = (self.effective_index, stays)

    with patch.object(Membership, "truncate", truncate):
        yield


@mutant(
    "a snapshot holds a configuration that is not committed",
    "NATS TestNRGSnapshotExcludesUncommittedMembershipChange",
    "a snapshot is the state at its index",
)
def _() -> Patches:
    take = Snapshotting.taken

    def taken(self: Snapshotting, index: int, data: bytes) -> None:
        newest = self._state.membership.effective
        with patch.object(Membership, "at", lambda membership, index: newest):
            take(self, index, data)

    with patch.object(Snapshotting, "taken", taken):
        yield


@mutant(
    "a node alone applies and answers before its disk has it",
    "etcd#14370",
    "committed means durable on a quorum, and one is a quorum of one",
)
def _() -> Patches:
    settle = Raft._finish

    def finish(self: Raft, now: float) -> Any:
        if self.state.is_alone:
            self.state.log.durable = self.state.log.last_index
            self._advance(now)
        return settle(self, now)

    with patch.object(Raft, "_finish", finish):
        yield


@mutant(
    "the applied index is stored apart from the state that it belongs to",
    "etcd 3.5 data inconsistency post-mortem",
    "index and state in one atomic write",
)
def _() -> Patches:
    # Here both are one `Snapshot`; so the index is that of the moment when it is written.
    take = Snapshotting.taken

    def taken(self: Snapshotting, index: int, data: bytes) -> None:
        take(self, self._state.log.applied, data)

    with patch.object(Snapshotting, "taken", taken):
        yield


@mutant(
    "a lease goes on after the leadership was handed over",
    "thesis 6.4.1: a lease and a transfer do not go together",
    "a read needs a round of heartbeats that began after it",
)
def _() -> Patches:
    # There are no leases: so whoever CheckQuorum keeps in office takes its reads for confirmed.
    go_on = Reading.proceed

    def proceed(self: Reading, now: float) -> None:
        state = self._state
        has_lease = state.is_leader and state.configuration.has_quorum(state.heard(now))
        with patch.object(Reading, "_is_confirmed", lambda reading, number: has_lease):
            go_on(self, now)

    with patch.object(Reading, "proceed", proceed):
        yield


@mutant(
    "pre-votes of nodes that were removed make a quorum",
    "hashicorp/raft fuzzy RemovePartitionedNode",
    "whose votes count is for the configuration in force to say",
)
def _() -> Patches:
    ask, count = Election._ask, Election._count

    def of_before(self: Membership) -> Configuration:
        before = self._history[-2:][0][1]
        return before if before.voters else self._history[-1][1]

    def old_ask(self: Election, now: float) -> None:
        with patch.object(Membership, "effective", property(of_before)):
            ask(self, now)

    def old_count(self: Election, now: float) -> None:
        if self._state.role is not Role.PRE_CANDIDATE:
            return count(self, now)
        before = of_before(self._state.membership)
        ballot = Configuration.ballot
        with patch.object(Configuration, "ballot", lambda _, votes: ballot(before, votes)):
            return count(self, now)

    with patch.object(Election, "_ask", old_ask), patch.object(Election, "_count", old_count):
        yield


@mutant(
    "a log shorter than the commit index that was stored is not noticed at a restart",
    "etcd#3591; PySyncObj#197; nexus#3939",
    "commit is what the log in hand proves, never more",
)
def _() -> Patches:
    # The commit index is not stored here; so it is, apart from the log and at once.
    stored: dict[Any, int] = {}
    save, begin = State.save, State.__init__

    def save_commit(self: State, now: float) -> None:
        stored[self.me] = self.log.commit
        save(self, now)

    def restart(self: State, *args: Any) -> None:
        begin(self, *args)
        if self.log.last_index == 0:
            stored.pop(self.me, None)  # another storm, or nothing to be short of
        self.log.commit = max(self.log.commit, stored.get(self.me, 0))

    with patch.object(State, "save", save_commit), patch.object(State, "__init__", restart):
        yield
