"""Who stops watching (Ctrl-C, `| head`): a cluster's job goes on, one inside the command ends."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from nanoboost.cli.local import LocalCluster

pytestmark = pytest.mark.slow

NAPS = Path(__file__).resolve().parents[2] / "benchmarks" / "naps.py"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    with LocalCluster(tmp_path) as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def signals_as_at_a_terminal() -> Iterator[None]:
    """Who runs the tests in the background has told them to ignore SIGINT, and a child inherits
    that; what is caught here is at its default there."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_for_progress(job: "subprocess.Popen[str]") -> None:
    assert job.stdout is not None
    for line in job.stdout:
        event = json.loads(line)
        if any(each["done"] for each in event.get("classes", ())):
            return
    raise AssertionError("the job ended without progress")


def said_of_last(cluster: LocalCluster, verb: str) -> str:
    """What a verb prints of the last job."""
    where = f"--node={cluster.address('one')}", f"--credential={cluster.credential}"
    return subprocess.run(
        cluster.command(verb, "last", *where), capture_output=True, text=True, check=True
    ).stdout


def test_a_job_of_a_cluster_goes_on_and_the_user_is_told_how_to_come_back(
    cluster: LocalCluster,
) -> None:
    cluster.start("one")
    job = cluster.run(str(NAPS), "--width", "20", "--nap-s", "0.1", at="one")
    wait_for_progress(job)
    job.send_signal(signal.SIGINT)
    output = job.communicate(timeout=20)[0]
    assert job.returncode == 130
    assert "nanoboost status naps-" in output
    assert "Traceback" not in output
    assert "done" in said_of_last(cluster, "status")
    assert said_of_last(cluster, "cancel").endswith(" done before it could be cancelled\n")
    assert (cluster.nas / "naps.txt").read_text() == "20\n"


def test_a_job_inside_the_command_ends_with_it_and_leaves_nothing(cluster: LocalCluster) -> None:
    job = subprocess.Popen(
        cluster.command(
            *("run", str(NAPS), "--json", "--width", "200", "--nap-s", "0.2"),
            *(f"--nas={cluster.nas}", f"--credential={cluster.credential}"),
            f"--state={cluster.directory / 'none'}",
        ),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TMPDIR": str(cluster.directory)},
    )
    wait_for_progress(job)
    started = children(job.pid)
    assert started, "the NAS process and the attempts"
    job.send_signal(signal.SIGINT)
    output = job.communicate(timeout=20)[0]
    assert job.returncode == 130, output
    assert "has ended with this command" in output
    assert "Traceback" not in output
    assert [pid for pid in started if Path(f"/proc/{pid}/cmdline").exists()] == []
    assert list(cluster.directory.glob("nanoboost-*")) == [], "its state is gone"


def test_an_output_that_nobody_reads_any_more_is_a_quiet_end(cluster: LocalCluster) -> None:
    errors = cluster.directory / "errors"
    with errors.open("w") as file:
        job = subprocess.Popen(
            cluster.command(
                *("run", str(NAPS), "--width", "200", "--nap-s", "0.1"),
                *(f"--nas={cluster.nas}", f"--credential={cluster.credential}"),
                f"--state={cluster.directory / 'none'}",
            ),
            stdout=subprocess.PIPE,
            stderr=file,
            env={**os.environ, "TMPDIR": str(cluster.directory)},
        )
    assert job.stdout is not None
    assert job.stdout.readline().startswith(b"job naps-")
    job.stdout.close()
    assert job.wait(timeout=20) == 141
    assert errors.read_text() == ""
    assert list(cluster.directory.glob("nanoboost-*")) == [], "its state is gone"
