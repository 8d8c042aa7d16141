"""Machines, and the processes on them.

**A machine outlives its processes**: an incarnation is one life of one process, with a reactor of
its own; what it leaves behind is on the disk, in the network, and nowhere else.  A killed process
is said goodbye to by its kernel; a machine without power says nothing.
"""

import hashlib
from collections.abc import Callable

from attrs import evolve

from nanoboost.runtime import Host, Runtime
from simulations.hosts.clock import HostClock
from simulations.hosts.disk import Disk, DiskModel, SimStore
from simulations.hosts.security import SimSecurity
from simulations.kernel.world import Event, World
from simulations.net.network import Network
from simulations.net.reactor import SimReactor
from simulations.net.timers import Timer
from simulations.procs.process import Process, Program

HOST = Host(hostname="", cores=4, memory_mib=8192, speed=1.0)


class Incarnation:
    """One life of one process on a machine: the owner of all that it still has to do."""

    def __init__(self, machine: "Machine", number: int) -> None:
        self.name = machine.name
        self.alive = True
        self.machine = machine
        self.number = number
        self.parked: list[Event] | None = None
        self.event_ns = machine.event_ns
        self.busy_until = 0
        self.reactor = SimReactor(machine.world, machine.kernel, self, self.spawn, machine.clock)
        self.store = SimStore(machine.world, self, machine.disk)
        self.children: dict[int, Process] = {}

    def runtime(self, security: SimSecurity) -> Runtime:
        """What the world gives to a node in this life."""
        machine = self.machine
        secret = f"{machine.world.seed}/{machine.name}/{self.number}".encode()
        return Runtime(
            reactor=self.reactor,
            wall=machine.clock.wall,
            store=self.store,
            security=security,
            host=evolve(machine.facts, hostname=machine.name),
            python=("python3",),
            environment={"PATH": "/usr/bin"},
            kill_group=self.kill_group,
            scratch_dir=f"/{machine.name}/scratch",
            seed=int.from_bytes(hashlib.blake2b(secret, digest_size=8).digest(), "big"),
        )

    def spawn(self, protocol: object, executable: str, arguments: list[str], *_: object) -> Process:
        """Start a child process: `python -m MODULE ARGUMENTS`."""
        assert arguments[1] == "-m", "only modules are run"
        program = self.machine.programs[arguments[2]]
        process = Process(self, self.machine.new_pid(), protocol, program, arguments[3:])
        self.children[process.pid] = process
        process.start()
        return process

    def kill_group(self, pid: int) -> None:
        """End a child at once."""
        if pid in self.children:
            self.children[pid].killed()

    def leftovers(self) -> list[str]:
        """What this process still has, and should not when it has stopped in good order."""
        sockets = [each for each in self.machine.kernel.sockets.values() if not each.is_unborn]
        return [
            *(f"timer {timer}" for timer in self.reactor.getDelayedCalls()),
            *(f"socket at {each.local}" for each in sockets if each.holder is self.reactor),
            *(f"child {child.name}" for child in self.children.values() if not child.is_doomed),
        ]

    def pause(self) -> None:
        """SIGSTOP: the process does nothing, its kernel and its children go on."""
        if self.alive:
            self.alive, self.parked = False, []

    def resume(self) -> None:
        """SIGCONT: what came in meanwhile is looked at first, then the timers that are overdue;
        that is the order of Twisted's reactors."""
        if self.parked is not None:
            parked, self.parked = self.parked, None
            self.alive = True
            parked.sort(key=lambda each: isinstance(getattr(each.call, "__self__", None), Timer))
            self.machine.world.unpark(parked)

    def end(self, *, silently: bool) -> None:
        """This life is over, with all of its children (the real ones die with their node too); but
        for those that nothing can end as long as there is power."""
        self.alive, self.parked = False, None
        for child in list(self.children.values()):
            if silently or not self.machine.orphans_live:
                child.alive = False
        self.store.crash()
        for socket in list(self.machine.kernel.sockets.values()):
            if socket.holder is self.reactor:
                if silently:
                    socket.vanish()
                else:
                    socket.close()


class Machine:
    """A machine with a name.  `programs` are what its Python can run, by module."""

    def __init__(
        self,
        world: World,
        network: Network,
        name: str,
        programs: dict[str, Callable[[Process], Program]],
        *,
        facts: Host = HOST,
        disk: DiskModel | None = None,
    ) -> None:
        self.world = world
        self.name = name
        self.facts = facts
        self.programs = programs
        self.kernel = network.add(name)
        self.clock = HostClock(world)
        self.disk = Disk(disk or DiskModel(), world.stream(f"disk/{name}"))
        self.orphans_live = False
        """Whether children go on when their node is killed (as where no kernel ends them)."""
        self.orphans_wait_ns = 0
        """How long the next of those waits before it writes what it has made."""
        self.event_ns = 0
        """How long its processor is busy with each event of its node, beside no time at all."""
        self.lives = 0
        self._life: Incarnation | None = None
        self._pid = 100

    def new_pid(self) -> int:
        """A process id that nobody has had here."""
        self._pid += 1
        return self._pid

    def new_life(self) -> Incarnation:
        """A new process."""
        self.lives += 1
        self._life = Incarnation(self, self.lives)
        return self._life

    def slow_down(self, event_ns: int) -> None:
        """From now on each event takes its node so long, in this life and in later ones."""
        self.event_ns = event_ns
        if self._life is not None:
            self._life.event_ns = event_ns
