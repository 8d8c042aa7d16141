"""Whole nodes in the simulated world: scenarios pass, repeat exactly, and see planted bugs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from attrs import evolve
from twisted.internet.defer import Deferred, succeed

from nanoboost.consensus import quorum
from nanoboost.consensus.registry import Registry
from nanoboost.frontier import Frontier
from nanoboost.wire.records import JobEntry
from simulations.__main__ import SCENARIOS, list_scenarios
from simulations.asymmetric import SCENARIO as ASYMMETRIC
from simulations.blackout import SCENARIO as BLACKOUT
from simulations.cli import difference
from simulations.failover import SCENARIO as FAILOVER
from simulations.hosts.disk import SimStore, Writes
from simulations.monkey import SCENARIO as MONKEY
from simulations.partition import SCENARIO as PARTITION
from simulations.rolling import SCENARIO as ROLLING
from simulations.scenario import Scenario, run

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


@pytest.mark.parametrize(
    ("scenario", "seed"),
    [(FAILOVER, 1), (ASYMMETRIC, 1), (BLACKOUT, 1), (ROLLING, 1), (MONKEY, 1), (MONKEY, 2)],
    ids=lambda each: getattr(each, "name", str(each)),
)
def test_other_scenarios_end_well(scenario: Scenario, seed: int) -> None:
    result = run(scenario, seed)
    assert result.stage.judge.violation is None
    assert result.stage.complaints == []
    assert any(result.stage.happened.values()), "something was done to the cluster"


def test_two_runs_in_one_process_have_one_trace() -> None:
    first, _, again = (run(PARTITION, seed, until_s=4.0) for seed in (3, 4, 3))
    assert first.trace == again.trace != run(PARTITION, 4, until_s=4.0).trace


def first_violation(scenario: Scenario, seeds: int) -> str:
    """What the first seed that sees something says."""
    for seed in range(seeds):
        violation = run(scenario, seed).stage.judge.violation
        if violation is not None:
            return violation.code
    return ""


def test_planted_a_minority_that_counts_as_a_majority_is_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(quorum, "majority", lambda count: max(1, count // 2))
    assert first_violation(PARTITION, 3) in ("M1", "F2", "F3", "S1")


def test_planted_a_registry_that_forgets_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(registry: Registry) -> tuple[JobEntry, ...]:
        return tuple(
            evolve(entry, frontier=Frontier.empty(entry.submitted.tasks).encode())
            for entry in entries(registry)
        )

    entries = Registry.entries
    monkeypatch.setattr(Registry, "entries", forgetful)
    assert first_violation(PARTITION, 1) == "F2"


def test_where_two_runs_part_is_told() -> None:
    one, same, other = (run(PARTITION, seed, until_s=1.0, keep_trace=True) for seed in (3, 3, 4))
    assert difference(one, same) == ""
    assert difference(one, other).startswith("NOT DETERMINISTIC: line ")


@pytest.mark.slow
def test_planted_a_disk_that_announces_too_early_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    commit = SimStore.commit

    def lie(store: SimStore, writes: Writes) -> "Deferred[None]":
        commit(store, writes)
        return succeed(None)

    monkeypatch.setattr(SimStore, "commit", lie)
    assert first_violation(BLACKOUT, 12) in ("F2", "M1", "S1")


@pytest.mark.slow
def test_the_order_of_sets_and_of_memory_does_not_matter() -> None:
    runs = [
        subprocess.Popen(
            [sys.executable, "-m", "simulations.monkey", "--seed", "5"],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
        )
        for hash_seed in ("0", "1")
    ]
    first, other = (each.communicate(timeout=60)[0] for each in runs)
    assert "trace" in first.splitlines()[0]
    assert _without_cpu_time(first) == _without_cpu_time(other)
    assert [each.returncode for each in runs] == [0, 0]


def _without_cpu_time(told: str) -> str:
    return re.sub(r"in [0-9.]+ s of processor time", "", told)


def test_the_list_names_every_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    list_scenarios()
    told = capsys.readouterr().out
    on_file = (ROOT / "simulations").glob("*.py")
    scenarios = [path.stem for path in on_file if "\nSCENARIO = " in path.read_text()]
    assert sorted(scenarios) == sorted(SCENARIOS)
    assert all(f"python -m simulations.{name} " in told for name in scenarios)
