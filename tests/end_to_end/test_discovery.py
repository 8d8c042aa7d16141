"""Nodes that are told nothing find the cluster, and its key is changed: real processes."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from nanoboost.cli.demo import repeated_tasks
from nanoboost.cli.local import LocalCluster
from nanoboost.net.credential import load

pytestmark = pytest.mark.slow

NAPS = Path(__file__).resolve().parents[2] / "benchmarks" / "naps.py"
AUTO = "--join=auto"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    with LocalCluster(tmp_path, profile="lan") as cluster:
        yield cluster


class Untold(LocalCluster):
    """Tells no node where the others are."""

    @staticmethod
    def command(*arguments: str) -> list[str]:
        """As its elder's."""
        wanted = [each for each in arguments if not each.startswith("--join=") or each == AUTO]
        return LocalCluster.command(*wanted)


def say(cluster: LocalCluster, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(cluster.command(*arguments), capture_output=True, text=True)


def test_a_node_that_is_told_nothing_joins_and_one_of_another_cluster_does_not(
    tmp_path: Path,
) -> None:
    with Untold(tmp_path, profile="lan") as cluster:
        cluster.start("one")
        cluster.wait(cluster.master, "a master", 10.0)
        cluster.start("two", AUTO)
        waited = cluster.records("two", "listening")[0]["monotonic"]
        joined = cluster.wait(
            lambda: [each for each in cluster.records("one", "voters") if each["learners"]],
            "the newcomer to be a learner",
            20.0,
        )
        assert joined[0]["monotonic"] - waited <= 3.0
        with LocalCluster(tmp_path / "else", profile="lan") as other:
            other.start("three", AUTO)
            other.pause(2.0)
            assert seen(other, at="three") == {"three"}
        assert seen(cluster, at="two") == {"one", "two"}


def test_the_key_is_changed_under_a_running_job(cluster: LocalCluster) -> None:
    names = ("one", "two", "three")
    for name in names:  # as on three machines: each has a file of its own
        shutil.copy(cluster.credential, cluster.directory / f"{name}.pem")
        cluster.start(name, f"--credential={cluster.directory / name}.pem")
    cluster.wait_for_voters(3)
    shutil.copy(cluster.credential, cluster.directory / "old.pem")
    before = load(str(cluster.credential))
    job = cluster.run(str(NAPS), "--width", "60", "--nap-s", "0.2", at="one")
    cluster.wait(lambda: cluster.all_records("started"), "the job to start", 40.0)
    node = f"--node={cluster.address('two')}"
    changed = say(cluster, "key", "rotate", node, cred(cluster))
    assert changed.returncode == 0, changed.stderr
    after = load(str(cluster.credential))
    assert after.cluster == before.cluster
    assert after.fingerprints != before.fingerprints
    for name in names:
        assert load(str(cluster.directory / f"{name}.pem")).fingerprints == after.fingerprints
        assert [each["used"] for each in cluster.records(name, "rekeyed")] == [
            *before.fingerprints, *after.fingerprints, *after.fingerprints
        ]  # fmt: skip
    assert job.wait(timeout=60) == 0, "the client has read the new key"
    assert repeated_tasks(cluster) == []
    stranger = say(cluster, "nodes", node, f"--credential={cluster.directory}/old.pem")
    assert (stranger.returncode, stranger.stdout) == (3, "")
    cluster.kill("three")
    cluster.start("three", f"--credential={cluster.directory}/three.pem")
    assert seen(cluster, at="three") == set(names)


def seen(cluster: LocalCluster, at: str) -> set[str]:
    """Whom a node sees alive."""
    told = say(cluster, "nodes", "--json", f"--node={cluster.address(at)}", cred(cluster))
    return {each["name"] for each in json.loads(told.stdout) if each["state"] == "alive"}


def cred(cluster: LocalCluster) -> str:
    return f"--credential={cluster.credential}"
