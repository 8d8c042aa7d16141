"""What `nanoboost status` says of missing voters, asked of whoever is left.  Real processes."""

import subprocess
from pathlib import Path

import pytest

from nanoboost.cli.local import LocalCluster

pytestmark = pytest.mark.slow


def status(cluster: LocalCluster, at: str) -> str:
    done = subprocess.run(
        cluster.command(
            "status", f"--node={cluster.address(at)}", f"--credential={cluster.credential}"
        ),
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return done.stdout + done.stderr


def test_missing_voters_are_named_also_by_the_last_one_and_after_its_restart(
    tmp_path: Path,
) -> None:
    with LocalCluster(tmp_path, slots=0) as cluster:
        cluster.start_all(("one", "two", "three"))
        cluster.wait_for_voters(3)
        cluster.wait(
            lambda: "Survives the loss of: 1 node." in status(cluster, "one"), "good health", 20.0
        )
        cluster.kill("two")
        told = cluster.wait(
            lambda: (
                "Missing voters: 1 of 3: two (for " in (text := status(cluster, "three")) and text
            ),
            "two to be missing",
            20.0,
        )
        assert "Survives the loss of: 0 nodes." in told

        cluster.kill("one")
        told = cluster.wait(
            lambda: "Missing voters: 2 of 3" in (text := status(cluster, "three")) and text,
            "both to be missing",
            20.0,
        )
        assert "No master: more than half of the voters are missing." in told
        assert "one (for " in told
        assert "two (for " in told
        assert "Start 1 of them again (nanoboost up)." in told
        assert "The log of three ends in term 2 at entry " in told

        cluster.kill("three")
        cluster.start("three")
        told = status(cluster, "three")
        assert "one (since before this node started)" in told
        assert "two (since before this node started)" in told
