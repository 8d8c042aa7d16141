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
from simulations.command.sweep import first_difference
from simulations.failover import SCENARIO as FAILOVER
from simulations.faults import Plan
from simulations.hosts.disk import SimStore, Writes
from simulations.kernel.world import SECOND
from simulations.monkey import SCENARIO as MONKEY
from simulations.partition import SCENARIO as PARTITION
from simulations.rolling_restart import SCENARIO as ROLLING
from simulations.stage.scenario import Scenario, run

ROOT = Path(__file__).resolve().parents[2]


def test_a_master_in_a_minority_commits_nothing_and_the_job_ends_well() -> None:
    result = run(PARTITION, 7)
    stage = result.stage
    assert stage.judge.violation is None
    assert stage.complaints == []
    assert result.status == 0
    assert stage.done_count == len(PARTITION.job.tasks)
    assert stage.happened["a new master"]
    assert stage.happened["progress during a fault"]


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


def test_a_plan_is_data_and_its_replay_is_the_same_run() -> None:
    result = run(MONKEY, 5, until_s=6.0)
    plan = Plan.from_json(result.plan.to_json())
    assert plan == result.plan == MONKEY.plan(5)
    assert run(MONKEY, 5, plan, until_s=6.0).trace == result.trace


def test_a_fault_that_is_left_out_leaves_all_before_it_as_it_was() -> None:
    plan = MONKEY.plan(6)
    left_out = [each for each in plan if each.at > 0][2]  # what is at 0 are knobs
    rest = Plan(tuple(each for each in plan if each is not left_out))
    until = left_out.at / SECOND
    with_it, without = (run(MONKEY, 6, each, until_s=until + 4.0) for each in (plan, rest))
    before = [
        [record for record in each.stage.lab.records.records if record.at < left_out.at]
        for each in (with_it, without)
    ]
    assert before[0] == before[1]
    assert len(before[0]) > 10
    assert with_it.trace != without.trace


def test_a_plan_that_makes_no_sense_is_told() -> None:
    for text in ("{}", '[{"kind": "Flood"}]', '[{"kind": "Kill", "at": 1}]'):
        with pytest.raises(ValueError, match=r"kind|lasts"):
            Plan.from_json(text)


def test_the_twin_without_faults_publishes_the_same() -> None:
    result, twin = run(FAILOVER, 2), run(FAILOVER, 2, Plan())
    assert result.outputs == twin.outputs
    assert twin.stage.finished.again == 0, "nothing was done to it"


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
    assert first_violation(PARTITION, 3)[0] in "FIMS"


def test_planted_a_registry_that_forgets_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(registry: Registry) -> tuple[JobEntry, ...]:
        return tuple(
            evolve(entry, frontier=Frontier.empty(entry.submitted.tasks).encode())
            for entry in entries(registry)
        )

    entries = Registry.entries
    monkeypatch.setattr(Registry, "entries", forgetful)
    assert first_violation(PARTITION, 1)[0] in "FIMS"


def test_where_two_runs_part_is_told() -> None:
    one, same, other = (run(PARTITION, seed, until_s=1.0, keep_trace=True) for seed in (3, 3, 4))
    lines = [each.stage.lab.world.trace.lines or [] for each in (one, same, other)]
    assert first_difference(lines[0], lines[1]) == ""
    assert first_difference(lines[0], lines[2]).startswith("line ")


@pytest.mark.slow
def test_planted_a_disk_that_announces_too_early_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    commit = SimStore.commit

    def lie(store: SimStore, writes: Writes) -> "Deferred[None]":
        commit(store, writes)
        return succeed(None)

    monkeypatch.setattr(SimStore, "commit", lie)
    assert first_violation(BLACKOUT, 12)[0] in "FIMS"


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
