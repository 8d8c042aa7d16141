"""The state of one Raft node, shared by the parts of the protocol (election, replication, ...).

**Term and vote only move here, and every change of them, of the log or of the snapshot leaves as a
`Persist` before the step is over.**  Answers that promise something are `promise`d: they leave once
all that this step and those before it wrote is durable.
"""

import enum
from collections.abc import Mapping
from random import Random

from attrs import define

from nanoboost.config import ConsensusTiming
from nanoboost.consensus.autopilot import PeerView
from nanoboost.consensus.counters import Counters, Loss
from nanoboost.consensus.durability import Durability
from nanoboost.consensus.effects import (
    Apply,
    ConfigurationSettled,
    Effect,
    MastershipChanged,
    Persist,
    Send,
)
from nanoboost.consensus.log import Log
from nanoboost.consensus.membership import Configuration, Membership
from nanoboost.consensus.messages import (
    NOBODY_YET,
    Entry,
    EntryKind,
    HardState,
    Message,
    Route,
    Snapshot,
)
from nanoboost.consensus.progress import Progress
from nanoboost.ids import NodeId, Term


class Role(enum.Enum):
    """What a node is in its term.  A learner is a follower that does not stand for election."""

    FOLLOWER = 0
    PRE_CANDIDATE = 1
    CANDIDATE = 2
    LEADER = 3


@define
class Stored:
    """What lay in the durable store when the node started."""

    hard_state: HardState
    snapshot: Snapshot | None
    entries: tuple[Entry, ...]

    @property
    def is_empty(self) -> bool:
        """Whether the node has never taken part in anything."""
        return not (self.hard_state.term or self.snapshot or self.entries)


NOTHING = Stored(HardState(0, NOBODY_YET), None, ())


class State:
    """One node's state.  The parts of the protocol read and write it; `Raft` owns it."""

    def __init__(
        self,
        me: NodeId,
        cluster: str,
        timing: ConsensusTiming,
        rng: Random,
        now: float,
        stored: Stored,
    ) -> None:
        self.me = me
        self.timing = timing
        self.rng = rng
        self.term: Term = stored.hard_state.term
        self.vote = stored.hard_state.vote
        self.founder = stored.hard_state.founder
        """Whose log this node has a copy of."""
        self.generation = stored.hard_state.generation
        self.fenced: dict[NodeId, int] = {}
        """Who has been found to be of an older generation, and of which: good for nothing here."""
        self.role = Role.FOLLOWER
        self.leader: NodeId | None = None
        self.heard_at = now
        """When the leader was last heard."""
        self.election_due = now
        self.snapshot = stored.snapshot
        self.durability = Durability()
        self.peers: Mapping[NodeId, PeerView] = {}
        self.is_leaving = False
        # A leader's own:
        self.progress: dict[NodeId, Progress] = {}
        self.term_start = 0
        """The index of the entry that began the term."""
        self.transferring_to: NodeId | None = None
        self.transfer_until = 0.0

        self.counters = Counters()
        self.outbox: list[Effect] = []
        self._cluster = cluster
        self._routes: dict[NodeId, Route] = {}
        self._promises: list[tuple[NodeId, Message]] = []
        self._saved = stored.hard_state
        self._unsaved_snapshot: Snapshot | None = None
        self._told: tuple[Term, NodeId | None, bool] = (-1, None, False)
        self._settled: Configuration | None = None
        self._load(stored)
        self.postpone_election(now)

    def _load(self, stored: Stored) -> None:
        snapshot = stored.snapshot
        base = snapshot.index if snapshot else 0
        entries = [entry for entry in stored.entries if entry.index > base]
        assert [entry.index for entry in entries] == list(range(base + 1, base + 1 + len(entries)))
        self.log = Log(base, snapshot.term if snapshot else 0, entries)
        self.membership = Membership(base, snapshot.configuration) if snapshot else Membership()
        for entry in entries:
            if entry.kind is EntryKind.CONFIGURATION:
                self.membership.append(entry.index, Configuration.decode(entry.data))

    # --- reading ---------------------------------------------------------------------------------

    @property
    def is_leader(self) -> bool:
        """Whether this node leads its term."""
        return self.role is Role.LEADER

    @property
    def configuration(self) -> Configuration:
        """The configuration in force."""
        return self.membership.effective

    @property
    def is_term_durable(self) -> bool:
        """Whether a power cut would leave the term and the vote as they are now."""
        return self._is_term_saved and self.durability.knows_term

    @property
    def _is_term_saved(self) -> bool:
        return self._saved == self._hard_state

    @property
    def _hard_state(self) -> HardState:
        return HardState(self.term, self.vote, self.founder, self.generation)

    @property
    def is_configuration_committed(self) -> bool:
        """Whether no change of the configuration is under way (a joint one may still be left)."""
        return self.membership.effective_index <= self.log.commit

    @property
    def has_committed_in_term(self) -> bool:
        """Whether an entry of this leader's own term is committed: only then it knows what is."""
        return self.is_leader and self.log.commit >= self.term_start

    @property
    def may_campaign(self) -> bool:
        """Whether this node may become leader: it votes, or did until a configuration that it does
        not know to be committed, which perhaps only it can carry through (thesis, figure 4.6).
        After a restart it knows of nothing that is committed behind its snapshot."""
        return self.membership.may_vote_somewhere(self.me, self.log.commit)

    @property
    def is_alone(self) -> bool:
        """Whether nobody else votes."""
        return self.configuration.voters == (self.me,) and not self.configuration.is_joint

    def is_protected(self, now: float) -> bool:
        """Whether there is a leader that must not be deposed: stickiness (thesis, 4.2.3)."""
        if self.is_leader:
            return True  # a leader without a quorum steps down by itself
        return self.leader is not None and now - self.heard_at < self.timing.election_s_min

    def heard(self, now: float) -> set[NodeId]:
        """Who has answered this leader lately, itself included.  Never iterate over it."""
        since = now - self.timing.election_s_min
        return {
            self.me,
            *(node for node, found in self.progress.items() if found.heard_at >= since),
        }

    # --- saying ----------------------------------------------------------------------------------

    def route(self, to: NodeId) -> Route:
        """The address on the envelope."""
        found = self._routes.get(to)
        if found is None:
            found = self._routes[to] = Route(self._cluster, self.generation, to, self.founder)
        return found

    def is_for_me(self, route: Route) -> bool:
        """Whether a message was meant for this node, in this cluster."""
        return route.to == self.me and route.cluster == self._cluster

    def is_about_my_log(self, route: Route) -> bool:
        """Whether a message is about the log that this node has.  A node without a log takes any,
        and its votes are as good as others'."""
        return route.founder == self.founder or not self.founder or not route.founder

    def send(self, to: NodeId, message: Message) -> None:
        """Say it now: a question, or an answer that promises nothing."""
        self.outbox.append(Send(to, message))

    def promise(self, to: NodeId, message: Message) -> None:
        """Say it once all that has been written up to the end of this step is durable."""
        self._promises.append((to, message))

    def answer(self, to: NodeId, message: Message) -> None:
        """Say something that promises nothing but the term that it names."""
        if self.is_term_durable:
            self.send(to, message)
        else:
            self.promise(to, message)

    # --- moving ----------------------------------------------------------------------------------

    def join_log(self, founder: NodeId, generation: int) -> None:
        """From here on this node has a copy of that log, and of no other ever."""
        if founder and not self.founder:
            self.founder, self.generation = founder, generation
            self._routes = {}

    def follow(
        self, now: float, term: Term, leader: NodeId | None, why: Loss = Loss.HIGHER_TERM
    ) -> None:
        """Be a follower in `term`, of `leader` if one is known; `why`, if this node was leader."""
        assert term >= self.term
        if self.is_leader:
            self.counters.lost(why if self.transferring_to is None else Loss.HANDED_OVER)
        if term > self.term:
            self.term, self.vote = term, NOBODY_YET
        if self.role is not Role.FOLLOWER:
            self.role = Role.FOLLOWER
            self.postpone_election(now)
        self.progress = {}
        self.transferring_to = None
        self.leader = leader
        if leader is not None:
            self.heard_at = now
            self.postpone_election(now)

    def postpone_election(self, now: float) -> None:
        """Give the leader, or the candidate, another random time."""
        low, high = self.timing.election_s_min, self.timing.election_s_max
        self.election_due = now + low + (high - low) * self.rng.random()

    def append(self, kind: EntryKind, data: bytes) -> int:
        """Append an entry of this term; return its index."""
        index = self.log.last_index + 1
        self.log.append(Entry(index, self.term, kind, data))
        if kind is EntryKind.CONFIGURATION:
            self.membership.append(index, Configuration.decode(data))
        return index

    def take(self, entries: tuple[Entry, ...]) -> None:
        """Take a leader's entries; what contradicts them is cut off, configurations included."""
        first, news = self.log.agree(entries)
        if not news:
            return
        if first <= self.log.last_index:
            self.log.cut(first)
            self.durability.cut(first)
            self.membership.truncate(first)
        for entry in news:
            self.log.append(entry)
            if entry.kind is EntryKind.CONFIGURATION:
                self.membership.append(entry.index, Configuration.decode(entry.data))

    def become(self, snapshot: Snapshot) -> None:
        """Replace the whole log by a snapshot."""
        self.durability.cut(snapshot.index + 1)
        self.log.install(snapshot)
        self.membership = Membership(snapshot.index, snapshot.configuration)
        self.keep_snapshot(snapshot)

    def keep_snapshot(self, snapshot: Snapshot) -> None:
        """This is now the snapshot to start from, and to give to others."""
        self.snapshot = self._unsaved_snapshot = snapshot

    def persisted(self, now: float, token: int) -> None:
        """A write is done."""
        durable, since = self.durability.end(token)
        self.log.durable = max(self.log.durable, durable)
        if since is not None:
            self.counters.fsync_latency.add(now - since)

    # --- the end of a step -----------------------------------------------------------------------

    def save(self, now: float) -> None:
        """Write what has changed; hold what waits for it."""
        log = self.log
        hard_state = None
        if not self._is_term_saved:
            hard_state = self._saved = self._hard_state
        if hard_state or self._unsaved_snapshot or log.unsaved <= log.last_index:
            token = self.durability.begin(now, log.last_index, has_term=hard_state is not None)
            entries = log.between(max(log.unsaved, log.base_index + 1), log.last_index)
            snapshot, self._unsaved_snapshot = self._unsaved_snapshot, None
            log.unsaved = log.last_index + 1
            self.outbox.append(
                Persist(token, hard_state, snapshot, entries, log.base_index + 1, log.last_index)
            )
        for to, message in self._promises:
            self.durability.hold(to, message)
        self._promises.clear()

    def tell(self) -> None:
        """Apply what may be applied; tell what is another now."""
        entries = self.log.take_applicable()
        if entries:
            self.outbox.append(Apply(entries))
            self.counters.entries_applied += len(entries)
        told = (self.term, self.leader, self.is_leader)
        if told != self._told:
            self._told = told
            self.outbox.append(MastershipChanged(*told))
        configuration = self.configuration
        if configuration is not self._settled and not configuration.is_joint:
            if self.is_configuration_committed:
                if configuration != self._settled and configuration.voters:
                    self.outbox.append(ConfigurationSettled(configuration))
                    self.counters.config_changes += 1
                self._settled = configuration
