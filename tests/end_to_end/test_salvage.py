"""What the lost side of a cluster had finished is brought back into the one that goes on.  Real
processes."""

import subprocess
from pathlib import Path

import pytest

from nanoboost.cli.local import LocalCluster

pytestmark = pytest.mark.slow

NAPS = Path(__file__).resolve().parents[2] / "benchmarks" / "naps.py"
IDLE = "--slots=0"


def nanoboost(cluster: LocalCluster, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*cluster.command(*arguments), f"--credential={cluster.credential}"],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def submit(cluster: LocalCluster, at: str, *params: str) -> str:
    """Submit naps; return the job's id."""
    node = f"--node={cluster.address(at)}"
    run = nanoboost(cluster, "run", str(NAPS), "--detach", node, *params)
    assert run.returncode == 0, run.stderr
    return run.stdout.split()[-1].strip('"}')


def finished(cluster: LocalCluster, job: str, *names: str) -> set[int]:
    """The tasks of a job whose frontier some of these nodes have seen committed as masters."""
    return {
        int(record["task"])
        for name in names
        for record in cluster.records(name, "finished")
        if record["job"] == job
    }


def test_a_lost_sides_work_is_brought_back_and_not_done_again(tmp_path: Path) -> None:
    with LocalCluster(tmp_path) as cluster:
        cluster.start("one")
        cluster.start("two")
        cluster.start("three", IDLE)
        cluster.wait_for_voters(3)
        old = submit(cluster, "one", "--width=24", "--nap-s=0.4")
        cluster.wait(lambda: finished(cluster, old, "one", "two", "three"), "a first nap", 20.0)

        cluster.kill("three")  # the side that will go on: it knows nothing of what follows
        known = finished(cluster, old, "one", "two", "three")
        new = submit(cluster, "one", "--width=12", "--nap-s=0.4")
        cluster.wait(
            lambda: (
                len(finished(cluster, old, "one", "two") - known) >= 4
                and len(finished(cluster, new, "one", "two")) >= 2
            ),
            "more naps without the third node",
            30.0,
        )
        cluster.kill("one")
        cluster.kill("two")
        recover = nanoboost(cluster, "recover", f"--state={cluster.state('three')}", "--yes")
        assert recover.returncode == 0, recover.stderr
        cluster.start("three", IDLE)
        cluster.wait(lambda: cluster.master() == "three", "the last voter to lead", 10.0)

        node = f"--node={cluster.address('three')}"
        refused = nanoboost(cluster, "salvage", str(cluster.state("three")), node)
        assert (refused.returncode, "is in use" in refused.stderr) == (2, True)

        cautious = nanoboost(cluster, "salvage", str(cluster.state("one")), node)
        assert cautious.returncode == 0, cautious.stderr
        assert f"{new}: not known here, left alone" in cautious.stdout
        assert f"{old}: " in cautious.stdout
        for state in ("one", "two"):  # one of them may know more than the other
            done = nanoboost(cluster, "salvage", str(cluster.state(state)), node, "--yes")
            assert done.returncode == 0, done.stderr
        brought = {
            job: {int(r["task"]) for r in cluster.records("three", "salvaged") if r["job"] == job}
            for job in (old, new)
        }
        # All that the lost side's master had seen committed is here.
        assert brought[old] >= finished(cluster, old, "one", "two") - known
        assert brought[new] >= finished(cluster, new, "one", "two")
        assert finished(cluster, old, "three") >= brought[old], "committed when it was told"
        again = nanoboost(cluster, "salvage", str(cluster.state("one")), node, "--yes")
        assert again.stdout.count(" 0 of them were not here and count now") == 2, again.stdout

        cluster.start("four", "--slots=4")
        for job in (old, new):
            cluster.wait(
                lambda job=job: any(  # type: ignore[misc]
                    record["job"] == job and record["state"] == "done"
                    for record in cluster.records("three", "job")
                ),
                f"{job} to be done",
                60.0,
            )
        for job in (old, new):
            started = {
                int(r["task"]) for r in cluster.records("four", "started") if r["job"] == job
            }
            assert started, "the rest was done by the new node"
            assert not started & brought[job], "nothing of what was brought back is done again"
        assert (cluster.nas / "naps.txt").read_text() in ("24\n", "12\n")

        over = nanoboost(cluster, "salvage", str(cluster.state("one")), node, "--yes")
        assert "2 jobs have ended, here or there: nothing to bring back" in over.stdout
