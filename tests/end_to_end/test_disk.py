"""A node and its own disk: what it refuses to start on, and what it does when writing fails.  Real
processes on real files."""

import os
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nanoboost.cli.local import LocalCluster
from nanoboost.ids import Address

pytestmark = pytest.mark.slow

NAPS = Path(__file__).resolve().parents[2] / "benchmarks" / "naps.py"
TWISTD = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    with LocalCluster(tmp_path / "cluster") as cluster:
        yield cluster


def stop(cluster: LocalCluster, name: str) -> None:
    """Stop the node in good order: all that it knows is in its database, none in the log of it."""
    cluster.wait(lambda: cluster.records(name, "voters"), "its reactor to run", 10.0)
    pid = cluster.pid(name)
    os.kill(pid, signal.SIGTERM)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    cluster.kill(name)


def twistd(cluster: LocalCluster, name: str) -> tuple[int, str]:
    """Start the node as a daemon, which must not come up."""
    done = subprocess.run(
        (
            *TWISTD,
            f"--pidfile={cluster.directory / 'twistd.pid'}",
            f"--logfile={cluster.directory / 'twistd.log'}",
            "nanoboost",
            f"--name={name}",
            f"--state={cluster.state(name)}",
            f"--nas={cluster.nas}",
            "--listen=127.0.0.1:0",
            f"--credential={cluster.credential}",
        ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert not (cluster.directory / "twistd.pid").exists(), "it has detached"
    return done.returncode, (done.stdout + done.stderr).strip().splitlines()[-1]


def test_a_database_that_cannot_be_used_is_refused_before_the_daemon_detaches(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    cluster.start("one")
    stop(cluster, "one")
    database = cluster.state("one") / "node.db"
    good = database.read_bytes()
    assert len(good) >= 8192, "more than one page, or there is nothing to cut off"

    database.write_bytes(b"The film is cut into chunks. " * 500)
    status, line = twistd(cluster, "one")
    assert status != 0
    assert line.endswith("move the state directory away; this node then joins as new")
    assert str(database) in line

    database.write_bytes(good[: len(good) // 2])
    status, line = twistd(cluster, "one")
    assert (status != 0, "node.db is damaged" in line) == (True, True), line
    assert "move the state directory away" in line

    database.unlink()
    with sqlite3.connect(database) as other:
        other.execute("CREATE TABLE albums (title TEXT)")
    other.close()
    status, line = twistd(cluster, "one")
    assert status != 0
    assert line.endswith("is no state of a node: choose another state directory")

    with LocalCluster(tmp_path / "other") as foreign:
        foreign.start("one")
        stop(foreign, "one")
        database.write_bytes((foreign.state("one") / "node.db").read_bytes())
    status, line = twistd(cluster, "one")
    assert status != 0
    assert "belongs to cluster " in line
    assert line.endswith("give the other credential, or another directory with --state")

    database.write_bytes(good)
    assert isinstance(cluster.start("one"), Address), "nothing else was wrong with it"


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs Linux")
def test_a_write_error_stops_the_node_and_says_why_in_its_last_line(cluster: LocalCluster) -> None:
    cluster.start("one")
    cluster.wait(lambda: cluster.records("one", "voters"), "the first writes", 10.0)
    pid = cluster.pid("one")
    size = (cluster.state("one") / "node.db-wal").stat().st_size
    assert size > 0
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, size))  # the next write beyond it: EFBIG
    job = cluster.run(str(NAPS), "--detach", at="one")
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 74
    last = cluster.log_tail("one")
    assert "nanoboost: stopped because its own disk failed" in last
    assert "node.db: disk I/O error" in last
    assert "look at the disk" in last
    assert "Traceback" not in last
    job.kill()


FULL = """
import sqlite3, sys
from pathlib import Path
from nanoboost.world.store import SqliteStore

flag, transact = Path(sys.argv.pop(1)), SqliteStore._transact

def transact_unless_full(self, batches):
    if flag.exists():
        self._connection.execute("BEGIN IMMEDIATE")  # as SQLite leaves it: nothing is written yet
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error
    transact(self, batches)

SqliteStore._transact = transact_unless_full
from nanoboost.cli.main import main
main()
"""


def test_a_full_disk_refuses_jobs_and_takes_them_when_there_is_space_again(tmp_path: Path) -> None:
    flag = tmp_path / "full"

    class Filling(LocalCluster):
        """Its nodes' disks are full while a file is there."""

        @staticmethod
        def command(*arguments: str) -> list[str]:
            return [sys.executable, "-c", FULL, str(flag), *arguments]

    with Filling(tmp_path / "cluster") as cluster:
        cluster.start("one")
        cluster.wait(lambda: cluster.master() == "one", "a master", 10.0)
        flag.touch()
        first = cluster.run(str(NAPS), "--width=2", at="one")
        cluster.wait(lambda: cluster.records("one", "disk_full"), "the disk to be full", 60.0)
        second = cluster.run(str(NAPS), "--width=2", at="one")
        status = subprocess.run(
            cluster.command(
                "status", f"--node={cluster.address('one')}", f"--credential={cluster.credential}"
            ),
            capture_output=True,
            text=True,
            check=True,
        )
        assert "one: its own disk is full" in status.stdout
        assert "no jobs" in status.stdout, "it lives, and has promised nothing"
        assert cluster.records("one", "submitted") == []
        flag.unlink()
        for job in (first, second):
            output = job.communicate(timeout=60)[0]
            assert job.returncode == 0, output
        assert len(cluster.records("one", "disk_full")) == 1
        assert len(cluster.records("one", "submitted")) == 2


def test_what_ran_when_a_node_was_killed_is_counted_once_it_is_back(cluster: LocalCluster) -> None:
    """Its only master was killed with it: nobody else could know."""
    cluster.start("one")
    assert cluster.run(str(NAPS), "--nap-s=60", "--detach", at="one").wait(30) == 0
    cluster.wait(lambda: cluster.records("one", "started"), "a nap", 30.0)
    # What is in the log now is later than the note of the nap: batches are durable in order.
    assert cluster.run(str(NAPS), "--detach", at="one").wait(30) == 0
    cluster.kill("one")
    cluster.start("one")

    def lost() -> list[object]:
        ends = cluster.records("one", "done")
        return [each["attempt"] for each in ends if each["outcome"] == "LOST"]

    cluster.wait(lost, "the nap to be called lost", 30.0)
    nap, *_ = cluster.records("one", "started")
    assert lost() == [nap["attempt"]]
