"""The Raft core: told the time and events, it answers with effects.

One `State`, and the parts of the protocol over it: `Election`, `Replication`, `Snapshotting`,
`Reading`, `Leadership`, `Reconfiguration`, `Departure`.  **This module only decides which of them
hears an event, and in which order a step ends**: write, release what has become durable, apply,
answer reads.

PreVote, CheckQuorum and stickiness are always on; there are no lease reads.  Ongaro, "Consensus:
Bridging Theory and Practice" (2014), is what "thesis" means in this room.
"""

from collections.abc import Callable
from random import Random
from typing import Any

from nanoboost.config import ConsensusTiming
from nanoboost.consensus.departure import Departure
from nanoboost.consensus.effects import (
    ChangeAsked,
    Effect,
    Event,
    ForeignLog,
    LeaveAsked,
    NodeGone,
    Outdated,
    PeersChanged,
    Persisted,
    Proposed,
    ReadAsked,
    Received,
    Restore,
    SnapshotTaken,
    TransferAsked,
)
from nanoboost.consensus.election import Election
from nanoboost.consensus.leadership import Leadership
from nanoboost.consensus.membership import Configuration
from nanoboost.consensus.messages import (
    FIRST_GENERATION,
    Appended,
    AppendEntries,
    AppendRefused,
    EntryKind,
    Fenced,
    Heartbeat,
    HeartbeatAnswer,
    InstallSnapshot,
    LeaveDone,
    LeaveRequest,
    RequestVote,
    SnapshotReceived,
    TimeoutNow,
    Vote,
)
from nanoboost.consensus.reading import Reading
from nanoboost.consensus.reconfiguration import Reconfiguration
from nanoboost.consensus.replication import Replication
from nanoboost.consensus.snapshotting import Snapshotting
from nanoboost.consensus.state import State, Stored
from nanoboost.core import Woke
from nanoboost.ids import NodeId, Term

Hear = Callable[[float, NodeId, Any], None]


class Raft:
    """One node.  `is_founder`: with nothing stored, begin a cluster whose only voter this is; else
    wait until a leader makes this node a learner."""

    def __init__(
        self,
        me: NodeId,
        cluster: str,
        timing: ConsensusTiming,
        rng: Random,
        now: float,
        stored: Stored,
        *,
        is_founder: bool,
    ) -> None:
        self.state = state = State(me, cluster, timing, rng, now, stored)
        self._snapshotting = Snapshotting(state)
        self._replication = Replication(state, self._snapshotting)
        self._leadership = Leadership(state, self._replication, lambda: self._reading.round)
        self._reading = Reading(state, self._leadership.beat)
        self._reconfiguration = Reconfiguration(state, self._replication, self._leadership)
        self._departure = Departure(state, self._reconfiguration)
        self._election = Election(state, self._won)
        self._alarm: float | None = now
        self._questions: dict[type, Hear] = {
            RequestVote: self._election.asked,
            Vote: self._election.answered,
            AppendEntries: self._replication.appended,
            Heartbeat: self._replication.heartbeat,
            InstallSnapshot: self._snapshot_piece,
            TimeoutNow: self._election.told_to_stand,
            LeaveRequest: self._leave_requested,
            LeaveDone: self._leave_done,
        }
        """What is heard whatever its term is."""
        self._answers: dict[type, Hear] = {
            Appended: self._appended,
            AppendRefused: self._replication.refused,
            HeartbeatAnswer: self._replication.heartbeat_answered,
            SnapshotReceived: self._snapshotting.piece_received,
        }
        """What only the leader of its term hears."""
        if stored.snapshot is not None:
            state.outbox.append(Restore(stored.snapshot))
        if is_founder and stored.is_empty:
            state.term = 1
            state.join_log(me, FIRST_GENERATION)
            state.append(EntryKind.CONFIGURATION, Configuration((me,)).encode())
        if state.is_alone:
            state.election_due = now

    # --- the contract of a core ------------------------------------------------------------------

    def step(self, now: float, event: Event | Woke) -> tuple[Effect, ...]:
        """Take one event; see `nanoboost.core`."""
        self._leadership.notice_pause(now)
        match event:
            case Received(sender, message):
                self._received(now, sender, message)
            case Woke():
                if self._alarm is not None and now >= self._alarm:
                    self.state.counters.wake_late.add(now - self._alarm)
            case Persisted(token):
                self.state.persisted(now, token)
                self._release(now)
                self._advance(now)
            case Proposed(term, data, more):
                if term == self.state.term and self.state.is_leader:
                    self._leadership.propose(now, (data, *more))
                else:
                    self.state.counters.proposals_dropped += 1 + len(more)
            case ReadAsked(ticket):
                self._reading.asked(ticket)
            case SnapshotTaken(index, data):
                self._snapshotting.taken(index, data)
            case PeersChanged(peers):
                self.state.peers = peers
                self._reconfiguration.look_soon()
            case NodeGone(node):
                self._election.gone(now, node)
            case ChangeAsked(change):
                self._reconfiguration.change(now, change)
            case TransferAsked(to):
                self._leadership.transfer(now, to)
            case LeaveAsked():
                self._departure.begin(now)
        self._run(now)
        return self._finish(now)

    def deadline(self) -> float | None:
        """When to be woken next.  May be too early, never too late: a follower's alarm is not set
        anew by each heartbeat."""
        return self._alarm

    # --- for the shell ---------------------------------------------------------------------------

    def may_propose(self, term: Term, size: int) -> bool:
        """Whether a record of so many bytes would be taken into the log of this term."""
        return term == self.state.term and self._leadership.may_propose(size)

    def spare(self, now: float) -> int:
        """How many of the voters that are there now could be lost with a quorum left, as far as
        this node can tell; negative: so many are lacking."""
        gone = self.missing(now)
        halves = [self.state.configuration.voters, self.state.configuration.outgoing]
        spare = [
            sum(node not in gone for node in half) - len(half) // 2 - 1 for half in halves if half
        ]
        return min(spare, default=0)

    def missing(self, now: float) -> dict[NodeId, float | None]:
        """The voters that are not there, as far as this node can tell, and since when (None: since
        before it can tell).  A leader goes by who answers it, everybody else by gossip."""
        state = self.state
        heard = state.heard(now) if state.is_leader else {state.me}
        found: dict[NodeId, float | None] = {}
        for node in state.configuration.members:
            peer, progress = state.peers.get(node), state.progress.get(node)
            if node in heard or not state.configuration.is_voter(node):
                continue
            dead_since = peer.since if peer is not None and not peer.is_live else None
            if progress is not None:
                found[node] = min(progress.heard_at, dead_since or progress.heard_at)
            elif peer is None or not peer.is_live:
                found[node] = dead_since
        return found

    # --- a step ----------------------------------------------------------------------------------

    def _received(self, now: float, sender: NodeId, message: Any) -> None:
        state = self.state
        if not state.is_for_me(message.route) or not self._is_of_my_generation(sender, message):
            return
        if not state.is_about_my_log(message.route):
            state.outbox.append(ForeignLog(sender))
            return
        kind = type(message)
        hear = self._questions.get(kind)
        if hear is not None:
            hear(now, sender, message)
        elif message.term > state.term:
            state.follow(now, message.term, None)
        elif message.term == state.term and state.is_leader:
            self._answers[kind](now, sender, message)

    def _is_of_my_generation(self, sender: NodeId, message: Any) -> bool:
        """Whether the message is of this node's generation; whose is not is told so.  A newer one
        is taken over from a leader, by a node without a log: one that has a log of the lost side
        may have committed there what the recovered side has not."""
        state, generation = self.state, message.route.generation
        if isinstance(message, Fenced):
            if generation < state.generation:
                state.fenced[sender] = generation
        elif generation == state.generation:
            return True
        elif generation > state.generation and not state.founder:
            return isinstance(message, AppendEntries | Heartbeat | InstallSnapshot)
        else:
            state.send(sender, Fenced(state.route(sender)))
        if generation > state.generation:
            state.outbox.append(Outdated(sender, generation))
        return False

    def _run(self, now: float) -> None:
        """Do whatever is due."""
        state = self.state
        if state.is_leader:
            if self._leadership.proceed(now):
                self._reconfiguration.look(now)
        elif now >= state.election_due:
            self._election.timed_out(now)
        self._departure.proceed(now)

    def _finish(self, now: float) -> tuple[Effect, ...]:
        state = self.state
        state.save(now)
        self._release(now)
        state.tell()
        state.counters.applied(now, state.log.applied)
        self._reading.proceed(now)
        self._snapshotting.consider()
        effects = tuple(state.outbox)
        state.outbox.clear()
        due = self._due()
        if due is None or self._alarm is None or due < self._alarm or now >= self._alarm:
            self._alarm = due
        return effects

    def _due(self) -> float | None:
        state = self.state
        leave_due = self._departure.deadline
        if state.is_leader:
            due = self._leadership.beat_due
        elif state.may_campaign or state.leader is not None:
            due = state.election_due
        else:
            return leave_due
        return due if leave_due is None else min(due, leave_due)

    def _release(self, now: float) -> None:
        """Say what is durable now; this node's own vote is one of the things said."""
        for to, message in self.state.durability.released():
            if to == self.state.me:
                assert isinstance(message, Vote)
                self._election.answered(now, to, message)
            else:
                self.state.send(to, message)

    # --- what several parts must hear ------------------------------------------------------------

    def _won(self, now: float) -> None:
        self._leadership.take_office(now)
        self._reconfiguration.begin_term(now)

    def _advance(self, now: float) -> None:
        if self.state.is_leader and self._replication.commit():
            self._reconfiguration.proceed(now)

    def _appended(self, now: float, sender: NodeId, message: Appended) -> None:
        self._replication.answered(now, sender, message)
        self._leadership.proceed_with_transfer()
        self._advance(now)

    def _snapshot_piece(self, now: float, sender: NodeId, message: InstallSnapshot) -> None:
        if self._replication.accept(now, sender, message):
            self._snapshotting.piece(sender, message)
        else:
            state = self.state
            state.answer(sender, AppendRefused(state.route(sender), state.term, 0, 0, 0))

    def _leave_requested(self, now: float, sender: NodeId, message: LeaveRequest) -> None:
        if self.state.is_leader:
            self._reconfiguration.leave_asked(now, sender)

    def _leave_done(self, now: float, sender: NodeId, message: LeaveDone) -> None:
        if sender == self.state.leader:
            self._departure.granted()
