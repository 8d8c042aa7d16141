"""The child process in which attempts run, one at a time: `python -m nanoboost.agent.child`.

**It never outlives the node, and nothing outlives it**: the kernel kills it when the node dies, and
a guardian, its first child, then kills the rest of its process group.  It yields the processor to
the node, so that heartbeats never wait for ffmpeg.  What user code prints or reads cannot be taken
for a frame: descriptors 0 to 3 are others before any of it runs.
"""

import ctypes
import faulthandler
import os
import resource
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from nanoboost.agent.attempt import Workshop
from nanoboost.agent.messages import CHILD, AttemptEnded, ChildReady, RunAttempt
from nanoboost.wire.frame import FrameReader, pack

FRAMES_IN_FD, FRAMES_OUT_FD = 0, 3
NICENESS = 10
READ_BYTES = 1 << 16
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h


def main(arguments: list[str]) -> None:
    """Run attempts until the input ends.  `arguments` are NAS_DIR, CLUSTER, SCRATCH_DIR."""
    nas_dir, cluster, scratch_dir = arguments
    frames_in, frames_out = take_frames()
    lead_a_group()
    guardian = start_guardian(frames_in, frames_out)
    settle(Path(scratch_dir))
    workshop = Workshop(nas_dir, cluster, Path(scratch_dir), lambda: end_children(guardian))
    say(frames_out, ChildReady())
    for order in orders(frames_in):
        say(frames_out, workshop.run(order))
    end_children()


def take_frames() -> tuple[int, int]:
    """Move the frames' descriptors where no program looks for them, and none inherits them."""
    frames_in, frames_out = os.dup(FRAMES_IN_FD), os.dup(FRAMES_OUT_FD)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, FRAMES_IN_FD)
    os.close(null)
    os.close(FRAMES_OUT_FD)
    return frames_in, frames_out


def lead_a_group() -> None:
    """Lead a session and a process group, so that one signal reaches all that is started here; die
    with the node; adopt what loses its parent, so that it can be found."""
    with suppress(OSError):  # it leads one already
        os.setsid()
    node = os.getppid()
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != node:
        sys.exit("the node has died")
    prctl(PR_SET_CHILD_SUBREAPER, 1)


def start_guardian(*unwanted_fds: int) -> int:
    """Fork a process that does nothing until this one has died, of whatever, and then kills the
    process group.  (Programs that an attempt started would else go on writing for nobody.)"""
    me = os.getpid()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    guardian = os.fork()
    if guardian:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        return guardian
    try:
        for fd in unwanted_fds:
            os.close(fd)
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        while os.getppid() == me:
            signal.sigwait({signal.SIGTERM})
    finally:
        os.killpg(me, signal.SIGKILL)
    raise AssertionError("the guardian is in the group")


def settle(scratch_dir: Path) -> None:
    """Be a good guest: low priority, no core files, a home of its own, empty at first."""
    os.nice(NICENESS)
    os.umask(0o022)  # results on the NAS are for all its users
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    shutil.rmtree(scratch_dir, ignore_errors=True)
    scratch_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.environ["HOME"] = str(scratch_dir)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    faulthandler.enable()


def orders(fd: int) -> Iterator[RunAttempt]:
    """What the node asks for, until it closes the pipe."""
    reader = FrameReader()
    while data := os.read(fd, READ_BYTES):
        for body in reader.feed(data):
            yield CHILD.decode(body)


def say(fd: int, message: AttemptEnded | ChildReady) -> None:
    """Write one frame."""
    frame = memoryview(pack(CHILD.encode(message)))
    while frame:
        frame = frame[os.write(fd, frame) :]


def end_children(*spared: int) -> None:
    """Kill and reap all processes that were started from here and still run, but the `spared`.
    Orphans are among our children because we adopt them, wherever they hid."""
    while found := [pid for pid in children(os.getpid()) if pid not in spared]:
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in found:
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)


def children(pid: int) -> list[int]:
    """The direct children of a process; none where the kernel does not tell."""
    found: list[int] = []
    with suppress(OSError):
        for thread in sorted(os.listdir(f"/proc/{pid}/task")):
            found += map(int, Path(f"/proc/{pid}/task/{thread}/children").read_text().split())
    return found


def prctl(option: int, value: int) -> None:
    """Linux's prctl; elsewhere nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    main(sys.argv[1:])
