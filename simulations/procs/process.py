"""Child processes: `spawnProcess` gives one of these, and a model of a program runs in it.

**What a child wrote is read before its end is told**, and a killed child does nothing more.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.interfaces import IProcessTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from simulations.kernel.prng import Stream
from simulations.kernel.world import MS, US, Event, World
from simulations.net.timers import as_call

if TYPE_CHECKING:
    from simulations.hosts.machine import Incarnation

PIPE_NS = 20 * US
START_LEAST_NS = 60 * MS
START_JITTER_NS = 60 * MS
KILL = 9


class Program(Protocol):
    """A model of a program.  It answers by `Process.say`, `after` and `exit`."""

    def started(self) -> None:
        """The interpreter is up."""

    def received(self, data: bytes) -> None:
        """Bytes on its standard input."""

    def input_ended(self) -> None:
        """The end of its standard input."""


@implementer(IProcessTransport)
class Process:
    """One child process (the method names are Twisted's)."""

    def __init__(
        self,
        parent: "Incarnation",
        pid: int,
        protocol: Any,
        program: "Callable[[Process], Program]",
        arguments: Sequence[str],
    ) -> None:
        self.name = f"{parent.name}/{pid}"
        self.alive = True
        self.parked: list[Event] | None = None
        self.event_ns = 0
        self.busy_until = 0
        self.stuck_until = 0
        """It is in a call of the NAS that does not come back: nothing can end it before."""
        self.is_doomed = False
        """It has been sent SIGKILL, and ends when that call comes back."""
        self.pid = pid
        self.arguments = tuple(arguments)
        self.machine = parent.machine
        self.world: World = parent.machine.world
        self._parent = parent
        self._protocol = protocol
        self._program = program(self)
        self._ready = False
        self._early: list[Callable[[], None]] = []

    def start(self) -> None:
        """Begin; the program is up some time later."""
        self._protocol.makeConnection(self)
        delay = self.draw("start").tailed(START_LEAST_NS, START_JITTER_NS)
        self.world.after(delay, self, self._begin)

    def _begin(self) -> None:
        self._ready = True
        self._program.started()
        early, self._early = self._early, []
        for call in early:
            call()

    # --- what the program says -------------------------------------------------------------------

    def draw(self, what: str) -> Stream:
        """Random numbers of this process."""
        return self.world.stream(f"process/{self.name}/{self._parent.number}/{what}")

    def after(self, delay: int, call: Callable[[], object]) -> None:
        """Do it later, unless killed by then."""
        self.world.after(delay, self, call)

    def say(self, data: bytes, fd: int = 3) -> None:
        """Write to the parent."""
        self._tell(self._protocol.childDataReceived, fd, data)

    def exit(self, status: int = 0) -> None:
        """End."""
        self._end(ProcessTerminated(exitCode=status) if status else ProcessDone(0))

    def killed(self) -> None:
        """Somebody has sent SIGKILL."""
        self.is_doomed = True
        if self.stuck_until > self.world.now:
            self.world.at(self.stuck_until, self.world.nature, self.killed)
            return
        self._end(ProcessTerminated(signal=KILL))

    @property
    def is_orphan(self) -> bool:
        """Whether its node is dead (and not just stopped)."""
        return not self._parent.alive and self._parent.parked is None

    def _end(self, reason: Exception) -> None:
        if not self.alive:
            return
        self.alive = False
        self._parent.children.pop(self.pid, None)
        for fd in (0, 3):
            self._tell(self._protocol.childConnectionLost, fd)
        self._tell(self._protocol.processExited, Failure(reason))
        self._tell(self._protocol.processEnded, Failure(reason))

    def _tell(self, call: Callable[..., object], *arguments: object) -> None:
        self.world.after(PIPE_NS, self._parent, as_call(call, *arguments))

    # --- what the parent does --------------------------------------------------------------------

    def writeToChild(self, childFD: int, data: bytes) -> None:
        """Write to its standard input."""
        assert childFD == 0
        self.world.after(PIPE_NS, self, self._take, lambda: self._program.received(data))

    def closeChildFD(self, descriptor: int) -> None:
        """Close its standard input."""
        if descriptor == 0:
            self.world.after(PIPE_NS, self, self._take, self._program.input_ended)

    def _take(self, call: Callable[[], None]) -> None:
        if self._ready:
            call()
        else:
            self._early.append(call)

    def signalProcess(self, signalID: str | int) -> None:
        """Only SIGKILL is known."""
        if not self.alive:
            raise ProcessExitedAlready
        assert signalID in ("KILL", KILL)
        self.killed()

    def write(self, data: bytes) -> None:
        """Write to its standard input."""
        self.writeToChild(0, data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Write to its standard input."""
        self.writeToChild(0, b"".join(data))

    def closeStdin(self) -> None:
        """Close its standard input."""
        self.closeChildFD(0)

    def closeStdout(self) -> None:
        """Nothing is read from there."""

    def closeStderr(self) -> None:
        """Nothing is read from there."""

    def loseConnection(self) -> None:
        """Close all pipes."""
        self.closeChildFD(0)

    def getPeer(self) -> Any:
        """A process has none."""
        raise NotImplementedError

    def getHost(self) -> Any:
        """A process has none."""
        raise NotImplementedError
