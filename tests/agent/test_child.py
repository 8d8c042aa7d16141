"""The child as a real process: what it says, and that neither it nor what it started is left."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nanoboost.agent.messages import CHILD, CHILD_MODULE, AttemptEnded, ChildReady, RunAttempt
from nanoboost.wire.frame import FrameReader, pack
from nanoboost.wire.messages import Outcome
from tests.agent.jobs import CLUSTER, Job

pytestmark = pytest.mark.slow

PATIENCE_S = 20.0


class Child:
    """A child process and both ends of what is said between it and its node."""

    def __init__(self, job: Job, scratch: Path) -> None:
        command = [sys.executable, "-I", "-m", CHILD_MODULE, str(job.nas), CLUSTER, str(scratch)]
        read, self._to_child = os.pipe()
        self._from_child, write = os.pipe()
        self.pid = os.posix_spawn(
            sys.executable,
            command,
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, read, 0),
                (os.POSIX_SPAWN_DUP2, write, 3),
            ],
        )
        os.close(read)
        os.close(write)
        self._reader = FrameReader()
        self._heard: list[Any] = []
        self._status: int | None = None

    def hears(self, order: RunAttempt) -> None:
        os.write(self._to_child, pack(CHILD.encode(order)))

    def says(self) -> Any:
        """Its next words; None once it has ended."""
        while not self._heard:
            ready, _, _ = select.select([self._from_child], [], [], PATIENCE_S)
            assert ready, "the child is silent"
            data = os.read(self._from_child, 1 << 16)
            if not data:
                return None
            self._heard += [CHILD.decode(body) for body in self._reader.feed(data)]
        return self._heard.pop(0)

    def runs(self, order: RunAttempt) -> AttemptEnded:
        self.hears(order)
        ended = self.says()
        assert isinstance(ended, AttemptEnded)
        return ended

    def finish(self) -> int:
        """Close its input; return its exit status (negative: a signal)."""
        if self._status is None:
            os.close(self._to_child)
            assert self.says() is None
            self._status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            os.close(self._from_child)
        return self._status


Start = Callable[..., tuple[Job, Child]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a child for a job with this body; it has said that it is ready."""
    started: list[Child] = []

    def make(body: str = "self.copy.write_text(self.text.read_text())") -> tuple[Job, Child]:
        job = Job(tmp_path, body)
        child = Child(job, tmp_path / "scratch")
        started.append(child)
        assert child.says() == ChildReady()
        return job, child

    yield make
    for child in started:
        child.finish()


def made(job: Job, task: int = 0) -> str:
    name = "b.txt" if task else "a.txt"
    return (job.made(task) / "out" / "copies" / name).read_text()


def assert_ends(pid: int) -> None:
    """The process has ended or does so now."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ended, _, _ = select.select([handle], [], [], PATIENCE_S)
    os.close(handle)
    assert ended, f"process {pid} is left"


def test_it_runs_attempts_until_its_input_ends(start: Start) -> None:
    job, child = start()
    assert child.runs(job.order(0)).outcome is Outcome.DONE
    assert child.runs(job.order(1)).outcome is Outcome.DONE
    assert made(job, 1) == "ink"
    assert child.finish() == 0
    with pytest.raises(ProcessLookupError):
        os.killpg(child.pid, 0)


def test_user_code_cannot_meet_the_frames(start: Start) -> None:
    job, child = start(
        "print('not a frame', flush=True)\n"
        "os.write(1, b'nor this')\n"
        "subprocess.run(['sh', '-c', 'echo nor this >&3'])\n"
        "self.copy.write_text(repr(sys.stdin.read()))"
    )
    assert child.runs(job.order()).outcome is Outcome.DONE
    assert made(job) == "''"


def test_it_is_a_good_guest(start: Start, tmp_path: Path) -> None:
    job, child = start(
        "facts = [os.nice(0), os.getpgid(0) == os.getpid(), os.environ['HOME'], os.getcwd()]\n"
        "banned = {'twisted', 'OpenSSL', 'cryptography', 'click', 'rich'} & set(sys.modules)\n"
        "self.copy.write_text(repr([*facts, banned]))"
    )
    assert child.runs(job.order()).outcome is Outcome.DONE
    scratch = str(tmp_path / "scratch")
    nice = min(19, os.nice(0) + 10)
    assert made(job) == repr([nice, True, scratch, f"{scratch}/work", set()])


def test_processor_time_of_programs_is_counted(start: Start) -> None:
    job, child = start("subprocess.run([sys.executable, '-c', 'sum(range(5_000_000))'])")
    assert child.runs(job.order()).cpu_s > 0.05


SLEEP = "started = subprocess.Popen(['sleep', '1000']).pid\n"
HIDDEN_SLEEP = (
    "started = int(subprocess.check_output(\n"
    "    ['sh', '-c', 'setsid sleep 1000 >/dev/null 2>&1 & echo $!']))\n"
)


@pytest.mark.parametrize("sleep", [SLEEP, HIDDEN_SLEEP])
@pytest.mark.parametrize("end", ["", "raise ValueError"])
def test_what_an_attempt_leaves_running_is_gone_when_it_has_ended(
    start: Start, tmp_path: Path, sleep: str, end: str
) -> None:
    note = tmp_path / "pid"
    job, child = start(f"{sleep}open({str(note)!r}, 'w').write(str(started))\n{end}")
    child.runs(job.order())
    with pytest.raises(ProcessLookupError):
        os.kill(int(note.read_text()), 0)


def test_a_crash_takes_its_programs_along_and_leaves_a_traceback(
    start: Start, tmp_path: Path
) -> None:
    note = tmp_path / "pid"
    job, child = start(
        f"{SLEEP}open({str(note)!r}, 'w').write(str(started))\nos.kill(os.getpid(), 11)"
    )
    child.hears(job.order())
    assert child.says() is None
    assert child.finish() == -signal.SIGSEGV
    assert_ends(int(note.read_text()))
    log = job.made().with_name(job.made().name + ".part") / "log"
    assert "copying.py" in log.read_text()


def test_one_signal_ends_all_of_it(start: Start, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    job, child = start(f"{SLEEP}open({str(fifo)!r}, 'w').write(str(started))\nos.wait()")
    child.hears(job.order())
    started = int(fifo.read_text())
    os.killpg(child.pid, signal.SIGKILL)
    assert child.finish() == -signal.SIGKILL
    assert_ends(started)


NODE = """
import os, sys
from pathlib import Path
from tests.agent.test_child import Child
from tests.agent.jobs import Job

directory = Path(sys.argv[1])
job = Job(directory, sys.argv[2])
child = Child(job, directory / "scratch")
child.says()
child.hears(job.order())
print(child.pid, flush=True)
child.says()
"""


def test_it_dies_with_its_node_and_so_does_what_it_started(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    body = f"{SLEEP}open({str(fifo)!r}, 'w').write(str(started))\nos.wait()"
    node = subprocess.Popen(
        [sys.executable, "-c", NODE, str(tmp_path), body],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
    )
    assert node.stdout is not None
    child = int(node.stdout.readline())
    started = int(fifo.read_text())
    node.kill()
    node.wait()
    node.stdout.close()
    assert_ends(child)
    assert_ends(started)
