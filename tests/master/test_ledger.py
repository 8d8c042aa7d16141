"""What is owed to agents, and what one commit is enough for."""

from nanoboost.ids import Attempt, AttemptKey, JobId, NodeId, TaskId
from nanoboost.master.ledger import Ledger

TASK = TaskId(10)
ONE, OTHER = NodeId("one"), NodeId("other")


def key(term: int) -> AttemptKey:
    return AttemptKey(JobId("film"), TASK, Attempt(term, 1))


def test_a_needless_result_waits_for_the_commit_that_is_under_way_and_for_no_other() -> None:
    """Or the winner, told again, would be called finished once more (`monkey --seed 69`)."""
    ledger = Ledger()
    ledger.owe(TASK, ONE, key(2))
    ledger.propose(0.0, b"", 0.02)
    ledger.join(TASK, OTHER, key(3))
    ledger.join(TASK, ONE, key(2))
    assert ledger.committed() == {TASK: [(ONE, key(2)), (OTHER, key(3))]}
    assert not ledger.is_owed(TASK)
    assert ledger.due_at is None


def test_a_needless_result_waits_for_a_winner_that_is_in_no_frontier_yet() -> None:
    ledger = Ledger()
    ledger.owe(TASK, ONE, key(2))  # a failure was counted,
    ledger.propose(0.0, b"", 0.02)
    ledger.owe(TASK, ONE, key(4))  # and while that is under way another attempt wins
    ledger.join(TASK, OTHER, key(3))
    assert ledger.committed() == {TASK: [(ONE, key(2))]}
    assert ledger.is_owed(TASK)
    ledger.propose(1.0, b"", 0.02)
    assert ledger.committed() == {TASK: [(ONE, key(4)), (OTHER, key(3))]}
