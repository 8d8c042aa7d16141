"""Plans that once failed, shrunk to the faults that mattered, pass for ever."""

from pathlib import Path

import pytest

from simulations.command.findings import Finding
from simulations.command.sweep import judged
from tests.simulations.planting import scenario_of

FILES = sorted((Path(__file__).parent / "regressions").glob("*.json"))


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_plan_that_once_failed_passes(file: Path) -> None:
    finding = Finding.load(file)
    verdict = judged(scenario_of(finding.scenario), finding.seed, finding.plan)
    assert verdict.status == 0, f"once: {finding.found}\nnow: {verdict.text}"


def test_there_are_some() -> None:
    assert FILES
