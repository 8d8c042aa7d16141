"""Each of I1 to I14 as a checker over records: a right history passes, each wrong one is caught.

The records are written by hand (tale.py, and wrong_histories.py for the wrong ones);
`nanoboost.consensus.chronicle` writes the real ones.
"""

import json
from collections.abc import Sequence

import pytest

from nanoboost.consensus.chronicle import Facts, beginning, written
from nanoboost.consensus.effects import Persist
from nanoboost.consensus.messages import NOBODY_YET, Entry, HardState, Snapshot
from nanoboost.consensus.state import Stored
from simulations.checkers.frontiers import must_be_closed
from simulations.checkers.raft import INVARIANTS, Broken, RaftHolds
from tests.consensus.bench import noop, record
from tests.consensus.tale import (
    ALL,
    ALONE,
    BASE,
    SNAPSHOT,
    A,
    B,
    C,
    D,
    Tale,
    change,
    job_with,
    state_of,
)
from tests.consensus.wrong_histories import WRONG, Wrong


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


def test_facts_are_plain_json() -> None:
    facts: Facts = {"begins": beginning(A, BASE)}
    persist = Persist(1, state_of(2), SNAPSHOT, (noop(2, 2), change(3, 4, ALL)), 2, 3)
    facts["writes"] = written(persist)
    assert json.loads(json.dumps(facts)) == facts
