"""`benchmarks/soak.py`, short: nodes are killed while a client is answered."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).resolve().parents[2] / "benchmarks" / "soak.py"


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_when_nodes_are_killed() -> None:
    done = subprocess.run(
        [sys.executable, str(SOAK), "--kills", "3", "--seed", "3"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert ": 0 broken" in done.stdout


def test_the_soak_notices_what_is_lost_or_undone() -> None:
    promises = runpy.run_path(str(SOAK))["Promises"]()
    for line in "submitted a", "submitted b", "wanted b", "submitted c", "wanted c", "cancelled c":
        promises.hear(line)
    assert promises.count == 4
    assert promises.broken({"a": "running", "b": "running", "c": "cancelled"}) == []
    assert promises.broken({"a": "running", "b": "cancelled", "c": "cancelled"}) == []
    lost = promises.broken({"b": "running", "c": "running"})
    assert [line.split()[0] for line in lost] == ["a", "c"]
    promises.hear("refused no job a")
    wrong = promises.broken({"a": "running", "b": "running", "c": "cancelled"})
    assert wrong == ["refused no job a"]


def test_the_soak_expects_of_ended_jobs_only_the_latest() -> None:
    module = runpy.run_path(str(SOAK))
    promises = module["Promises"]()
    for number in range(module["REMEMBERED"] + 5):
        promises.hear(f"submitted {number}")
        promises.hear(f"cancelled {number}")
    assert len(promises.broken({})) == module["REMEMBERED"]
