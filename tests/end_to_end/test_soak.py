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
    assert "0 of them broken" in done.stdout


def test_the_soak_notices_what_is_lost_or_undone() -> None:
    missing = runpy.run_path(str(SOAK))["missing"]
    answers = ["submitted a", "submitted b", "wanted b", "submitted c", "wanted c", "cancelled c"]
    assert missing(answers, {"a": "running", "b": "running", "c": "cancelled"}) == []
    assert missing(answers, {"a": "running", "b": "cancelled", "c": "cancelled"}) == []
    lost = missing(answers, {"b": "running", "c": "running"})
    assert [line.split()[0] for line in lost] == ["a", "c"]
    assert missing([*answers, "refused no job a"], {"a": "running", "b": "running"})[0] == (
        "refused no job a"
    )
