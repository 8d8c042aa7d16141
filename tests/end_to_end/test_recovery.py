"""Two of three voters are lost for good: the operator's way out.  Real processes."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from nanoboost.cli.local import LocalCluster
from simulations.journals import judged

pytestmark = pytest.mark.slow

NAPS = Path(__file__).resolve().parents[2] / "benchmarks" / "naps.py"


def nanoboost(cluster: LocalCluster, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*cluster.command(*arguments), f"--credential={cluster.credential}"],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def test_the_last_voter_goes_on_alone_and_the_lost_side_is_fenced_off(tmp_path: Path) -> None:
    with LocalCluster(tmp_path, slots=0) as cluster:
        cluster.start_all(("one", "two", "three"))
        cluster.wait_for_voters(3)
        run = nanoboost(cluster, "run", str(NAPS), "--detach", f"--node={cluster.address('one')}")
        assert run.returncode == 0, run.stderr
        recover = ("recover", f"--state={cluster.state('three')}", "--yes")

        refused = nanoboost(cluster, *recover)
        assert (refused.returncode, "is in use by process" in refused.stderr) == (2, True)

        cluster.kill("three")
        refused = nanoboost(cluster, *recover)
        assert (refused.returncode, "has a master" in refused.stderr) == (2, True)

        cluster.kill("one")
        cluster.kill("two")
        shutil.rmtree(cluster.state("two"))
        unsure = nanoboost(cluster, *recover[:-1])
        assert unsure.returncode != 0
        done = nanoboost(cluster, *recover)
        assert (done.returncode, "recovered" in done.stdout) == (0, True), done.stderr

        cluster.start("three")
        cluster.wait(lambda: cluster.master() == "three", "the last voter to lead", 10.0)
        status = nanoboost(cluster, "status", "--json", f"--node={cluster.address('three')}")
        (job,) = json.loads(status.stdout)["jobs"]
        assert (job["graph"], job["state"]) == ("Naps", "running")

        cluster.start("one")
        cluster.wait(lambda: cluster.records("one", "outdated"), "one to be fenced off", 10.0)
        cluster.start("two")
        cluster.start("four")
        cluster.wait(
            lambda: cluster.records("two", "voters") and cluster.records("four", "voters"),
            "the new ones to take part",
            20.0,
        )
        cluster.wait_for_voters(3)
        assert cluster.master() == "three"
        last = cluster.records("three", "voters")[-1]
        old = str(cluster.records("one", "listening")[0]["node"])
        assert (last["count"], old in last["voters"]) == (3, False)
    journals, _ = judged([tmp_path])
    assert journals.broken == []
    assert [generation for _, generation in sorted(journals.raft.chapters)][-2:] == [1, 2]
