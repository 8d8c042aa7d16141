"""Whole nodes in the simulated world: scenarios pass, repeat exactly, and see planted bugs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from attrs import evolve

from nanoboost.consensus import quorum
from nanoboost.consensus.registry import Registry
from nanoboost.frontier import Frontier
from nanoboost.wire.records import JobEntry
from simulations.partition import SCENARIO as PARTITION
from simulations.scenario import run

ROOT = Path(__file__).resolve().parents[2]


def test_a_master_in_a_minority_commits_nothing_and_the_job_ends_well() -> None:
    result = run(PARTITION, 7)
    stage = result.stage
    assert stage.judge.violation is None
    assert stage.complaints == []
    assert result.status == 0
    assert stage.done_count == len(PARTITION.plan.tasks)
    assert stage.happened["a new master"]
    assert stage.happened["progress during the cut"]


def test_two_runs_in_one_process_have_one_trace() -> None:
    first, _, again = (run(PARTITION, seed, until_s=4.0) for seed in (3, 4, 3))
    assert first.trace == again.trace != run(PARTITION, 4, until_s=4.0).trace


def first_violation(seeds: int) -> str:
    """What the first seed that sees something says."""
    for seed in range(seeds):
        violation = run(PARTITION, seed).stage.judge.violation
        if violation is not None:
            return violation.code
    return ""


def test_planted_a_minority_that_counts_as_a_majority_is_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(quorum, "majority", lambda count: max(1, count // 2))
    assert first_violation(3) in ("M1", "F2", "F3", "S1")


def test_planted_a_registry_that_forgets_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(registry: Registry) -> tuple[JobEntry, ...]:
        return tuple(
            evolve(entry, frontier=Frontier.empty(entry.submitted.tasks).encode())
            for entry in entries(registry)
        )

    entries = Registry.entries
    monkeypatch.setattr(Registry, "entries", forgetful)
    assert first_violation(1) == "F2"


@pytest.mark.slow
def test_the_order_of_sets_and_of_memory_does_not_matter() -> None:
    traces = []
    for hash_seed in ("0", "1"):
        told = subprocess.run(
            [sys.executable, "-m", "simulations.partition", "--seed", "5"],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            timeout=60,
        )
        assert told.returncode == 0, told.stdout + told.stderr
        traces.append(told.stdout.splitlines()[0].rpartition("trace ")[2])
    assert traces[0] == traces[1]


def test_the_list_names_every_scenario() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "simulations"], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert told.returncode == 0
    assert "python -m simulations.partition" in told.stdout
