"""All that three cores can do in twelve steps, of a few kinds each, breaks no invariant; and the
same search finds bugs that are put in."""

import pytest

from simulations.checkers.raft import Broken
from tests.consensus.exhaustive import QUICK, Search
from tests.consensus.known_bugs import MUTANTS


@pytest.mark.parametrize("name", QUICK)
def test_nothing_that_can_happen_breaks_an_invariant(name: str) -> None:
    search = Search(QUICK[name])
    search.run()
    assert search.deaths == 0, "no assertion of the core fails either"
    assert search.states > 600
    assert search.deepest >= 10, "twelve steps, or nothing was left to do"


@pytest.mark.parametrize(
    ("scope", "number", "invariant"),
    [("changes", 1, "I10"), ("replication", 5, "I6"), ("changes", 11, "I6")],
)
def test_a_known_bug_is_found(scope: str, number: int, invariant: str) -> None:
    search = Search(QUICK[scope])
    with MUTANTS[number - 1].apply(), pytest.raises(Broken) as found:
        search.run()
    assert found.value.invariant == invariant
