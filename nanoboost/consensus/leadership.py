"""What a leader does besides replicating: take office, keep it only with a quorum, hand it over.

**A leader that cannot serve goes**: without a quorum that answers (CheckQuorum), with a disk that
has stalled (its heartbeats would hide that nothing can be committed), or once it has taken itself
out of the voters.  Where somebody else can serve, that node is told to stand at once (TimeoutNow).
"""

from collections.abc import Callable, Sequence

from nanoboost.consensus.counters import Loss
from nanoboost.consensus.messages import EntryKind, TimeoutNow
from nanoboost.consensus.replication import Replication
from nanoboost.consensus.state import Role, State
from nanoboost.ids import NodeId

UNCOMMITTED_BYTES_MAX = 4 << 20
"""A leader whose followers do not answer takes no more than this into its log."""


class Leadership:
    """A leader's office.  `read_round()` is what heartbeats must carry."""

    def __init__(
        self, state: State, replication: Replication, read_round: Callable[[], int]
    ) -> None:
        self._state = state
        self._replication = replication
        self._read_round = read_round
        self.beat_due = 0.0

    def take_office(self, now: float) -> None:
        """This node has been elected: say so, and commit what earlier terms have left behind."""
        state = self._state
        state.counters.elections_won += 1
        state.role = Role.LEADER
        state.leader = state.me
        state.transferring_to = None
        self._replication.follow_configuration(now)
        state.term_start = state.append(EntryKind.NOOP, b"")
        self._replication.spread(now)
        self.beat(now)

    def beat(self, now: float) -> None:
        """Heartbeats, now."""
        self.beat_due = now + self._state.timing.heartbeat_s
        self._replication.beat(self._read_round())

    def notice_pause(self, now: float) -> None:
        """Before anything that comes in is believed: a leader whose process did not run for an
        election timeout has an heir by now, whatever old answers lie in its sockets."""
        state = self._state
        if state.is_leader and not state.is_alone:
            if now - self.beat_due > state.timing.election_s_min:
                state.follow(now, state.term, None, Loss.PAUSE)

    def proceed(self, now: float) -> bool:
        """At each heartbeat: see that this node should still lead; return whether it was time and
        it does."""
        if now < self.beat_due:
            return False
        state, timing = self._state, self._state.timing
        overslept_s = now - self.beat_due
        if overslept_s > timing.election_s_min / 2:
            # This process did not run (not long enough for an heir, or the above had noticed): the
            # answers of that time lie unread in their sockets.
            state.durability.forgive(overslept_s)
            for progress in state.progress.values():
                progress.heard_at += overslept_s
        if not state.configuration.has_quorum(state.heard(now)):
            state.follow(now, state.term, None, Loss.NO_QUORUM)
            return False
        if state.durability.is_stalled(now, timing.election_s_max) and not state.is_alone:
            self.abdicate(now, Loss.STALLED_DISK)
            return False
        if state.transferring_to is not None and now >= state.transfer_until:
            state.transferring_to = None
        self.beat(now)
        return True

    # --- proposals -------------------------------------------------------------------------------

    def may_propose(self, size: int) -> bool:
        """Whether an entry of so many bytes would be taken."""
        state = self._state
        if not state.is_leader or state.transferring_to is not None:
            return False
        return state.log.bytes_to_commit + size <= UNCOMMITTED_BYTES_MAX

    def propose(self, now: float, records: Sequence[bytes]) -> None:
        """Append the records."""
        for data in records:
            self._state.append(EntryKind.RECORD, data)
        self._state.counters.proposed(now, self._state.log.last_index, len(records))
        self._replication.spread(now)

    # --- handing over ----------------------------------------------------------------------------

    def transfer(self, now: float, to: NodeId | None) -> None:
        """Hand over to a voter, once it has everything; give up after an election timeout."""
        state = self._state
        to = to or self._best()
        if not state.is_leader or to not in state.progress or not state.configuration.is_voter(to):
            return
        state.transferring_to = to
        state.transfer_until = now + state.timing.election_s_max
        self.proceed_with_transfer()

    def proceed_with_transfer(self) -> None:
        """If the successor has everything, tell it."""
        state = self._state
        to = state.transferring_to
        if to is not None and state.is_leader and to in state.progress:
            if state.progress[to].match == state.log.last_index:
                state.send(to, TimeoutNow(state.route(to), state.term))

    def abdicate(self, now: float, why: Loss) -> None:
        """Go now; whoever has most of the log should stand at once."""
        state = self._state
        best = self._best()
        if best is not None:
            state.send(best, TimeoutNow(state.route(best), state.term))
        state.follow(now, state.term, None, why)

    def _best(self) -> NodeId | None:
        """The voter that has most of the log, of those that answer."""
        state = self._state
        since = max((each.heard_at for each in state.progress.values()), default=0.0)
        since -= state.timing.election_s_min
        fit = [
            (progress.match, node)
            for node, progress in state.progress.items()
            if node in state.configuration.voters and progress.heard_at >= since
        ]
        return max(fit)[1] if fit else None
