"""`twistd nanoboost` away from the terminal: it works, others can read its results, it stops."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nanoboost.cli.local import LocalCluster

pytestmark = pytest.mark.slow

GRAPH = """
from nanoboost import Nano, NanoGraph, Output

class Write(Nano):
    made = Output("made/here.txt")

    def run(self):
        self.made.write_text("here")

class Writing(NanoGraph):
    def build(self):
        return Write()
"""
TWISTD = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    with LocalCluster(tmp_path) as cluster:
        yield cluster


@pytest.fixture
def pid_file(cluster: LocalCluster) -> Iterator[Path]:
    path = cluster.directory / "twistd.pid"
    yield path
    if path.exists():
        os.kill(int(path.read_text()), signal.SIGKILL)


def twistd(
    cluster: LocalCluster, pid_file: Path, listen: str
) -> "subprocess.CompletedProcess[str]":
    """Start node `one` as a daemon, with paths relative to where we are; wait for the detach."""
    return subprocess.run(
        (
            *TWISTD,
            f"--pidfile={pid_file}",
            f"--logfile={cluster.directory / 'twistd.log'}",
            "nanoboost",
            *("--name=one", "--state=one", "--nas=nas", "--profile=local", f"--listen={listen}"),
            f"--credential={cluster.credential}",
        ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=cluster.directory,
        umask=0o022,
    )


def test_a_daemon_works_lets_others_read_and_stops(cluster: LocalCluster, pid_file: Path) -> None:
    started = twistd(cluster, pid_file, "127.0.0.1:0")
    assert started.returncode == 0, started.stdout + started.stderr
    cluster.wait(lambda: cluster.records("one", "listening"), "the daemon to listen", 60.0)
    (cluster.directory / "writing.py").write_text(GRAPH)
    job = cluster.run(str(cluster.directory / "writing.py"), at="one")
    output = job.communicate(timeout=60)[0]
    assert job.returncode == 0, output
    made = cluster.nas / "made"
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (made, made / "here.txt")]
    assert modes == [0o755, 0o644]
    os.kill(int(pid_file.read_text()), signal.SIGTERM)
    cluster.wait(lambda: not pid_file.exists(), "the daemon to stop", 60.0)
    assert not (cluster.state("one") / "address").exists(), "it left in good order"
    assert "Traceback" not in (cluster.directory / "twistd.log").read_text()


def test_what_is_wrong_is_told_before_the_detach(cluster: LocalCluster, pid_file: Path) -> None:
    address = cluster.start("two")
    refused = twistd(cluster, pid_file, str(address))
    assert refused.returncode != 0
    assert f"port {address.port} is in use" in refused.stdout + refused.stderr
    assert not pid_file.exists()
