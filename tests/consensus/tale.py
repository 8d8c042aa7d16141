"""A history that is told by hand: what three nodes would have written about themselves."""

from typing import Any

from nanoboost.consensus.chronicle import beginning, written
from nanoboost.consensus.effects import Persist
from nanoboost.consensus.membership import Configuration
from nanoboost.consensus.messages import NOBODY_YET, Entry, EntryKind, HardState, Snapshot
from nanoboost.consensus.state import Stored
from nanoboost.frontier import Frontier
from nanoboost.ids import Attempt, JobId, NodeId, TaskId
from nanoboost.plan import Plan
from nanoboost.wire.messages import JobState
from nanoboost.wire.records import JobEntry, JobSubmitted
from simulations.checkers.raft import RaftHolds
from simulations.stage.jobs import film
from tests.consensus.bench import noop

A, B, C, D = (NodeId(name * 16) for name in "abcd")
ALL = Configuration((A, B, C))
ALONE = Configuration((D,))
SNAPSHOT = Snapshot(1, 1, ALL, b"state")
BASE = Stored(HardState(1, NOBODY_YET, A, 1), SNAPSHOT, ())
"""Where all three begin: one entry, behind a snapshot."""


class Tale:
    """A history that is told."""

    def __init__(self) -> None:
        self.holds = RaftHolds()
        self._token = 0
        for node in (A, B, C):
            self.tell(node, begins=beginning(node, BASE))

    def tell(self, node: NodeId, **facts: Any) -> None:
        self.holds.take(f"node {node[0]}", facts)

    def writes(
        self,
        node: NodeId,
        *entries: Entry,
        last: int = 1,
        hard_state: HardState | None = None,
        snapshot: Snapshot | None = None,
        first: int = 2,
        is_synced: bool = True,
        **more: Any,
    ) -> None:
        """A `Persist`, which is durable in the next record unless it is not to be."""
        self._token += 1
        last = entries[-1].index if entries else last
        persist = Persist(self._token, hard_state, snapshot, entries, first, last)
        self.tell(node, writes=written(persist), **more)
        if is_synced:
            self.tell(node, synced=self._token)

    def votes(self, term: int, candidate: NodeId, *voters: NodeId, last: int = 1) -> None:
        for voter in voters:
            self.writes(voter, hard_state=HardState(term, candidate, A, 1), last=last)
            if voter != candidate:
                self.tell(voter, says=[["votes", candidate, term, 0]])

    def led_by_a(self) -> "Tale":
        """A leads term 2, by the votes of A and B; its first entry is not committed yet."""
        self.votes(2, A, A, B)
        self.tell(A, leads=2)
        self.writes(A, noop(2, 2))
        return self

    def committed(self) -> "Tale":
        """Entry 2 is durable at A and B, committed, applied, and known to B."""
        self.led_by_a()
        self.writes(B, noop(2, 2))
        self.tell(B, says=[["has", A, 2, 2]])
        self.tell(A, commit=2, applied=2)
        self.tell(B, commit=2, applied=2)
        return self


def change(index: int, term: int, configuration: Configuration) -> Entry:
    return Entry(index, term, EntryKind.CONFIGURATION, configuration.encode())


def state_of(term: int, vote: NodeId = NOBODY_YET) -> HardState:
    return HardState(term, vote, A, 1)


def job_with(*done: int) -> tuple[JobEntry, Plan]:
    """A job of which these tasks are done, and its plan: task 1 depends on task 0."""
    plan = film(2)
    frontier = Frontier.empty(len(plan.tasks))
    for task in done:
        frontier.finish(TaskId(task), Attempt(1, 1))
    submitted = JobSubmitted(JobId("j"), "Film", "p", "c", 0, len(plan.tasks))
    return JobEntry(submitted, JobState.RUNNING, "", frontier.encode()), plan
