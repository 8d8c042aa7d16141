"""A child process behind frames: whatever it says or does is its own misfortune."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from twisted.internet import epollreactor
from twisted.internet.defer import Deferred

from nanoboost.errors import LocalError
from nanoboost.net.pipe import Pipe
from nanoboost.wire.codec import Catalog, message
from nanoboost.wire.frame import FRAME_BYTES_MAX, pack
from nanoboost.world.real import kill_group
from tests.nas.fakes import FakeProcess, FakeReactor, fake_runtime, real_runtime


@message(900)
class Say:
    """Anything."""

    text: str


CATALOG = Catalog((Say,))


class Child:
    """A `Pipe` and what it has reported."""

    def __init__(self, reactor: FakeReactor) -> None:
        self.reactor = reactor
        self.heard: list[Any] = []
        self.ends: list[str | None] = []
        runtime = fake_runtime(reactor)
        self.pipe = Pipe(runtime, CATALOG, self.heard.append, self.ends.append)

    @property
    def process(self) -> FakeProcess:
        return self.reactor.process


@pytest.fixture
def child() -> Child:
    child = Child(FakeReactor(CATALOG))
    child.pipe.start(("-m", "some.module", "X"), {"HOME": "/scratch", "EXTRA": "1"})
    return child


def test_a_child_gets_chosen_variables_and_pipes_of_its_own(child: Child) -> None:
    assert child.process.command == ["/bin/python", "-I", "-m", "some.module", "X"]
    assert child.reactor.spawned == [
        {
            "executable": "/bin/python",
            "env": {"PATH": "/bin", "LANG": "C", "HOME": "/scratch", "EXTRA": "1"},
            "path": "/scratch",
            "childFDs": {0: "w", 1: 2, 2: 2, 3: "r"},
        }
    ]


def test_messages_go_both_ways(child: Child) -> None:
    child.pipe.send(Say("hello"))
    assert child.process.heard == [Say("hello")]
    child.process.say(Say("a"), Say("b"))
    assert child.heard == [Say("a"), Say("b")]
    assert child.pipe.pid == 100


def test_a_message_may_come_in_any_pieces(child: Child) -> None:
    for byte in pack(CATALOG.encode(Say("piece by piece"))):
        child.process.protocol.childDataReceived(3, bytes([byte]))
    assert child.heard == [Say("piece by piece")]


@pytest.mark.parametrize(
    ("status", "number", "told"),
    [(0, None, None), (3, None, "exit status 3"), (0, 9, "killed by signal 9")],
)
def test_its_end_is_told_once(
    child: Child, status: int, number: int | None, told: str | None
) -> None:
    child.process.end(status, number)
    assert child.ends == [told]
    child.pipe.send(Say("lost"))
    child.pipe.finish()
    child.pipe.kill()
    assert child.pipe.pid is None
    assert child.process.heard == []
    assert not child.process.is_killed


@pytest.mark.parametrize(
    "data",
    [
        pack(b"\xff"),
        pack(b"\x82\x18\x63\x00"),
        (FRAME_BYTES_MAX + 1).to_bytes(4, "big"),
        b"\0\0\0\0",
        b"Traceback (most recent call last)\n",
    ],
)
def test_a_wrong_frame_ends_the_child_and_nothing_after_it_is_heard(
    child: Child, data: bytes
) -> None:
    child.process.say(Say("right"))
    child.process.protocol.childDataReceived(3, data)
    assert child.process.is_killed
    child.process.say(Say("too late"))
    assert child.heard == [Say("right")]
    child.process.end(signal=9)
    assert len(child.ends) == 1
    assert "said something wrong" in str(child.ends[0])


def test_an_end_in_the_middle_of_a_message_is_no_clean_one(child: Child) -> None:
    child.process.protocol.childDataReceived(3, b"\0\0\0\x09half")
    child.process.end()
    assert child.ends == ["ended in the middle of a message"]


def test_after_finish_nothing_more_is_said(child: Child) -> None:
    child.pipe.finish()
    child.pipe.finish()
    assert child.process.is_input_closed
    child.pipe.send(Say("lost"))
    assert child.process.heard == []
    child.process.say(Say("a last word"))
    assert child.heard == [Say("a last word")]


def test_a_child_that_closed_its_input_is_not_spoken_to(child: Child) -> None:
    """Twisted's writeToChild raises KeyError then, between the closing and the end."""
    child.process.protocol.childConnectionLost(0)
    child.process.is_input_closed = True
    child.pipe.send(Say("lost"))
    child.pipe.finish()
    child.process.end(1)
    assert child.ends == ["exit status 1"]


def test_a_foreign_message_is_our_mistake(child: Child) -> None:
    with pytest.raises(LocalError):
        child.pipe.send("text")


def test_a_process_that_cannot_be_started_is_the_callers_to_report() -> None:
    child = Child(FakeReactor(CATALOG))
    child.reactor.refusal = OSError(11, "Resource temporarily unavailable")
    with pytest.raises(OSError, match="temporarily"):
        child.pipe.start((), {})
    assert child.ends == []


# --- real processes --------------------------------------------------------------------------

ECHO = """
import os, sys
from nanoboost.wire.frame import FrameReader, pack
reader = FrameReader()
print("printing hurts nobody")
while data := os.read(0, 65536):
    for body in reader.feed(data):
        os.write(3, pack(body))
os.write(3, pack(b"\\x82\\x19\\x03\\x84\\x63bye"))
"""


@pytest.fixture
def real(tmp_path: Path) -> Iterator[Any]:
    before = signal.getsignal(signal.SIGCHLD)
    yield evolve(
        real_runtime(epollreactor.EPollReactor(), tmp_path, kill_group),
        environment={"PATH": os.environ["PATH"], "SECRET": "x"},
    )
    signal.signal(signal.SIGCHLD, before)


def run(runtime: Any, program: str, script: Callable[[Pipe, list[Any]], None]) -> list[Any]:
    """Run `program` as a child until it ends; what was heard, and last how it ended."""
    heard: list[Any] = []
    ended: Deferred[str | None] = Deferred()

    def begin() -> None:
        pipe = Pipe(runtime, CATALOG, heard.append, ended.callback)
        pipe.start(("-c", program), {"HOME": runtime.scratch_dir})
        script(pipe, heard)

    def end(how: Any) -> None:
        heard.append(how)
        runtime.reactor.stop()

    ended.addTimeout(20.0, runtime.reactor)
    ended.addBoth(end)
    runtime.reactor.callWhenRunning(begin)
    runtime.reactor.run()
    return heard


@pytest.mark.slow
def test_a_real_child_echoes_more_than_a_pipe_holds(real: Any) -> None:
    long = Say("x" * 900_000)

    def script(pipe: Pipe, _heard: list[Any]) -> None:
        pipe.send(long)
        pipe.send(Say("short"))
        pipe.finish()

    assert run(real, ECHO, script) == [long, Say("short"), Say("bye"), None]


@pytest.mark.slow
def test_a_real_child_has_no_secret_and_a_crash_is_told(real: Any) -> None:
    program = "import os, sys; sys.exit(7 if 'SECRET' in os.environ else 5)"
    assert run(real, program, lambda _pipe, _heard: None) == ["exit status 5"]


@pytest.mark.slow
def test_kill_ends_all_that_a_real_child_started(real: Any, tmp_path: Path) -> None:
    """The grandchild holds the write end of a FIFO: when it dies, its reader sees the end."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    program = (
        "import os, subprocess, sys\n"
        "os.setsid()\n"
        f"subprocess.Popen(['sh', '-c', 'exec 9>{fifo}; echo >&9; exec sleep 60'])\n"
        f"open({str(fifo)!r} + '.go', 'w').close()\n"
        "os.read(0, 1)\n"
    )

    def script(pipe: Pipe, _heard: list[Any]) -> None:
        def look() -> None:
            try:
                started = os.read(reader, 100) == b"\n"
            except BlockingIOError:
                started = False
            if started:
                pipe.kill()
            else:
                real.reactor.callLater(0.01, look)

        look()

    assert run(real, program, script) == ["killed by signal 9"]
    os.set_blocking(reader, True)
    assert os.read(reader, 100) == b"", "the grandchild is gone"
    os.close(reader)
    assert sys.executable in real.python
