"""No rule of the protocol can be taken out without a test that misses it."""

import pytest

from tests.gossip.mutants import MUTANTS, Mutant, missed_by


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.rule)
def test_each_rule_is_missed(mutant: Mutant) -> None:
    assert missed_by(mutant)
