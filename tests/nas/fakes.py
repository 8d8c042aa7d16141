"""A reactor whose processes are played by the test, and a runtime around it."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from nanoboost.nas.messages import NAS
from nanoboost.runtime import Host, Runtime
from nanoboost.wire.codec import Catalog
from nanoboost.wire.frame import FrameReader, pack


class FakeProcess:
    """A child process as its parent sees it; `heard` is what it was told so far."""

    def __init__(self, protocol: Any, pid: int, command: list[str], catalog: Catalog) -> None:
        self.protocol = protocol
        self.pid: int | None = pid
        self.command = command
        self.heard: list[Any] = []
        self.is_input_closed = False
        self.is_killed = False
        self._catalog = catalog
        self._reader = FrameReader()

    def writeToChild(self, fd: int, data: bytes) -> None:
        assert fd == 0
        assert not self.is_input_closed, "Twisted raises KeyError here"
        self.heard += [self._catalog.decode(body) for body in self._reader.feed(data)]

    def closeChildFD(self, fd: int) -> None:
        assert fd == 0
        self.is_input_closed = True

    def say(self, *messages: object) -> None:
        for message in messages:
            self.protocol.childDataReceived(3, pack(self._catalog.encode(message)))

    def end(self, status: int = 0, signal: int | None = None) -> None:
        clean = status == 0 and signal is None
        why = ProcessDone(0) if clean else ProcessTerminated(status, signal)
        self.pid = None
        self.protocol.processEnded(Failure(why))


class FakeReactor(Clock):
    """Virtual time, and processes that are recorded."""

    def __init__(self, catalog: Catalog = NAS) -> None:
        super().__init__()
        self.processes: list[FakeProcess] = []
        self.spawned: list[dict[str, Any]] = []
        self.refusal: OSError | None = None
        self._catalog = catalog

    def spawnProcess(self, protocol: Any, executable: str, args: Any, **how: Any) -> None:
        if self.refusal is not None:
            raise self.refusal
        process = FakeProcess(protocol, 100 + len(self.processes), list(args), self._catalog)
        self.processes.append(process)
        self.spawned.append({"executable": executable, **how})
        protocol.makeConnection(process)

    def kill_group(self, pid: int) -> None:
        next(each for each in self.processes if each.pid == pid).is_killed = True

    @property
    def process(self) -> FakeProcess:
        """The newest one."""
        return self.processes[-1]


def fake_runtime(reactor: FakeReactor) -> Runtime:
    """A runtime with just what children need."""
    unused: Any = None
    return Runtime(
        reactor=reactor,
        wall=lambda: 0.0,
        store=unused,
        security=unused,
        host=Host("host", 1, 1024, 1.0),
        python=("/bin/python", "-I"),
        environment={"PATH": "/bin", "SECRET": "x", "LANG": "C"},
        kill_group=reactor.kill_group,
        scratch_dir="/scratch",
        seed=1,
    )


def real_runtime(reactor: Any, scratch: Path, kill_group: Callable[[int], None]) -> Runtime:
    """A runtime with just what real children need."""
    return evolve(
        fake_runtime(FakeReactor()),
        reactor=reactor,
        python=(sys.executable, "-I"),
        environment=dict(os.environ),
        kill_group=kill_group,
        scratch_dir=str(scratch),
    )


@contextmanager
def no_calls_left(reactor: FakeReactor) -> Iterator[None]:
    """What runs inside must leave no timer behind."""
    yield
    assert reactor.getDelayedCalls() == []
