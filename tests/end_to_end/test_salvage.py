"""What the lost side of a cluster had finished is brought back into the one that goes on.  Real
processes."""

import subprocess
from pathlib import Path

import pytest

from nanoboost.cli.local import LocalCluster

pytestmark = pytest.mark.slow

GRAPH = """
import time
from pathlib import Path
from nanoboost import Input, Nano, NanoGraph, Output, Param

class Wait(Nano):
    number = Param(int)
    gate = Param(str)
    done = Output("{gate}/{number:02d}")

    def run(self):
        stage = 0 if self.number < 4 else 1 if self.number < 10 else 2
        while not Path(self.gate, f"stage-{stage}").exists():
            time.sleep(0.02)
        self.done.write_text("")

class Count(Nano):
    waits = Input(many=True)
    gate = Param(str)
    total = Output("{gate}/total.txt")

    def run(self):
        self.total.write_text(f"{len(self.waits)}")

class Stages(NanoGraph):
    gate = Param(str)

    def build(self):
        waits = [Wait(number=number, gate=self.gate) for number in range(12)]
        return Count(waits=[wait.done for wait in waits], gate=self.gate)
"""
FIRST, SECOND, LAST = set(range(4)), set(range(4, 10)), {10, 11, 12}
"""The tasks of a job by the gate that they wait for; the last of all counts the others."""
IDLE, BUSY = "--slots=0", "--slots=3"


class Sides:
    """A cluster, and what its tasks wait for."""

    def __init__(self, cluster: LocalCluster) -> None:
        self.cluster = cluster
        self.graph = cluster.directory / "stages.py"
        self.gates = cluster.directory / "gates"
        self.gates.mkdir()
        self.graph.write_text(GRAPH.replace("Path(self.gate,", f"Path({str(self.gates)!r},"))

    def open_gate(self, stage: int) -> None:
        (self.gates / f"stage-{stage}").touch()

    def nanoboost(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*self.cluster.command(*arguments), f"--credential={self.cluster.credential}"],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def submit(self, results: str) -> str:
        """Submit a job whose results go there; return its id."""
        node = f"--node={self.cluster.address('one')}"
        run = self.nanoboost("run", str(self.graph), "--detach", node, f"--gate={results}")
        assert run.returncode == 0, run.stderr
        return run.stdout.split()[-1].strip('"}')

    def salvage(self, name: str, *options: str) -> "subprocess.CompletedProcess[str]":
        """Bring what this lost node knows to the third."""
        node = f"--node={self.cluster.address('three')}"
        return self.nanoboost("salvage", str(self.cluster.state(name)), node, *options)

    def tasks(self, event: str, job: str, *names: str) -> set[int]:
        """The tasks of a job of which the journals of these nodes tell this."""
        records = [each for name in names for each in self.cluster.records(name, event)]
        return {int(record["task"]) for record in records if record["job"] == job}

    def await_finished(self, job: str, tasks: set[int]) -> None:
        """Wait until the lost side to be has seen these tasks committed."""
        self.cluster.wait(
            lambda: self.tasks("finished", job, "one", "two", "three") >= tasks,
            f"{sorted(tasks)} of {job}",
            60.0,
        )


def test_a_lost_sides_work_is_brought_back_and_not_done_again(tmp_path: Path) -> None:
    with LocalCluster(tmp_path) as cluster:
        sides = Sides(cluster)
        sides.open_gate(0)
        cluster.start("one", BUSY)
        cluster.start("two", BUSY)
        cluster.start("three", IDLE)
        cluster.wait_for_voters(3)
        old = sides.submit("old")
        sides.await_finished(old, FIRST)

        cluster.kill("three")  # the side that will go on: it knows nothing of what follows
        sides.open_gate(1)
        new = sides.submit("new")
        sides.await_finished(old, FIRST | SECOND)
        sides.await_finished(new, FIRST | SECOND)
        cluster.kill("one")
        cluster.kill("two")
        recover = sides.nanoboost("recover", f"--state={cluster.state('three')}", "--yes")
        assert recover.returncode == 0, recover.stderr
        cluster.start("three", IDLE)
        cluster.wait(lambda: cluster.master() == "three", "the last voter to lead", 60.0)

        refused = sides.salvage("three")
        assert (refused.returncode, "is in use" in refused.stderr) == (2, True)
        cautious = sides.salvage("one")  # nobody answers its question
        assert cautious.returncode == 0, cautious.stderr
        assert f"{old}: 10 of 13 tasks were finished there" in cautious.stdout
        assert f"{new}: not known here, left alone" in cautious.stdout
        certain = sides.salvage("one", "--yes")
        assert certain.returncode == 0, certain.stderr
        assert f"{old}: 10 of 13 tasks were finished there, 0 of them were not" in certain.stdout
        assert f"{new}: 10 of 13 tasks were finished there, 10 of them were not" in certain.stdout
        brought = {job: sides.tasks("salvaged", job, "three") for job in (old, new)}
        assert SECOND <= brought[old] <= FIRST | SECOND, "of the first it may have known some"
        assert brought[new] == FIRST | SECOND
        assert sides.tasks("finished", old, "three") >= brought[old], "committed when it was told"

        sides.open_gate(2)
        cluster.start("four", BUSY)
        for job in (old, new):
            cluster.wait(
                lambda job=job: any(  # type: ignore[misc]
                    record["job"] == job and record["state"] == "done"
                    for record in cluster.records("three", "job")
                ),
                f"{job} to be done",
                60.0,
            )
            assert sides.tasks("started", job, "four") == LAST, "and nothing else again"
        assert [(cluster.nas / job / "total.txt").read_text() for job in ("old", "new")] == [
            "12",
            "12",
        ]
        over = sides.salvage("one", "--yes")
        assert over.stdout == "2 jobs have ended, here or there: nothing to bring back\n"
