"""Each of the fifteen known bugs is found, by a named invariant and not by its own crash.

`FIRST_SEED` is what the hunt found first (`python -m tests.consensus.mutants`), so that it need not
be long here.  A change of the core or of the storms may move a seed: then the hunt goes on, within
the budget that docs/consensus-evidence.md states.
"""

import pytest

from tests.consensus.known_bugs import MUTANTS
from tests.consensus.mutants import hunt
from tests.consensus.storms import storm

BUDGET = 300
FIRST_SEED = {
    1: 7,
    2: 83,
    3: 7,
    4: 7,
    5: 0,
    6: 85,
    7: 0,
    8: 5,
    9: 2,
    10: 8,
    11: 0,
    12: 9,
    13: 29,
    14: 2,
    15: 19,
}


def test_the_list_is_complete() -> None:
    assert [each.number for each in MUTANTS] == list(range(1, 16))
    assert set(FIRST_SEED) == set(range(1, 16))


@pytest.mark.parametrize("number", sorted(FIRST_SEED))
def test_a_known_bug_is_found(number: int) -> None:
    assert hunt(MUTANTS[number - 1], (FIRST_SEED[number], *range(BUDGET))) is not None


@pytest.mark.parametrize("seed", sorted(set(FIRST_SEED.values())))
def test_the_same_storms_find_nothing_in_the_core_as_it_is(seed: int) -> None:
    assert storm(seed).deaths == 0
