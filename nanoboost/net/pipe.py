"""A child process that is spoken to in frames: its standard input takes them, its fd 3 gives them.

**Whatever a child says or does costs that child only**: a wrong frame ends it, and its end is
reported exactly once.  Its standard output and error go where this process's error output goes, so
that nothing a program prints can be taken for a message.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.error import ProcessDone
from twisted.internet.interfaces import IProcessTransport
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from nanoboost.errors import RemoteError
from nanoboost.runtime import Runtime
from nanoboost.wire.codec import Catalog
from nanoboost.wire.frame import FrameReader, pack

FROM_CHILD_FD = 3
INHERITED = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH", "SSL_CERT_FILE")
"""The variables that children get; secrets of the daemon's environment are not among them."""


class Pipe(ProcessProtocol):
    """One child process.

    `received` hears each message, `ended` once how it ended: None for a clean exit (status 0 and no
    wrong frame), else one line.
    """

    def __init__(
        self,
        runtime: Runtime,
        catalog: Catalog,
        received: Callable[[Any], None],
        ended: Callable[[str | None], None],
    ) -> None:
        self._runtime = runtime
        self._catalog = catalog
        self._received = received
        self._ended = ended
        self._reader = FrameReader()
        self._complaint: str | None = None
        self._over = False
        self._is_deaf = False  # it has closed its input, and will end or has ended

    def start(self, arguments: Sequence[str], extra: Mapping[str, str]) -> None:
        """Start `python ARGUMENTS` with the inherited variables and `extra` ones.

        Raises OSError, and `ended` is not told, if no process can be started.
        """
        command = [*self._runtime.python, *arguments]
        environment = {
            name: self._runtime.environment[name]
            for name in INHERITED
            if name in self._runtime.environment
        }
        self._runtime.reactor.spawnProcess(
            self,
            command[0],
            command,
            env={**environment, **extra},
            path=extra.get("HOME"),
            childFDs={0: "w", 1: 2, 2: 2, FROM_CHILD_FD: "r"},
        )

    @property
    def pid(self) -> int | None:
        """The child's process id; None once it has ended."""
        return None if self._over or self.transport is None else self._process.pid

    def send(self, message: object) -> None:
        """Say `message` to the child; lost without notice once it has ended or was told to."""
        if not self._over and not self._is_deaf:
            self._process.writeToChild(0, pack(self._catalog.encode(message)))

    def finish(self) -> None:
        """Ask the child to end: it reads the end of its input."""
        if not self._over and not self._is_deaf:
            self._is_deaf = True
            self._process.closeChildFD(0)

    def kill(self) -> None:
        """End the child, and all that it started, at once; `ended` is told later."""
        if not self._over and self._process.pid is not None:
            self._runtime.kill_group(self._process.pid)

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """Bytes have come (Twisted's name for it)."""
        if self._complaint is not None:
            return
        try:
            for body in self._reader.feed(data):
                self._received(self._catalog.decode(body))
        except RemoteError as error:
            self._complaint = f"said something wrong: {error}"
            self.kill()

    def childConnectionLost(self, childFD: int) -> None:
        """The child has closed one of the pipes (Twisted's name for it)."""
        if childFD == 0:
            self._is_deaf = True

    def processEnded(self, reason: Failure) -> None:
        """The child has ended and all that it wrote was read (Twisted's name for it)."""
        self._over = True
        complaint = self._complaint or _ending(reason)
        if complaint is None and self._reader.is_inside_frame:
            complaint = "ended in the middle of a message"
        self._ended(complaint)

    @property
    def _process(self) -> IProcessTransport:
        process: IProcessTransport | None = self.transport
        assert process is not None, "started"
        return process


def _ending(reason: Failure) -> str | None:
    if reason.check(ProcessDone) is not None:
        return None
    signal = getattr(reason.value, "signal", None)
    if signal is not None:
        return f"killed by signal {signal}"
    return f"exit status {getattr(reason.value, 'exitCode', '?')}"
