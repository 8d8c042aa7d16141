"""Replication: how the leader's log becomes everybody's, and when an entry is committed.

**An entry is committed when majorities (of both halves, in a joint configuration) have it durably
and it is of the leader's own term**; what came before is committed with it (thesis, 3.6.2).  The
leader counts itself only as far as its own disk has come.  A follower believes `commit` only as far
as it has just been shown that its log agrees.

Entries leave at once and ahead of the answers, bounded by `INFLIGHT_MAX` messages a member.  A
message that was lost shows in the next one, which does not fit; when there is no next one, the
answer to a heartbeat shows that a member is behind.
"""

from nanoboost.consensus.messages import (
    Appended,
    AppendEntries,
    AppendRefused,
    Heartbeat,
    HeartbeatAnswer,
    InstallSnapshot,
)
from nanoboost.consensus.progress import Phase, Progress
from nanoboost.consensus.snapshotting import Snapshotting
from nanoboost.consensus.state import Role, State
from nanoboost.ids import NodeId

BATCH_BYTES_MAX = 256 * 1024
"""Of the entries in one message (one entry may be larger)."""
BATCH_COUNT_MAX = 256
QUIET_BEATS = 2
"""A member that has everything is asked for an answer at every second heartbeat: twice in an
election timeout is enough for CheckQuorum, and an idle leader is woken up less."""
NEWS_BEATS = 4
"""Nodes that are no members hear every fourth heartbeat, so that they know the leader, and so that
one that was a voter once does not stand for election."""


class Replication:
    """Both ends of it: what a leader sends, and what a follower makes of it."""

    def __init__(self, state: State, snapshotting: Snapshotting) -> None:
        self._state = state
        self._snapshotting = snapshotting
        self._beats = 0

    # --- the leader speaks -----------------------------------------------------------------------

    def follow_configuration(self, now: float) -> None:
        """Keep a record of progress for exactly the members of the configuration in force."""
        state = self._state
        state.progress = {
            node: state.progress.get(node) or Progress(state.log.last_index + 1, now)
            for node in state.configuration.members
            if node != state.me
        }

    def beat(self, read: int) -> None:
        """Say to everybody that this node leads."""
        state = self._state
        commit, last = state.log.commit, state.log.last_index
        self._beats += 1
        is_loud = self._beats % QUIET_BEATS == 0
        for node, progress in state.progress.items():
            is_question = is_loud or progress.match < last or progress.read < read
            known = min(progress.match, commit)
            state.send(node, Heartbeat(state.route(node), state.term, known, read, is_question))
        if self._beats % NEWS_BEATS == 0:
            for node, peer in state.peers.items():
                if peer.is_live and node != state.me and node not in state.progress:
                    state.send(node, Heartbeat(state.route(node), state.term, 0, 0))

    def spread(self, now: float) -> None:
        """Send to everybody what may be sent."""
        for node, progress in self._state.progress.items():
            self._bring_up_to_date(now, node, progress)

    def _bring_up_to_date(self, now: float, node: NodeId, progress: Progress) -> None:
        last = self._state.log.last_index
        if progress.phase is Phase.SNAPSHOT:
            return
        if progress.phase is Phase.PROBE and not progress.is_probing:
            self._send_entries(now, node, progress)
        while progress.phase is Phase.REPLICATE and progress.next <= last and progress.may_send:
            self._send_entries(now, node, progress)

    def _send_entries(
        self, now: float, node: NodeId, progress: Progress, *, is_probe: bool = False
    ) -> None:
        state, log = self._state, self._state.log
        previous = progress.next - 1
        previous_term = log.term_at(previous)
        if previous_term is None:
            self._snapshotting.begin(now, node, progress)
            return
        entries = () if is_probe else log.batch(progress.next, BATCH_COUNT_MAX, BATCH_BYTES_MAX)
        progress.sent(now, previous + len(entries), len(entries))
        state.send(
            node,
            AppendEntries(
                state.route(node), state.term, previous, previous_term, entries, log.commit
            ),
        )

    # --- the leader hears ------------------------------------------------------------------------

    def answered(self, now: float, sender: NodeId, message: Appended) -> None:
        """A member agrees up to an index."""
        progress = self._heard(now, sender)
        if progress is not None:
            assert message.index <= self._state.log.last_index, "more than there is"
            progress.agreed(message.index)
            self._bring_up_to_date(now, sender, progress)

    def refused(self, now: float, sender: NodeId, message: AppendRefused) -> None:
        """A member's log is another there: go back to where it may agree."""
        progress = self._heard(now, sender)
        if progress is not None:
            agree = self._state.log.last_not_above(message.hint_index, message.hint_term)
            if progress.refused(message.index, agree + 1):
                self._bring_up_to_date(now, sender, progress)

    def heartbeat_answered(self, now: float, sender: NodeId, message: HeartbeatAnswer) -> None:
        """A member is there; if it is behind and nothing is on its way, something was lost."""
        progress = self._heard(now, sender)
        if progress is None:
            return
        progress.read = max(progress.read, message.read)
        is_quiet = now - progress.sent_at >= self._state.timing.heartbeat_s
        if progress.phase is Phase.SNAPSHOT:
            self._snapshotting.repeat(now, sender, progress)
        elif progress.match < self._state.log.last_index and is_quiet:
            self._send_entries(now, sender, progress, is_probe=True)

    def _heard(self, now: float, sender: NodeId) -> Progress | None:
        progress = self._state.progress.get(sender)
        if progress is not None:
            progress.heard_at = now
        return progress

    def commit(self) -> bool:
        """Commit what majorities have; return whether that is anything new."""
        state, log = self._state, self._state.log
        reached = {node: progress.match for node, progress in state.progress.items()}
        reached[state.me] = log.durable
        index = state.configuration.agreed(reached)
        if index <= log.commit or log.term_at(index) != state.term:
            return False
        log.committed_to(index)
        return True

    # --- the follower ----------------------------------------------------------------------------

    def appended(self, now: float, sender: NodeId, message: AppendEntries) -> None:
        """A leader sends entries."""
        state, log = self._state, self._state.log
        if not self.accept(now, sender, message):
            state.answer(sender, AppendRefused(state.route(sender), state.term, 0, 0, 0))
            return
        previous = message.previous_index
        if previous < log.commit:
            # Late, or compacted away here: what is committed agrees with any leader.
            kept = tuple(each for each in message.entries if each.index > log.commit)
            previous = log.commit
        elif log.term_at(previous) == message.previous_term:
            kept = message.entries
        else:
            hint = log.last_not_above(previous, message.previous_term)
            state.answer(
                sender,
                AppendRefused(
                    state.route(sender), state.term, previous, hint, log.term_at(hint) or 0
                ),
            )
            return
        state.take(kept)
        agreed = previous + len(kept)
        if message.commit > log.commit:
            log.committed_to(max(log.commit, min(message.commit, agreed)))
        state.promise(sender, Appended(state.route(sender), state.term, agreed))

    def heartbeat(self, now: float, sender: NodeId, message: Heartbeat) -> None:
        """A leader says that it leads."""
        state = self._state
        is_followed = self.accept(now, sender, message)
        if is_followed and message.commit > state.log.last_index:
            return  # what a machine with a copy of this disk has acknowledged; one will give way
        if is_followed and message.commit > state.log.commit:
            state.log.committed_to(message.commit)
        if is_followed and not message.is_question:
            return
        state.answer(sender, HeartbeatAnswer(state.route(sender), state.term, message.read))

    def accept(
        self, now: float, sender: NodeId, message: AppendEntries | Heartbeat | InstallSnapshot
    ) -> bool:
        """Follow whoever leads a term that is not over; return False if it is."""
        state, term = self._state, message.term
        state.join_log(message.route.founder, message.route.generation)
        if term < state.term:
            return False
        assert not (term == state.term and state.is_leader), "two leaders in one term"
        if term == state.term and state.role is Role.FOLLOWER and state.leader == sender:
            state.heard_at = now
            state.postpone_election(now)
        else:
            assert term > state.term or state.leader in (None, sender), "two leaders in one term"
            state.follow(now, term, sender)
        return True
