"""Consensus for the rest of the node: GetFrontier, SetFrontier, GetMembers, MastershipChange.

**What a node reports as committed is committed for good, and every node reports the same records in
the same order.**  A shell: it drives the Raft core with the reactor's clock, makes durable what the
core wants durable, and keeps the registry that the committed records add up to.
"""

from collections.abc import Callable
from typing import Any
from zlib import crc32

from attrs import frozen
from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from nanoboost.config import ConsensusTiming
from nanoboost.consensus.autopilot import PeerView
from nanoboost.consensus.chronicle import Chronicle
from nanoboost.consensus.counters import Counters
from nanoboost.consensus.effects import (
    Apply,
    ConfigurationSettled,
    Effect,
    Event,
    ForeignLog,
    LeaveAsked,
    LeaveFinished,
    MastershipChanged,
    NodeGone,
    Outdated,
    PeersChanged,
    Persist,
    Persisted,
    Proposed,
    ReadAsked,
    ReadReady,
    ReadRefused,
    Received,
    Restore,
    Send,
    SnapshotTaken,
    TakeSnapshot,
)
from nanoboost.consensus.gauges import Gauges, gauges
from nanoboost.consensus.membership import Configuration
from nanoboost.consensus.messages import ENTRY_BYTES, EntryKind, Message, check
from nanoboost.consensus.names import Names
from nanoboost.consensus.raft import Raft
from nanoboost.consensus.registry import Registry
from nanoboost.consensus.store import RaftStore
from nanoboost.core import Woke
from nanoboost.errors import LocalError
from nanoboost.ids import JobId, NodeId
from nanoboost.net.pump import Pump
from nanoboost.runtime import Runtime
from nanoboost.wire.frame import FRAME_BYTES_MAX
from nanoboost.wire.records import RECORDS, FrontierSet, JobEntry, Record

RECORD_BYTES_MAX = FRAME_BYTES_MAX - 4096
"""An entry must fit in one frame, with what is around it."""
STATE_EVERY = 1024
"""Of so many entries one is recorded with the digest of the state after it."""


@frozen
class MastershipChange:
    """Who is master now: `master` None while nobody is known to be; `is_me`: this node."""

    term: int
    master: NodeId | None
    is_me: bool


@frozen
class RaftStatus:
    """How the cluster's consensus stands, as this node knows.  `survives`: how many voters could be
    lost now; `parts`: "voter" or "learner" by node."""

    is_master: bool
    leader: NodeId | None
    term: int
    survives: int
    parts: dict[NodeId, str]


class Consensus(Service):
    """One node's part in Raft.

    `send(node, message)` may lose messages.  `mastership_changed`, `committed(term, record)` and
    `crashed(failure)` are told what they are named after.  `found`: with nothing stored, begin a
    cluster of one; else wait to be made a learner.
    """

    _log = Logger()

    def __init__(
        self,
        me: NodeId,
        timing: ConsensusTiming,
        runtime: Runtime,
        send: Callable[[NodeId, Message], None],
        mastership_changed: Callable[[MastershipChange], None],
        committed: Callable[[int, Record], None],
        crashed: Callable[[Failure], None],
        *,
        found: bool,
    ) -> None:
        self._me = me
        self._timing = timing
        self._runtime = runtime
        self._send = send
        self._mastership_changed = mastership_changed
        self._committed = committed
        self._crashed = crashed
        self._found = found
        self._store = RaftStore(runtime.store)
        self._registry = Registry()
        self._peers: dict[NodeId, PeerView] = {}
        self._names = Names(runtime.store, self._broke)
        self._raft: Raft | None = None
        self._pump: Pump[Event, Effect] | None = None
        self._proposals: list[tuple[int, bytes]] = []  # (term, record) of this turn of the reactor
        self._proposed_bytes = 0
        self._ticket = 0
        self._reads: dict[int, Deferred[tuple[JobEntry, ...]]] = {}
        self._leaving: list[Deferred[None]] = []
        self._foreign: dict[NodeId, bool] = {}
        self._newest_generation = 0
        self._perform_by_kind: dict[type, Callable[[Any], None]] = {
            Send: lambda effect: self._send(effect.to, effect.message),
            Persist: self._persist,
            Apply: self._apply,
            Restore: lambda effect: self._registry.restore(effect.snapshot.data),
            TakeSnapshot: self._take_snapshot,
            MastershipChanged: self._change_mastership,
            ConfigurationSettled: self._report_voters,
            ReadReady: self._answer_read,
            ReadRefused: self._refuse_read,
            ForeignLog: self._warn_of_foreign_log,
            Outdated: self._warn_of_generation,
            LeaveFinished: self._finish_leaving,
        }

    # --- life ------------------------------------------------------------------------------------

    def startService(self) -> None:
        """Load what this node knew, and begin.  Raises `UserError` if that cannot be used."""
        super().startService()
        clock, record = self._runtime.reactor, self._runtime.record
        stored = self._store.load()
        self._raft = Raft(
            self._me,
            self._runtime.security.cluster,
            self._timing,
            self._runtime.rng("raft"),
            clock.seconds(),
            stored,
            is_founder=self._found,
        )
        self._names.load()
        core = self._raft if record is None else Chronicle(self._raft, stored, record)
        self._pump = Pump(core, clock, self._perform, self._broke)
        self._pump.start()
        self._feed(Woke())
        self._feed(PeersChanged(self._peers))

    def stopService(self) -> None:
        """Stop at once; what waits for an answer is refused."""
        super().stopService()
        self._end()

    def _end(self) -> None:
        if self._pump is not None:
            self._pump.stop()
        self._pump = None
        for ticket in list(self._reads):
            self._refuse_read(ReadRefused(ticket))
        self._finish_leaving(LeaveFinished())

    def _broke(self, failure: Failure) -> None:
        """A broken invariant, or a disk that failed: this node must stop."""
        self._end()
        self._crashed(failure)

    def _feed(self, event: Event | Woke) -> None:
        if self._pump is not None:
            self._pump.feed(event)

    # --- the mission's words ---------------------------------------------------------------------

    def get_frontier(self) -> "Deferred[tuple[JobEntry, ...]]":
        """All jobs with their frontiers, as new as anything that was committed before this call.
        Fails with `LocalError` if this node is not the master, or ceases to be."""
        if self._pump is None:
            return fail(LocalError("consensus is not running"))
        self._ticket += 1
        answer: Deferred[tuple[JobEntry, ...]] = Deferred()
        self._reads[self._ticket] = answer
        self._feed(ReadAsked(self._ticket))
        return answer

    def set_frontier(self, term: int, job: JobId, frontier: bytes) -> bool:
        """Propose that the job has come so far; see `propose`."""
        return self.propose(term, FrontierSet(job, frontier))

    def get_members(self) -> tuple[PeerView, ...]:
        """The nodes as gossip sees them, in order of their ids."""
        return tuple(self._peers[node] for node in sorted(self._peers))

    def propose(self, term: int, record: Record) -> bool:
        """Put the record into the log.  False: refused (not the master of that term, too much is
        uncommitted, the disk is full); True: `committed` tells if it commits while this node lives.

        All records of one turn of the reactor go together: one message to each member and one
        write for all of them are what makes many clients cost little more than one.
        """
        if self._pump is None or self._raft is None:
            return False
        data = RECORDS.encode(record)
        is_possible = len(data) <= RECORD_BYTES_MAX and not self._store.is_full
        if not is_possible or not self._raft.may_propose(term, len(data) + self._proposed_bytes):
            self._raft.state.counters.proposals_dropped += 1
            return False
        if not self._proposals:
            self._runtime.reactor.callLater(0, self._propose_together)
        self._proposals.append((term, data))
        self._proposed_bytes += len(data) + ENTRY_BYTES
        return True

    def _propose_together(self) -> None:
        proposals, self._proposals, self._proposed_bytes = self._proposals, [], 0
        by_term: dict[int, list[bytes]] = {}
        for term, data in proposals:
            by_term.setdefault(term, []).append(data)
        for term, (first, *more) in by_term.items():
            self._feed(Proposed(term, first, tuple(more)))

    @property
    def mastership(self) -> MastershipChange:
        """Who is master, as far as this node knows."""
        if self._raft is None:
            return MastershipChange(0, None, False)
        state = self._raft.state
        return MastershipChange(state.term, state.leader, state.is_leader)

    @property
    def status(self) -> RaftStatus:
        """How things stand."""
        if self._raft is None:
            return RaftStatus(False, None, 0, 0, {})
        state = self._raft.state
        configuration = state.configuration
        return RaftStatus(
            state.is_leader,
            state.leader,
            state.term,
            max(0, self._raft.spare(self._runtime.reactor.seconds())),
            {node: configuration.part(node) for node in configuration.members},
        )

    @property
    def is_disk_full(self) -> bool:
        """Whether proposals are refused because the node's own disk is full."""
        return self._store.is_full

    @property
    def counters(self) -> Counters:
        """What this node has counted since its start."""
        return self._raft.state.counters if self._raft is not None else Counters()

    def gauges(self) -> Gauges:
        """How things stand, who is missing, all in numbers.  Only after the start."""
        assert self._raft is not None
        now = self._runtime.reactor.seconds()
        return gauges(now, self._raft, self._names.of, self._runtime.busy())

    def catch_up(self) -> None:
        """Do now what is overdue: whoever acts on being master asks for this first, for after a
        pause of the process there may be another one."""
        if self._pump is not None:
            self._pump.catch_up()

    # --- what others tell ------------------------------------------------------------------------

    def receive(self, sender: NodeId, message: Message) -> None:
        """A node has said something.  Raises `RemoteError` if no node of ours would say that."""
        check(message)
        self._feed(Received(sender, message))

    def members_changed(self, peers: dict[NodeId, PeerView]) -> None:
        """Gossip sees something new."""
        self._peers = dict(peers)
        self._feed(PeersChanged(self._peers))
        self._learn_names()

    def _learn_names(self) -> None:
        if self._raft is not None:
            self._names.learn(self._raft.state.configuration.members, self._peers)

    def hint(self, node: NodeId) -> None:
        """The host of `node` says that its process is gone."""
        self._feed(NodeGone(node))

    def leave(self) -> "Deferred[None]":
        """Have this node taken out of the configuration; fires when it is, or after a bounded
        time."""
        if self._pump is None:
            return succeed(None)
        left: Deferred[None] = Deferred()
        self._leaving.append(left)
        self._feed(LeaveAsked())
        return left

    # --- effects ---------------------------------------------------------------------------------

    def _perform(self, effect: Effect) -> None:
        self._perform_by_kind[type(effect)](effect)

    def _persist(self, effect: Persist) -> None:
        self._store.commit(effect).addCallbacks(
            lambda _: self._feed(Persisted(effect.token)),
            lambda failure: self._broke(failure) if self._pump is not None else None,
        )

    def _apply(self, effect: Apply) -> None:
        for entry in effect.entries:
            if entry.kind is EntryKind.RECORD:
                record: Record = RECORDS.decode(entry.data)
                self._registry.apply(record)
                self._committed(entry.term, record)
            if entry.index % STATE_EVERY == 0 and self._runtime.record is not None:
                state = crc32(self._registry.snapshot())
                self._runtime.record({"states": [[entry.index, state]]})

    def _take_snapshot(self, effect: TakeSnapshot) -> None:
        self._feed(SnapshotTaken(effect.index, self._registry.snapshot()))

    def _change_mastership(self, effect: MastershipChanged) -> None:
        self._mastership_changed(MastershipChange(effect.term, effect.leader, effect.is_me))

    def _report_voters(self, effect: ConfigurationSettled) -> None:
        configuration: Configuration = effect.configuration
        self._learn_names()
        self._log.info(
            "{count} voters: {voters}; learners: {learners}",
            event="voters",
            count=len(configuration.voters),
            voters=" ".join(configuration.voters),
            learners=" ".join(configuration.learners),
        )

    def _warn_of_foreign_log(self, effect: ForeignLog) -> None:
        if effect.sender not in self._foreign:
            self._foreign[effect.sender] = True
            self._log.warn(
                "node {node} has founded a cluster of its own, or follows one that did: start it "
                "anew with --join and an empty state directory, or this one",
                node=effect.sender,
            )

    def _warn_of_generation(self, effect: Outdated) -> None:
        if effect.generation > self._newest_generation:
            self._newest_generation = effect.generation
            self._log.warn(
                "the cluster has been recovered without this node, as generation {generation}: "
                "move its state directory away and start it with --join; it then joins as new.  "
                "`nanoboost salvage` brings back what it had finished",
                event="outdated",
                generation=effect.generation,
            )

    def _answer_read(self, effect: ReadReady) -> None:
        self._reads.pop(effect.ticket).callback(self._registry.entries())

    def _refuse_read(self, effect: ReadRefused) -> None:
        self._reads.pop(effect.ticket).errback(LocalError("this node is not the master"))

    def _finish_leaving(self, effect: LeaveFinished) -> None:
        leaving, self._leaving = self._leaving, []
        for each in leaving:
            each.callback(None)
