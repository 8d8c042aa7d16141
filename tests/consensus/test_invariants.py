"""Each of I1 to I14 as a checker over records: a right history passes, each wrong one is caught.

The records here are written by hand; `nanoboost.consensus.chronicle` writes the real ones.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from nanoboost.consensus.chronicle import Facts, beginning, written
from nanoboost.consensus.effects import Persist
from nanoboost.consensus.leadership import UNCOMMITTED_BYTES_MAX
from nanoboost.consensus.membership import Configuration
from nanoboost.consensus.messages import NOBODY_YET, Entry, EntryKind, HardState, Snapshot
from nanoboost.consensus.progress import INFLIGHT_MAX
from nanoboost.consensus.state import Stored
from nanoboost.frontier import Frontier
from nanoboost.ids import Attempt, JobId, NodeId, TaskId
from nanoboost.plan import Plan
from nanoboost.wire.messages import JobState
from nanoboost.wire.records import JobEntry, JobSubmitted
from simulations.checkers.frontiers import must_be_closed
from simulations.checkers.raft import INVARIANTS, Broken, RaftHolds
from simulations.stage.jobs import film

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


def noop(index: int, term: int) -> Entry:
    return Entry(index, term, EntryKind.NOOP, b"")


def record(index: int, term: int, data: bytes) -> Entry:
    return Entry(index, term, EntryKind.RECORD, data)


def change(index: int, term: int, configuration: Configuration) -> Entry:
    return Entry(index, term, EntryKind.CONFIGURATION, configuration.encode())


def state_of(term: int, vote: NodeId = NOBODY_YET) -> HardState:
    return HardState(term, vote, A, 1)


def test_a_right_history_breaks_nothing_and_is_looked_at() -> None:
    tale = Tale().committed()
    tale.tell(A, asked=1)
    tale.tell(A, read=[1], states=[[2, 77]])
    tale.tell(B, states=[[2, 77]])
    tale.writes(C, noop(2, 2), hard_state=state_of(2))
    tale.tell(C, commit=2, applied=2)
    joint = ALL.changed_to((A, B, D), ())
    tale.writes(A, change(3, 2, joint), effective=[3, [A, B, D], [A, B, C], []])
    tale.holds.nodes.pop("node c")  # what follows concerns the others
    seen = {name for name in INVARIANTS if tale.holds.checked.get(name)}
    assert seen == {"I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I10", "I11", "I12"}


def test_all_at_rest_breaks_nothing() -> None:
    tale = Tale().committed()
    tale.writes(C, noop(2, 2), hard_state=state_of(2))
    tale.tell(C, commit=2, applied=2)
    tale.holds.rest()


# --- what is wrong, and which invariant says so ---------------------------------------------------

Wrong = Callable[[], None]
WRONG: list[tuple[str, str, Wrong]] = []


def wrong(invariant: str, what: str) -> Callable[[Wrong], Wrong]:
    def register(tell: Wrong) -> Wrong:
        WRONG.append((invariant, what, tell))
        return tell

    return register


@wrong("I1", "two leaders in term 2")
def _() -> None:
    tale = Tale().led_by_a()
    tale.writes(C, hard_state=state_of(2, C))
    tale.tell(C, leads=2)


@wrong("I1", "leads term 2 without a quorum's votes")
def _() -> None:
    tale = Tale()
    tale.votes(2, A, A)
    tale.tell(A, leads=2)


@wrong("I1", "leads term 2 without a quorum's votes")
def _() -> None:
    """The votes of a majority of the new voters only."""
    tale = Tale()
    for node in (A, B, C):
        tale.writes(node, change(2, 1, ALL.changed_to((C,), ())))
    tale.votes(2, C, C, last=2)
    tale.tell(C, leads=2)


@wrong("I2", "goes back from term 3 to 2|forgets its term")
def _() -> None:
    tale = Tale()
    tale.writes(A, hard_state=state_of(3))
    tale.writes(A, hard_state=state_of(2))


@wrong("I2", "votes twice in term 2")
def _() -> None:
    tale = Tale()
    tale.writes(A, hard_state=state_of(2, B))
    tale.writes(A, hard_state=state_of(2, C))


@wrong("I3", "two entries 2 of term 2")
def _() -> None:
    tale = Tale().led_by_a()
    tale.writes(B, record(2, 2, b"another"))


@wrong("I3", "before entry 3 of term 2 lie two histories")
def _() -> None:
    tale = Tale().led_by_a()
    tale.writes(A, record(3, 2, b"x"))
    tale.writes(B, noop(2, 1))
    tale.writes(B, record(3, 2, b"x"))


@wrong("I4", "entry 2 was committed as another")
def _() -> None:
    tale = Tale().committed()
    tale.writes(C, noop(2, 1))
    tale.tell(C, commit=2)


@wrong("I4", "cuts what it committed")
def _() -> None:
    tale = Tale().committed()
    tale.writes(A, last=1)


@wrong("I5", "which leads, lacks entry 2")
def _() -> None:
    tale = Tale().led_by_a()
    tale.writes(B, noop(2, 2))
    tale.tell(A, commit=2)  # and nobody was told
    tale.votes(3, C, B, C, last=1)
    tale.tell(C, leads=3)


@wrong("I5", "lacks entry 2 and could be elected")
def _() -> None:
    tale = Tale().led_by_a()
    tale.writes(C, noop(2, 3), hard_state=state_of(3))
    tale.writes(B, noop(2, 2))
    tale.tell(A, commit=2)


@wrong("I6", "entry 2 is committed and not durable on a quorum")
def _() -> None:
    tale = Tale().led_by_a()
    tale.writes(B, noop(2, 2), is_synced=False)
    tale.tell(A, commit=2)


@wrong("I6", "entry 3 is committed and not durable on a quorum")
def _() -> None:
    """A majority of one half of a joint configuration only."""
    tale = Tale().committed()
    joint = change(3, 2, Configuration((D,), (A, B, C)))
    tale.tell(D, begins=beginning(D, BASE))
    for node in (A, B):
        tale.writes(node, joint)
    tale.tell(A, commit=3)


@wrong("I6", "commits entry 2 before any leader")
def _() -> None:
    tale = Tale().led_by_a()
    tale.writes(B, noop(2, 2))
    tale.tell(B, commit=2)


@wrong("I6", "commits beyond its log")
def _() -> None:
    Tale().tell(B, commit=2)


@wrong("I6", "cuts off what it has acknowledged in term 2")
def _() -> None:
    tale = Tale().led_by_a()
    tale.writes(B, noop(2, 2), hard_state=state_of(2, A))
    tale.tell(B, says=[["has", A, 2, 2]])
    tale.writes(B, last=1)


@wrong("I7", "gives a vote before it is durable")
def _() -> None:
    tale = Tale()
    tale.writes(B, hard_state=state_of(2))
    tale.writes(B, hard_state=state_of(2, A), is_synced=False)
    tale.tell(B, says=[["votes", A, 2, 0]])


@wrong("I7", "tells a term before it is durable")
def _() -> None:
    tale = Tale()
    tale.writes(B, hard_state=state_of(2, A), is_synced=False)
    tale.tell(B, says=[["votes", A, 2, 0]])


@wrong("I7", "acknowledges entries that are not durable")
def _() -> None:
    tale = Tale().led_by_a()
    tale.writes(B, noop(2, 2), is_synced=False)
    tale.tell(B, says=[["has", A, 2, 2]])


@wrong("I7", "a candidate's vote or log is not durable")
def _() -> None:
    tale = Tale()
    tale.writes(A, noop(2, 1), is_synced=False, hard_state=state_of(1))
    tale.writes(C, hard_state=state_of(2, C))
    tale.tell(C, says=[["asks as told", A, 2, 2]])


@wrong("I7", "leads a term that is not durable")
def _() -> None:
    tale = Tale()
    tale.writes(A, hard_state=state_of(2, A), is_synced=False)
    tale.tell(A, leads=2)


@wrong("I7", "applies what is not durable there")
def _() -> None:
    tale = Tale().committed()
    tale.writes(C, noop(2, 2), is_synced=False)
    tale.tell(C, commit=2, applied=2)


@wrong("I7", "starts without what was durable")
def _() -> None:
    tale = Tale().committed()
    tale.tell(B, begins=beginning(B, BASE))


@wrong("I7", "starts without what was durable")
def _() -> None:
    """The right length, other entries."""
    tale = Tale().committed()
    hard_state = HardState(2, A, A, 1)
    tale.tell(B, begins=beginning(B, Stored(hard_state, SNAPSHOT, (record(2, 2, b"rot"),))))


@wrong("I8", "the state at 2 is another one")
def _() -> None:
    tale = Tale().committed()
    tale.tell(A, states=[[2, 77]])
    tale.tell(B, states=[[2, 78]])


@wrong("I8", "the state at 2 is another one")
def _() -> None:
    tale = Tale().committed()
    tale.tell(A, states=[[2, 77]])
    tale.writes(B, first=3, last=2, snapshot=Snapshot(2, 2, ALL, b"wrong"))


@wrong("I8", "has a snapshot of what is not committed")
def _() -> None:
    tale = Tale().committed()
    tale.writes(B, first=4, last=3, snapshot=Snapshot(3, 2, ALL, b"early"))


@wrong("I8", "applies what is not committed")
def _() -> None:
    tale = Tale().led_by_a()
    tale.tell(A, applied=2)


@wrong("I9", "task 1 is finished and its parent 0 is not")
def _() -> None:
    must_be_closed(*job_with(1))


@wrong("I10", "a change before an entry of the leader's own term is committed")
def _() -> None:
    tale = Tale().led_by_a()
    tale.writes(A, change(3, 2, ALL.changed_to((A, B, D), ())))


@wrong("I10", "a change while another is not committed")
def _() -> None:
    tale = Tale().committed()
    tale.writes(A, change(3, 2, Configuration((A, B, C), (), (D,))))
    tale.writes(A, change(4, 2, ALL))


@wrong("I10", "two neighbours among the configurations can decide apart")
def _() -> None:
    tale = Tale().committed()
    tale.writes(A, change(3, 2, ALONE))


@wrong("I10", "the configuration in force is not in the log")
def _() -> None:
    tale = Tale().committed()
    tale.tell(B, effective=[3, [D], [], []])


@wrong("I10", "a snapshot's configuration is not its")
def _() -> None:
    tale = Tale().committed()
    joint = change(3, 2, ALL.changed_to((A, B, D), ()))
    for node in (A, B):
        tale.writes(node, joint)
    tale.tell(D, begins=beginning(D, BASE))
    tale.writes(D, noop(2, 2), joint)
    tale.tell(A, commit=3)
    tale.writes(A, first=4, last=3, snapshot=Snapshot(3, 2, ALL, b"old"))


@wrong("I11", "lacks entry 2, which is committed and acknowledged")
def _() -> None:
    tale = Tale().committed()
    tale.votes(3, C, B, last=2)
    tale.votes(3, C, C)
    tale.tell(C, leads=3)


@wrong("I12", "answers a stale read")
def _() -> None:
    tale = Tale().committed()
    tale.tell(C, asked=5)
    tale.tell(C, read=[5])


@wrong("I13", "has too much uncommitted")
def _() -> None:
    tale = Tale().led_by_a()
    tale.writes(A, record(3, 2, b"x"), open=UNCOMMITTED_BYTES_MAX * 2, flight=1)


@wrong("I13", "has too many messages on their way")
def _() -> None:
    tale = Tale().led_by_a()
    tale.writes(A, record(3, 2, b"x"), open=100, flight=INFLIGHT_MAX + 1)


@wrong("I14", "stands for election without a quorum of pre-votes")
def _() -> None:
    tale = Tale()
    tale.writes(A, hard_state=state_of(2, A))
    tale.tell(B, says=[["would vote", C, 2, 0]])
    tale.tell(A, says=[["asks", B, 2, 1]])


@wrong("I14", "nobody leads")
def _() -> None:
    tale = Tale().committed()
    tale.tell(A, leads=0)
    tale.holds.rest()


@wrong("I14", "does not come to have what is committed")
def _() -> None:
    Tale().committed().holds.rest()


@wrong("I14", "a change of the configuration is under way")
def _() -> None:
    tale = Tale().committed()
    tale.writes(A, change(3, 2, ALL.changed_to((A, B, D), ())))
    tale.holds.rest()


@pytest.mark.parametrize(
    ("invariant", "what", "tell"), WRONG, ids=[f"{name}: {what}" for name, what, _ in WRONG]
)
def test_a_wrong_history_is_caught(invariant: str, what: str, tell: Wrong) -> None:
    with pytest.raises(Exception, match=what) as found:
        tell()
    assert getattr(found.value, "code", None) == invariant


def test_every_invariant_has_a_control() -> None:
    assert {invariant for invariant, _, _ in WRONG} == set(INVARIANTS)


# --- what is not known ----------------------------------------------------------------------------


def test_of_nodes_without_records_nothing_is_claimed() -> None:
    holds = RaftHolds()
    tale = Tale()
    tale.holds = holds
    tale.tell(A, begins=beginning(A, BASE))
    tale.tell(B, commit=9)  # B's records begin in the middle
    tale.writes(A, hard_state=state_of(2, A))
    tale.tell(A, leads=2)
    tale.writes(A, noop(2, 2))
    tale.tell(A, commit=2, applied=2)
    assert (holds.skipped["I1"], holds.skipped["I6"]) == (1, 1)


def test_without_a_common_clock_only_what_needs_no_order_is_claimed() -> None:
    tale = Tale()
    tale.holds.is_ordered = False
    tale.writes(B, noop(2, 2), hard_state=state_of(2, A))
    tale.tell(B, commit=2)  # the leader's records come later
    tale.writes(A, hard_state=state_of(2, A))
    tale.tell(A, leads=2)
    tale.writes(A, noop(2, 2))
    tale.tell(A, commit=2, applied=2)
    with pytest.raises(Broken, match="I3"):
        tale.writes(C, record(2, 2, b"another"))


def test_a_node_may_start_with_a_part_of_what_it_was_writing() -> None:
    for kept in range(3):
        tale = Tale().led_by_a()
        entries: Sequence[Entry] = [noop(2, 2), record(3, 2, b"x")]
        tale.writes(B, entries[0], is_synced=False)
        tale.writes(B, entries[1], is_synced=False)
        stored = Stored(HardState(2, A, A, 1), SNAPSHOT, tuple(entries[:kept]))
        tale.tell(B, begins=beginning(B, stored))
        assert tale.holds.nodes["node b"].disk.last == 1 + kept


def test_a_recovered_node_begins_another_chapter() -> None:
    tale = Tale().committed()
    recovered = Stored(HardState(5, NOBODY_YET, A, 2), Snapshot(9, 4, ALONE, b"all"), ())
    tale.tell(A, begins=beginning(A, recovered))
    assert tale.holds.chapters["a" * 16, 2].top == 9


def test_a_frontier_with_all_parents_is_closed() -> None:
    must_be_closed(*job_with(0, 1))


def job_with(*done: int) -> tuple[JobEntry, Plan]:
    """A job of which these tasks are done, and its plan: task 1 depends on task 0."""
    plan = film(2)
    frontier = Frontier.empty(len(plan.tasks))
    for task in done:
        frontier.finish(TaskId(task), Attempt(1, 1))
    submitted = JobSubmitted(JobId("j"), "Film", "p", "c", 0, len(plan.tasks))
    return JobEntry(submitted, JobState.RUNNING, "", frontier.encode()), plan


def test_facts_are_plain_json() -> None:
    facts: Facts = {"begins": beginning(A, BASE)}
    persist = Persist(1, state_of(2), SNAPSHOT, (noop(2, 2), change(3, 4, ALL)), 2, 3)
    facts["writes"] = written(persist)
    assert json.loads(json.dumps(facts)) == facts
