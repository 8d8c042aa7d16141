"""How this node gets out of the configuration when it leaves.

**It waits, but never for long**: a bounded time, and not at all where nobody could take over.
"""

from nanoboost.consensus.effects import LeaveFinished
from nanoboost.consensus.messages import LeaveRequest
from nanoboost.consensus.reconfiguration import Reconfiguration
from nanoboost.consensus.state import State

LEAVE_S_MAX = 5.0
ASK_BEATS = 3
"""The wish is repeated every third heartbeat until it is granted."""


class Departure:
    """This node's own leaving; whether it has begun is `State.is_leaving`."""

    def __init__(self, state: State, reconfiguration: Reconfiguration) -> None:
        self._state = state
        self._reconfiguration = reconfiguration
        self._until = 0.0
        self._ask_due = 0.0
        self._is_out = False
        self._is_over = False

    @property
    def deadline(self) -> float | None:
        """When to ask again."""
        if not self._state.is_leaving or self._is_over:
            return None
        return min(self._ask_due, self._until)

    def begin(self, now: float) -> None:
        """Leave."""
        if self._is_over:
            self._state.outbox.append(LeaveFinished())
        elif not self._state.is_leaving:
            self._state.is_leaving = True
            self._until = now + LEAVE_S_MAX
            self._ask_due = now

    def granted(self) -> None:
        """The leader says that this node is out."""
        self._is_out = True

    def proceed(self, now: float) -> None:
        """Ask, or finish."""
        state = self._state
        if not state.is_leaving or self._is_over:
            return
        if now >= self._until or self._is_out or self._is_no_member or self._has_no_heir:
            self._is_over = True
            state.outbox.append(LeaveFinished())
        elif now >= self._ask_due:
            self._ask_due = now + ASK_BEATS * state.timing.heartbeat_s
            if state.is_leader:
                self._reconfiguration.leave_asked(now, state.me)
            elif state.leader is not None:
                state.send(state.leader, LeaveRequest(state.route(state.leader), state.term))

    @property
    def _is_no_member(self) -> bool:
        state = self._state
        return state.is_configuration_committed and not state.configuration.part(state.me)

    @property
    def _has_no_heir(self) -> bool:
        state = self._state
        others = [node for node, peer in state.peers.items() if peer.is_live and node != state.me]
        return state.is_alone and not others
