"""Each of the fifteen known bugs is found, by a named invariant and not by its own crash.

The seeds are those that the hunt found first (`python -m tests.consensus.mutants`); a change of the
storms may move them, then hunt anew.
"""

import pytest

from simulations.checkers.raft import Broken
from tests.consensus.mutants import MUTANTS
from tests.consensus.storms import storm

FIRST_SEED = {
    1: (7, "I10"),
    2: (78, "I5"),
    3: (15, "I4"),
    4: (15, "I4"),
    5: (0, "I6"),
    6: (191, "I12"),
    7: (0, "I1"),
    8: (2, "I1"),
    9: (2, "I10"),
    10: (12, "I10"),
    11: (0, "I6"),
    12: (9, "I8"),
    13: (29, "I12"),
    14: (2, "I14"),
    15: (37, "I6"),
}


def test_the_list_is_complete() -> None:
    assert [each.number for each in MUTANTS] == list(range(1, 16))
    assert set(FIRST_SEED) == set(range(1, 16))


@pytest.mark.parametrize("number", sorted(FIRST_SEED))
def test_a_known_bug_is_found(number: int) -> None:
    seed, invariant = FIRST_SEED[number]
    with MUTANTS[number - 1].apply(), pytest.raises(Broken) as found:
        storm(seed)
    assert found.value.invariant == invariant


@pytest.mark.parametrize("seed", sorted({seed for seed, _ in FIRST_SEED.values()}))
def test_the_same_storms_find_nothing_in_the_core_as_it_is(seed: int) -> None:
    assert storm(seed).deaths == 0
