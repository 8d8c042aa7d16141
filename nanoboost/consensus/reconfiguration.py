"""Changing who takes part: one change at a time, always to its end.

**A leader begins a change only when an entry of its own term is committed and no other change is
under way, and only if the configuration is still the one that the change was decided on.**  Whoever
leads when a joint configuration is committed finishes it, whether it began it or inherited it.  A
leader that is not among the new voters leads until that is committed, and then goes.
"""

from attrs import evolve

from nanoboost.consensus.autopilot import Contact, Situation, desired_change
from nanoboost.consensus.counters import Loss
from nanoboost.consensus.leadership import Leadership
from nanoboost.consensus.membership import Change
from nanoboost.consensus.messages import EntryKind, LeaveDone
from nanoboost.consensus.progress import Phase
from nanoboost.consensus.replication import Replication
from nanoboost.consensus.state import State
from nanoboost.ids import NodeId

DEPARTING_S = 5.0
"""How long a wish to leave is remembered after it was last uttered; then gossip knows it too."""


class Reconfiguration:
    """A leader's changes of the configuration, and the autopilot that asks for them."""

    def __init__(self, state: State, replication: Replication, leadership: Leadership) -> None:
        self._state = state
        self._replication = replication
        self._leadership = leadership
        self._pilot_due = 0.0
        self._steady_since = 0.0
        self._departing: dict[NodeId, float] = {}

    def begin_term(self, now: float) -> None:
        """This node leads now."""
        self._steady_since = now
        self._pilot_due = now
        self._departing = {}

    # --- changes ---------------------------------------------------------------------------------

    def change(self, now: float, change: Change) -> bool:
        """Begin the change, if it may begin; return whether it did."""
        state = self._state
        if not self._is_free or change.previous_index != state.membership.effective_index:
            return False
        wanted = state.configuration.changed_to(change.voters, change.learners)
        if wanted == state.configuration:
            return False
        state.append(EntryKind.CONFIGURATION, wanted.encode())
        self._replication.follow_configuration(now)
        self._replication.spread(now)
        return True

    def proceed(self, now: float) -> None:
        """Something has been committed: finish a joint configuration, or go if it is done."""
        state = self._state
        if not state.has_committed_in_term or not state.is_configuration_committed:
            return
        if state.configuration.is_joint:
            state.append(EntryKind.CONFIGURATION, state.configuration.settled().encode())
            self._replication.follow_configuration(now)
            self._replication.spread(now)
            self._steady_since = now
        elif not state.configuration.is_voter(state.me):
            self._leadership.abdicate(now, Loss.REMOVED)

    @property
    def _is_free(self) -> bool:
        state = self._state
        return (
            state.has_committed_in_term
            and state.is_configuration_committed
            and not state.configuration.is_joint
            and state.transferring_to is None
        )

    # --- the autopilot ---------------------------------------------------------------------------

    def look(self, now: float) -> None:
        """See whether another configuration would be better; at each heartbeat, now and then."""
        state = self._state
        if now < self._pilot_due or not self._is_free or not state.peers:
            return
        self._pilot_due = now + state.timing.learner_add_s / 2
        self._departing = {
            node: at for node, at in self._departing.items() if now - at < DEPARTING_S
        }
        change = desired_change(now, state.timing, self._situation())
        if change is not None:
            self.change(now, change)

    def look_soon(self) -> None:
        """Something is new that the autopilot should know."""
        self._pilot_due = 0.0

    def _situation(self) -> Situation:
        state = self._state
        return Situation(
            state.me,
            state.configuration,
            state.membership.effective_index,
            state.log.last_index,
            {
                node: evolve(peer, eligible=False) if node in state.fenced else peer
                for node, peer in state.peers.items()
            },
            {
                node: Contact(each.match, each.phase is Phase.REPLICATE, each.heard_at)
                for node, each in state.progress.items()
            },
            self._departing,
            self._steady_since,
        )

    # --- who wants to go -------------------------------------------------------------------------

    def leave_asked(self, now: float, node: NodeId) -> None:
        """`node` (perhaps this one) wants to be taken out; tell it when it is."""
        state = self._state
        self._departing[node] = now
        if state.configuration.part(node) or not self._is_free:
            self.look_soon()
        elif node != state.me:
            state.send(node, LeaveDone(state.route(node), state.term))
