"""Nodes join and leave in the middle of jobs: real processes."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nanoboost.cli.demo import repeated_tasks
from nanoboost.cli.local import LocalCluster

pytestmark = pytest.mark.slow

NAPS = Path(__file__).resolve().parents[2] / "benchmarks" / "naps.py"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    with LocalCluster(tmp_path, profile="lan") as cluster:
        yield cluster


def naps(cluster: LocalCluster, width: int, nap_s: float, at: str) -> "subprocess.Popen[str]":
    return cluster.run(str(NAPS), "--width", str(width), "--nap-s", str(nap_s), at=at)


def first(records: list[dict[str, Any]]) -> dict[str, Any] | None:
    return records[0] if records else None


def test_a_node_that_joins_in_the_middle_gets_work_within_two_seconds(
    cluster: LocalCluster,
) -> None:
    cluster.start("one")
    cluster.wait(cluster.master, "a master", 10.0)
    job = naps(cluster, 60, 0.2, at="one")
    cluster.wait(lambda: cluster.records("one", "started"), "the job to start", 60.0)
    cluster.start("two")
    listening = cluster.records("two", "listening")[0]
    started = cluster.wait(
        lambda: first(cluster.records("two", "started")), "work for the newcomer", 20.0
    )
    assert job.wait(timeout=60) == 0
    assert started["monotonic"] - listening["monotonic"] <= 2.0


def test_a_node_that_leaves_loses_nothing_and_delays_nothing(cluster: LocalCluster) -> None:
    cluster.start_all(("one", "two", "three"))
    cluster.wait_for_voters(3)
    job = naps(cluster, 60, 0.2, at="one")
    cluster.wait(lambda: cluster.records("three", "started"), "work for the leaver", 60.0)
    cluster.leave("three")
    left = {(each["task"], each["attempt"]) for each in cluster.records("three", "started")}
    ended = {(each["task"], each["attempt"]) for each in cluster.records("three", "ended")}
    assert left == ended, "what it ran, it finished"
    assert job.wait(timeout=60) == 0
    assert repeated_tasks(cluster) == []
    executed = [each["task"] for each in cluster.all_records("execute")]
    assert len(executed) == len(set(executed)) == 61, "every task ran exactly once"


def test_the_master_leaves_and_the_job_goes_on(cluster: LocalCluster) -> None:
    cluster.start_all(("one", "two", "three"))
    cluster.wait_for_voters(3)
    job = naps(cluster, 60, 0.2, at="one")
    cluster.wait(lambda: cluster.all_records("started"), "the job to start", 60.0)
    master = cluster.master()
    assert master is not None
    cluster.leave(master)
    assert job.wait(timeout=60) == 0
    assert repeated_tasks(cluster) == []


def test_two_jobs_share_the_cluster_and_one_of_them_is_cancelled(cluster: LocalCluster) -> None:
    cluster.start("one")
    cluster.wait(cluster.master, "a master", 10.0)
    long = naps(cluster, 500, 0.2, at="one")
    assert long.stdout is not None
    job = json.loads(long.stdout.readline())["text"].split()[-1]
    cluster.wait(lambda: cluster.all_records("execute"), "the long job to start", 60.0)
    short = naps(cluster, 5, 0.05, at="one")
    assert short.wait(timeout=60) == 0, "a short job does not wait for a long one"
    assert long.poll() is None
    options = [f"--node={cluster.address('one')}", f"--credential={cluster.credential}"]
    told = subprocess.run(
        cluster.command("cancel", job, *options), capture_output=True, text=True, check=True
    )
    assert "cancelled" in told.stdout
    assert long.wait(timeout=20) == 1
    status = subprocess.run(
        cluster.command("status", *options), capture_output=True, text=True, check=True
    ).stdout
    assert job in status
    assert "cancelled" in status
    nodes = subprocess.run(
        cluster.command("nodes", *options), capture_output=True, text=True, check=True
    ).stdout
    assert "one" in nodes
    assert "master" in nodes
    logs = subprocess.run(
        cluster.command("logs", job, "Nap-0000", *options),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "Nap-0000 attempt" in logs
