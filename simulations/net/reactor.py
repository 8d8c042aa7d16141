"""A reactor for one incarnation of one node, over virtual time and simulated sockets.

**Transports are Twisted's own** (`tcp.Port`, `tcp.Client`, `tcp.Server`, `udp.Port`, and the way in
which its poll reactors call them); only the sockets beneath are simulated.  Nothing happens on the
spot: whatever becomes ready is looked at in the reactor's next turn, a microsecond later.
"""

# ruff: noqa: A002  (the arguments' names are Twisted's)

from collections.abc import Callable
from typing import Any

from twisted.internet import fdesc, tcp, udp
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import DNSLookupError
from twisted.internet.interfaces import (
    IReactorCore,
    IReactorFDSet,
    IReactorMulticast,
    IReactorProcess,
    IReactorTCP,
    IReactorTime,
    IReactorUDP,
)
from twisted.internet.posixbase import _DisconnectSelectableMixin, _PollLikeMixin
from zope.interface import implementer

from simulations.hosts.clock import HostClock
from simulations.kernel.world import US, Owner, World
from simulations.net.network import FIRST_FD, Kernel
from simulations.net.sockets import StreamSocket, UdpSocket
from simulations.net.timers import Timer, as_call

if hasattr(fdesc, "_setCloseOnExec"):  # Twisted 22.4 sets a flag on descriptors that it accepts
    _set_close_on_exec = fdesc._setCloseOnExec

    def _unless_simulated(fd: int) -> Any:
        return _set_close_on_exec(fd) if fd < FIRST_FD else None

    fdesc._setCloseOnExec = _unless_simulated

_IN, _OUT, _HUNG_UP = 1, 2, 4


class _Port(tcp.Port):
    reactor: Any

    def createInternetSocket(self) -> Any:
        return self.reactor.stream_socket()


class _Client(tcp.Client):
    def createInternetSocket(self) -> Any:
        return self.connector.reactor.stream_socket()  # the own `reactor` is set later


class _Connector(tcp.Connector):
    def _makeTransport(self) -> _Client:
        return _Client(self.host, self.port, self.bindAddress, self, self.reactor)


class _Datagrams(udp.Port):
    reactor: Any

    def createInternetSocket(self) -> Any:
        return self.reactor.datagram_socket()


class _Calls(udp.MulticastPort):
    reactor: Any

    def createInternetSocket(self) -> Any:
        return self.reactor.datagram_socket()


Spawn = Callable[..., Any]


@implementer(
    IReactorCore,
    IReactorTime,
    IReactorTCP,
    IReactorUDP,
    IReactorMulticast,
    IReactorFDSet,
    IReactorProcess,
)
class SimReactor(_PollLikeMixin, _DisconnectSelectableMixin):
    """The reactor of `owner` on the machine `kernel` (the method names are Twisted's).

    `spawn` starts child processes; it takes what `spawnProcess` takes.
    """

    _POLL_IN, _POLL_OUT, _POLL_DISCONNECTED = _IN, _OUT, _HUNG_UP

    def __init__(
        self,
        world: World,
        kernel: Kernel,
        owner: Owner,
        spawn: Spawn,
        clock: HostClock | None = None,
    ) -> None:
        self.kernel = kernel
        self.running = True
        self._world = world
        self._owner = owner
        self._spawn = spawn
        clock = clock or HostClock(world)
        self.seconds = clock.seconds
        self._truly = clock.truly
        self._timers: dict[Timer, None] = {}
        self._reads: dict[int, Any] = {}
        self._writes: dict[int, Any] = {}
        self._ready: dict[int, None] = {}
        self._turn_is_due = False
        self.turns = 0
        """How often anything has happened here: turns of the loop, and calls for later."""
        self._triggers: dict[tuple[str, str], list[Callable[[], object]]] = {}

    # --- time ------------------------------------------------------------------------------------

    def callLater(
        self, delay: float, callable: Callable[..., Any], *args: object, **kw: object
    ) -> Timer:
        """Call it `delay` seconds from now."""
        assert delay >= 0, f"{delay} is not greater than or equal to 0 seconds"
        self.turns += 1
        call = as_call(callable, *args, **kw)
        timer = Timer(self._world, self._owner, delay, call, self._timer_gone, self._truly)
        self._timers[timer] = None
        return timer

    def _timer_gone(self, timer: Timer) -> None:
        self._timers.pop(timer, None)

    def getDelayedCalls(self) -> tuple[Timer, ...]:
        """All timers that are still to come."""
        return tuple(self._timers)

    def callFromThread(self, callable: Callable[..., Any], *args: object, **kw: object) -> None:
        """There are no threads here; it is called in the next turn."""
        self.callLater(0, callable, *args, **kw)

    # --- connections -----------------------------------------------------------------------------

    def stream_socket(self) -> StreamSocket:
        """A new TCP socket of this machine."""
        return StreamSocket(self.kernel, self)

    def datagram_socket(self) -> UdpSocket:
        """A new UDP socket of this machine."""
        return UdpSocket(self.kernel, self)

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        """Listen."""
        made = _Port(port, factory, backlog, interface, self)
        made.startListening()
        return made

    def connectTCP(
        self,
        host: str,
        port: int,
        factory: Any,
        timeout: float = 30,
        bindAddress: Any = None,
    ) -> Any:
        """Connect."""
        connector = _Connector(host, port, factory, timeout, bindAddress, self)
        connector.connect()
        return connector

    def listenUDP(
        self, port: int, protocol: Any, interface: str = "", maxPacketSize: int = 8192
    ) -> Any:
        """Take datagrams."""
        made = _Datagrams(port, protocol, interface, maxPacketSize, self)
        made.startListening()
        return made

    def listenMulticast(
        self,
        port: int,
        protocol: Any,
        interface: str = "",
        maxPacketSize: int = 8192,
        listenMultiple: bool = False,
    ) -> Any:
        """Take datagrams, those too that are for everybody."""
        made = _Calls(port, protocol, interface, maxPacketSize, self, listenMultiple)
        made.startListening()
        return made

    def spawnProcess(
        self,
        processProtocol: Any,
        executable: Any,
        args: Any = (),
        env: Any = None,
        path: Any = None,
        uid: Any = None,
        gid: Any = None,
        usePTY: bool = False,
        childFDs: Any = None,
    ) -> Any:
        """Start a child process."""
        return self._spawn(processProtocol, executable, args, env or {}, path, childFDs or {})

    # --- descriptors -----------------------------------------------------------------------------

    def addReader(self, reader: Any) -> None:
        """Call `doRead` whenever there is something to read."""
        self._reads[reader.fileno()] = reader
        self.woken(reader.fileno())

    def addWriter(self, writer: Any) -> None:
        """Call `doWrite` whenever there is room."""
        self._writes[writer.fileno()] = writer
        self.woken(writer.fileno())

    def removeReader(self, reader: Any) -> None:
        """No more `doRead`."""
        _remove(self._reads, reader)

    def removeWriter(self, writer: Any) -> None:
        """No more `doWrite`."""
        _remove(self._writes, writer)

    def removeAll(self) -> list[Any]:
        """No more of anything; returns what there was."""
        found = {id(each): each for each in (*self._reads.values(), *self._writes.values())}
        self._reads.clear()
        self._writes.clear()
        return list(found.values())

    def getReaders(self) -> list[Any]:
        """What is read from."""
        return list(self._reads.values())

    def getWriters(self) -> list[Any]:
        """What is written to."""
        return list(self._writes.values())

    def woken(self, fd: int) -> None:
        """There may be something to do with this descriptor."""
        self._ready[fd] = None
        if not self._turn_is_due:
            self._turn_is_due = True
            self._world.at(self._world.now + US, self._owner, self._turn)

    def _turn(self) -> None:
        """One turn of the loop: whatever is ready is called once, in the order in which it woke."""
        self._turn_is_due = False
        self.turns += 1
        ready, self._ready = self._ready, {}
        self._owner.busy_until += self._owner.event_ns * (len(ready) - 1)  # the first is counted
        for fd in ready:
            events = self._events(fd)
            selectable = self._reads.get(fd) or self._writes.get(fd)
            if events and selectable is not None:
                self._doReadOrWrite(selectable, fd, events)
                if self._events(fd):
                    self.woken(fd)

    def _events(self, fd: int) -> int:
        socket = self.kernel.sockets.get(fd)
        reads, writes = fd in self._reads, fd in self._writes
        if socket is None or not (reads or writes):
            return 0
        return (
            (_IN if reads and socket.is_readable else 0)
            | (_OUT if writes and socket.is_writable else 0)
            | (_HUNG_UP if socket.is_hung_up else 0)
        )

    # --- life ------------------------------------------------------------------------------------

    def resolve(self, name: str, timeout: Any = (1, 3, 11, 45)) -> "Deferred[str]":
        """The address of the machine called `name`."""
        for kernel in self.kernel.network.kernels.values():
            if kernel.name == name:
                return succeed(kernel.ip)
        return fail(DNSLookupError(name))

    def callWhenRunning(self, callable: Callable[..., Any], *args: object, **kw: object) -> None:
        """It is running."""
        callable(*args, **kw)

    def addSystemEventTrigger(
        self, phase: str, eventType: str, callable: Callable[..., Any], *args: object, **kw: object
    ) -> Any:
        """Remember what is to be done at "shutdown"."""
        call = as_call(callable, *args, **kw)
        self._triggers.setdefault((phase, eventType), []).append(call)
        return (phase, eventType, call)

    def removeSystemEventTrigger(self, triggerID: Any) -> None:
        """Forget it."""
        phase, kind, call = triggerID
        self._triggers[phase, kind].remove(call)

    def fireSystemEvent(self, eventType: str) -> None:
        """Do what was to be done then."""
        for phase in ("before", "during", "after"):
            for call in self._triggers.get((phase, eventType), []):
                call()

    def run(self) -> None:
        """The world runs it."""
        raise NotImplementedError("the simulated world runs its reactors")

    def iterate(self, delay: float = 0) -> None:
        """The world runs it."""
        raise NotImplementedError("the simulated world runs its reactors")

    def crash(self) -> None:
        """It runs no more."""
        self.running = False

    def stop(self) -> None:
        """It runs no more, after what was to be done at "shutdown"."""
        self.running = False
        self.fireSystemEvent("shutdown")


def _remove(selectables: dict[int, Any], gone: Any) -> None:
    """A closed descriptor has no number any more: then it is looked for."""
    fd = gone.fileno()
    if fd == -1:
        fd = next((number for number, each in selectables.items() if each is gone), -1)
    selectables.pop(fd, None)
