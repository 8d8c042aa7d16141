"""Each planted bug is found again, and what finds it says nothing of the same run without the bug.

(The whole search from seed 0 is `python -m tests.simulations.planted`; here each bug's known seed
comes first.)
"""

import pytest

from simulations.command.sweep import Verdict, judged
from tests.simulations.planted import PLANTED
from tests.simulations.planting import Planted, scenario_of

LAYERS = {"disk", "consensus", "registry", "gossip", "net", "master", "agent"}

_without: dict[tuple[str, int], Verdict] = {}


def without(scenario: str, seed: int) -> Verdict:
    """The same run of the code as it is."""
    if (scenario, seed) not in _without:
        _without[scenario, seed] = judged(scenario_of(scenario), seed)
    return _without[scenario, seed]


@pytest.mark.slow
@pytest.mark.parametrize("planted", PLANTED, ids=lambda each: each.name.replace(" ", "-"))
def test_a_planted_bug_is_found_and_only_the_bug(planted: Planted) -> None:
    found = planted.find(range(planted.seed, planted.seed + planted.budget))
    assert found is not None, f"not in {planted.budget} seeds"
    control = without(planted.scenario, found.seed)
    assert control.status == 0, control.text


def test_there_are_bugs_in_every_layer() -> None:
    assert {each.layer for each in PLANTED} == LAYERS
    assert len(PLANTED) >= 15
    assert [each.number for each in PLANTED] == [*range(1, len(PLANTED) + 1)]
