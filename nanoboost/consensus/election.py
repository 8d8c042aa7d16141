"""Elections: who stands, who is voted for, and when nobody should.

**At most one leader a term: a node votes once in a term, durably before it says so, and only for a
log that has all that its own has.**  PreVote: a node first asks whether it could win, which changes
nothing, so a node that was cut off deposes nobody when it returns.  Stickiness: who has heard a
leader lately refuses both kinds of vote.  A refusal carries the refuser's term, so a node that
fell behind in terms learns of it and no election is stuck.

A candidate asks for votes only when its own term, vote and log are durable: a vote for a log that a
power cut then shortened could elect, in the same term, a node without committed entries.

Strangers get votes too, if their log is good enough: a voter that lags behind may not know yet that
the candidate has become one.  Whose votes count is for the candidate's configuration to say.
"""

from collections.abc import Callable

from nanoboost.consensus.messages import NOBODY_YET, RequestVote, TimeoutNow, Vote
from nanoboost.consensus.quorum import Ballot
from nanoboost.consensus.state import Role, State
from nanoboost.ids import NodeId


class Election:
    """One node's part in elections.  `won(now)` is called when it has been elected."""

    def __init__(self, state: State, won: Callable[[float], None]) -> None:
        self._state = state
        self._won = won
        self._votes: dict[NodeId, bool] = {}
        self._is_transfer = False

    # --- standing --------------------------------------------------------------------------------

    def timed_out(self, now: float) -> None:
        """No leader was heard, or no election won, for as long as this node waits."""
        state = self._state
        overslept_s = now - state.election_due
        state.postpone_election(now)
        if overslept_s > state.timing.election_s_min:
            return  # this process did not run: what the leader said may lie unread in a socket
        state.leader = None
        if state.role is not Role.FOLLOWER:
            state.follow(now, state.term, None)
        if self._may_stand(now):
            self._ask(now)

    def gone(self, now: float, node: NodeId) -> None:
        """The process of `node` is gone.  If it led, nobody need wait for its silence; but not all
        at once, or votes are split."""
        state = self._state
        if state.leader == node and not state.is_leader:
            state.leader = None
            self._hurry(now)

    def told_to_stand(self, now: float, sender: NodeId, message: TimeoutNow) -> None:
        """The leader hands over: no pre-vote, and voters need not protect it."""
        state = self._state
        if message.term == state.term and state.leader == sender and self._may_stand(now):
            self._stand(now, is_transfer=True)

    def _may_stand(self, now: float) -> bool:
        """A node whose disk is stalled could not lead, and one that is leaving should not."""
        state = self._state
        if state.is_leader or not state.may_campaign:
            return False
        if state.is_leaving and not state.is_alone:
            return False
        return not state.durability.is_stalled(now, state.timing.election_s_max)

    def _ask(self, now: float) -> None:
        """Would they vote for this node?"""
        state = self._state
        state.role = Role.PRE_CANDIDATE
        self._votes = {state.me: True}
        for node in state.configuration.members:
            if node != state.me and state.configuration.is_voter(node):
                state.send(node, self._request(node, is_pre=True))
        self._count(now)

    def _stand(self, now: float, *, is_transfer: bool) -> None:
        state = self._state
        state.counters.elections_started += 1
        state.follow(now, state.term + 1, None)
        state.role = Role.CANDIDATE
        state.vote = state.me
        state.postpone_election(now)
        self._votes = {}
        self._is_transfer = is_transfer
        for node in state.configuration.members:
            if node == state.me:
                state.promise(node, Vote(state.route(node), state.term, True, False))
            elif state.configuration.is_voter(node):
                state.promise(node, self._request(node, is_pre=False))

    def _request(self, node: NodeId, *, is_pre: bool) -> RequestVote:
        state = self._state
        return RequestVote(
            state.route(node),
            state.term + 1 if is_pre else state.term,
            state.log.last_index,
            state.log.last_term,
            is_pre,
            not is_pre and self._is_transfer,
        )

    # --- voting ----------------------------------------------------------------------------------

    def asked(self, now: float, sender: NodeId, message: RequestVote) -> None:
        """Somebody wants this node's vote."""
        state = self._state
        is_good = state.log.is_up_to_date(message.last_index, message.last_term)
        if state.is_protected(now) and not message.is_transfer:
            self._refuse(sender, message)
        elif message.is_pre:
            if is_good and message.term > state.term:
                state.send(sender, Vote(state.route(sender), message.term, True, True))
            else:
                self._refuse(sender, message)
        elif message.term < state.term:
            self._refuse(sender, message)
        else:
            if message.term > state.term:
                state.follow(now, message.term, None)
            if is_good and state.vote in (NOBODY_YET, sender):
                state.vote = sender
                state.postpone_election(now)
                state.promise(sender, Vote(state.route(sender), state.term, True, False))
            else:
                self._refuse(sender, message)

    def _refuse(self, sender: NodeId, message: RequestVote) -> None:
        state = self._state
        state.counters.pre_votes_rejected += message.is_pre
        state.answer(sender, Vote(state.route(sender), state.term, False, message.is_pre))

    # --- counting --------------------------------------------------------------------------------

    def answered(self, now: float, sender: NodeId, message: Vote) -> None:
        """A vote has come in, from another node or, now that it is durable, from this one."""
        state = self._state
        if message.term > state.term and not (message.is_pre and message.is_granted):
            state.follow(now, message.term, None)
            return
        wanted = Role.PRE_CANDIDATE if message.is_pre else Role.CANDIDATE
        if state.role is not wanted:
            return
        asked_for = state.term + 1 if message.is_pre else state.term
        if message.is_granted and message.term != asked_for:
            return
        if not message.is_granted and message.term != state.term:
            return
        if state.role is Role.CANDIDATE and not message.is_granted and sender not in self._votes:
            # Another stood at the same time.  If it has won, it is heard before this is over; if
            # votes are split, nobody need wait for the silence of a leader that there is not.
            self._hurry(now)
        self._votes.setdefault(sender, message.is_granted)
        self._count(now)

    def _hurry(self, now: float) -> None:
        state = self._state
        wait_s = state.timing.election_s_min / 2 * state.rng.random()
        state.election_due = min(state.election_due, now + wait_s)

    def _count(self, now: float) -> None:
        state = self._state
        result = state.configuration.ballot(self._votes)
        if result is Ballot.LOST:
            state.role = Role.FOLLOWER
        elif result is Ballot.WON:
            if state.role is Role.PRE_CANDIDATE:
                self._stand(now, is_transfer=False)
            else:
                self._won(now)
