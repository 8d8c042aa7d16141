"""A reactor whose child processes are puppets, and a runtime around it."""

from typing import Any, cast

from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from nanoboost.agent.messages import CHILD, AttemptEnded, ChildReady
from nanoboost.net.pipe import FROM_CHILD_FD
from nanoboost.runtime import DurableStore, Host, Runtime, Security
from nanoboost.wire.frame import FrameReader, pack
from tests.consensus.table import MemoryStore


class Puppet:
    """A child process, from the reactor's side; the test speaks for it."""

    def __init__(self, protocol: ProcessProtocol, command: list[str], pid: int) -> None:
        self.protocol = protocol
        self.command = command
        self.pid: int | None = pid
        self.heard: list[Any] = []
        self.is_asked_to_end = False
        self._reader = FrameReader()
        protocol.makeConnection(self)

    def writeToChild(self, fd: int, data: bytes) -> None:
        assert fd == 0
        self.heard += [CHILD.decode(body) for body in self._reader.feed(data)]

    def closeChildFD(self, fd: int) -> None:
        assert fd == 0
        self.is_asked_to_end = True

    def says(self, *messages: AttemptEnded | ChildReady) -> None:
        for message in messages:
            self.says_bytes(pack(CHILD.encode(message)))

    def says_bytes(self, data: bytes) -> None:
        self.protocol.childDataReceived(FROM_CHILD_FD, data)

    def ends(self, status: int = 0, signal: int | None = None) -> None:
        self.pid = None
        reason = ProcessTerminated(status, signal, 0) if status or signal else ProcessDone(0)
        self.protocol.processEnded(Failure(reason))


class PuppetReactor(Clock):
    """Virtual time; `puppets` are the child processes in the order of their start."""

    def __init__(self) -> None:
        super().__init__()
        self.puppets: list[Puppet] = []
        self.killed: list[int] = []
        self.has_no_room = False

    def spawnProcess(
        self, protocol: ProcessProtocol, executable: str, args: list[str], **_options: Any
    ) -> Puppet:
        if self.has_no_room:
            raise OSError(11, "Resource temporarily unavailable")
        puppet = Puppet(protocol, args, 1000 + len(self.puppets))
        self.puppets.append(puppet)
        return puppet


class Pinned:
    """As much of `Security` as an agent looks at."""

    cluster = "c" * 16


def runtime(reactor: PuppetReactor) -> Runtime:
    return Runtime(
        reactor=reactor,
        wall=lambda: 0.0,
        store=cast("DurableStore", MemoryStore(reactor)),
        security=cast("Security", Pinned()),
        host=Host("host", 4, 1024, 0.5),
        python=("python3", "-I"),
        environment={"PATH": "/bin", "SECRET": "secret"},
        kill_group=reactor.killed.append,
        scratch_dir="/scratch",
        seed=1,
    )
