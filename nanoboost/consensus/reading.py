"""ReadIndex: when may a leader answer from its own state?  (Thesis, 6.4; no clock is trusted.)

**A read sees all that was committed before it was asked.**  The leader notes its commit index (once
an entry of its own term is committed: before, it does not know what is), then a round of heartbeats
proves that it still leads, and then it waits until it has applied that far.
"""

from collections.abc import Callable

from attrs import define

from nanoboost.consensus.effects import ReadReady, ReadRefused
from nanoboost.consensus.state import State


@define
class _Read:
    """One question.  `round` 0: not numbered yet, for nothing of this term is committed."""

    ticket: int
    round: int = 0
    index: int = 0


class Reading:
    """The reads that wait.  `beat(now)` sends heartbeats at once."""

    def __init__(self, state: State, beat: Callable[[float], None]) -> None:
        self._state = state
        self._beat = beat
        self._reads: list[_Read] = []
        self.round = 0
        """The latest round; heartbeats carry it."""

    def asked(self, ticket: int) -> None:
        """A read begins."""
        if self._state.is_leader:
            self._reads.append(_Read(ticket))
        else:
            self._state.outbox.append(ReadRefused(ticket))

    def proceed(self, now: float) -> None:
        """Number, confirm and answer what can be."""
        if not self._reads:
            return
        state = self._state
        if not state.is_leader:
            self._refuse_all()
            return
        if state.has_committed_in_term:
            fresh = [read for read in self._reads if not read.round]
            if fresh:
                self.round += 1
                for read in fresh:
                    read.round, read.index = self.round, state.log.commit
                self._beat(now)
        waiting = []
        for read in self._reads:
            if read.round and self._is_confirmed(read.round) and state.log.applied >= read.index:
                state.outbox.append(ReadReady(read.ticket))
            else:
                waiting.append(read)
        self._reads = waiting

    def _is_confirmed(self, number: int) -> bool:
        state = self._state
        present = {node for node, found in state.progress.items() if found.read >= number}
        return state.configuration.has_quorum({*present, state.me})

    def _refuse_all(self) -> None:
        self._state.outbox.extend(ReadRefused(read.ticket) for read in self._reads)
        self._reads = []
