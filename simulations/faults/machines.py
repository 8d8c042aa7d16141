"""Faults of machines and of the processes on them.

**A killed process, a machine without power, and a process that is stopped are three things**: a
kernel says goodbye for the first, nobody does for the second, and the third wakes up as if nothing
had happened.
"""

from typing import TYPE_CHECKING

from attrs import frozen

from simulations.faults.base import Fault, kind
from simulations.kernel.world import MS, US

if TYPE_CHECKING:
    from simulations.stage.lab import Lab

LAST_WORDS_NS = 20 * MS
"""How long a machine that goes down still has a network."""


@kind
@frozen
class Kill(Fault):
    """`kill -9` of a node's process; it is started again when this is over."""

    who: str

    def apply(self, lab: "Lab") -> None:
        """Kill it, if it runs."""
        name = lab.find(self.who)
        if name in lab.lives:
            lab.kill(name)
            lab.lasting(f"kill {name}", self.lasts, lambda: lab.start(name))


@kind
@frozen
class PowerOff(Fault):
    """A machine loses its power: nobody is told, and what its disk had not written is lost."""

    who: str

    def apply(self, lab: "Lab") -> None:
        """Switch it off, if it is on."""
        name = lab.find(self.who)
        if lab.machines[name].kernel.alive:
            lab.power_off(name)
            lab.lasting(f"no power for {name}", self.lasts, lambda: lab.power_on(name))


@kind
@frozen
class Restart(Fault):
    """A node is stopped in good order; `lasts` after that it is started again."""

    who: str

    def apply(self, lab: "Lab") -> None:
        """Stop it, if it runs."""
        name = lab.find(self.who)
        if name in lab.lives:
            lab.stop(
                name,
                lambda: lab.lasting(f"{name} stopped", self.lasts, lambda: lab.start(name)),
            )


@kind
@frozen
class Pause(Fault):
    """SIGSTOP of a node's process, and SIGCONT: its kernel goes on, and so do its children."""

    who: str

    def apply(self, lab: "Lab") -> None:
        """Stop it."""
        name = lab.find(self.who)
        life = lab.lives.get(name)
        if life is not None and life.process.alive:
            life.process.pause()
            lab.lasting(f"{name} pauses", self.lasts, life.process.resume)


@kind
@frozen
class SlowCpu(Fault):
    """Whatever a node does takes it so many microseconds longer, and the next thing waits: a small
    machine, or one that others keep busy.  (Its children have their own: `HostModel.speed`.)"""

    who: str
    event_us: int

    def apply(self, lab: "Lab") -> None:
        """Slow it down, through all of its lives."""
        name = lab.find(self.who)
        machine, event_ns = lab.machines[name], self.event_us * US
        machine.slow_down(event_ns)

        def recover() -> None:
            if machine.event_ns == event_ns:  # else another one is under way
                machine.slow_down(0)

        lab.lasting(f"slow processor at {name}", self.lasts, recover)


@kind
@frozen
class Reboot(Fault):
    """A machine is restarted in a hurry: its processes are killed, it is away, and comes back."""

    who: str

    def apply(self, lab: "Lab") -> None:
        """Kill the node, then switch the machine off."""
        name = lab.find(self.who)
        if lab.machines[name].kernel.alive:
            lab.kill(name)
            lab.world.after(LAST_WORDS_NS, lab.world.nature, lab.power_off, name)
            lab.lasting(f"{name} reboots", self.lasts, lambda: lab.power_on(name))


@kind
@frozen
class Join(Fault):
    """A new machine is plugged in, and stays."""

    name: str

    def apply(self, lab: "Lab") -> None:
        """Start a node on it."""
        lab.plug_in(self.name)
        lab.lasting(f"{self.name} joins", self.lasts, lambda: None)


@kind
@frozen
class Clone(Fault):
    """A new machine is plugged in with a copy of another's disk, identity and all, and stays."""

    who: str
    name: str

    def apply(self, lab: "Lab") -> None:
        """Copy, and start a node on it."""
        original = lab.find(self.who)
        machine = lab.plug_in(self.name)
        machine.disk.pairs.update(lab.machines[original].disk.pairs)
        lab.lasting(f"{self.name} is a clone of {original}", self.lasts, lambda: None)


@kind
@frozen
class Leave(Fault):
    """A node leaves the cluster for good, in good order."""

    who: str

    def apply(self, lab: "Lab") -> None:
        """Let it go."""
        name = lab.find(self.who)
        if name in lab.lives:
            lab.retire(name)
            lab.lasting(f"{name} leaves", self.lasts, lambda: None)


@kind
@frozen
class StepClock(Fault):
    """Somebody sets a machine's wall clock, and sets it right when this is over."""

    who: str
    by_ms: int

    def apply(self, lab: "Lab") -> None:
        """Set it."""
        name = lab.find(self.who)
        clock = lab.machines[name].clock
        clock.step(self.by_ms / 1000)
        text = f"clock of {name} {self.by_ms / 1000:+g} s"
        lab.lasting(text, self.lasts, lambda: clock.step(-self.by_ms / 1000))


@kind
@frozen
class Drift(Fault):
    """A machine's monotonic clock runs fast by so many microseconds a second (or slow: below 0)."""

    who: str
    ppm: int

    def apply(self, lab: "Lab") -> None:
        """Let it drift."""
        name = lab.find(self.who)
        clock = lab.machines[name].clock
        clock.drift(self.ppm)
        lab.lasting(f"{name} {self.ppm:+} ppm", self.lasts, lambda: clock.drift(0))
