"""Faults of a node's own disk.

**What a disk has announced as durable stays, unless the disk itself is gone** (`Wipe`) **or bad**
(`RotDisk`): then the machine is a new one under an old name.
"""

from typing import TYPE_CHECKING

from attrs import frozen

from simulations.faults.base import Fault, kind
from simulations.hosts.disk import DiskModel

if TYPE_CHECKING:
    from simulations.stage.lab import Lab


@kind
@frozen
class SlowDisk(Fault):
    """Each sync takes `least` and a share of `jitter` (nanoseconds)."""

    who: str
    least: int
    jitter: int = 0

    def apply(self, lab: "Lab") -> None:
        """Slow it down."""
        name = lab.find(self.who)
        disk = lab.machines[name].disk
        disk.worse = worse = DiskModel(self.least, self.jitter)

        def recover() -> None:
            if disk.worse is worse:
                disk.worse = None

        lab.lasting(f"slow disk at {name}", self.lasts, recover)


@kind
@frozen
class StallDisk(Fault):
    """Nothing is written until this is over."""

    who: str

    def apply(self, lab: "Lab") -> None:
        """Stall it."""
        name = lab.find(self.who)
        disk = lab.machines[name].disk
        disk.stalls_until = max(disk.stalls_until, lab.world.now + self.lasts)

        def recover() -> None:
            if disk.stalls_until <= lab.world.now:
                disk.stalls_until = 0

        lab.lasting(f"disk of {name} stalls", self.lasts, recover)


@kind
@frozen
class FailSync(Fault):
    """The next sync fails.  The node must stop; it is started again when this is over."""

    who: str

    def apply(self, lab: "Lab") -> None:
        """Let it fail."""
        name = lab.find(self.who)
        disk = lab.machines[name].disk
        disk.fails = True

        def recover() -> None:
            disk.fails = False
            lab.start(name)

        lab.lasting(f"a sync of {name} fails", self.lasts, recover)


@kind
@frozen
class FillDisk(Fault):
    """Somebody else has filled the disk; there is space again when this is over."""

    who: str

    def apply(self, lab: "Lab") -> None:
        """Fill it."""
        name = lab.find(self.who)
        disk = lab.machines[name].disk
        disk.is_full = True

        def recover() -> None:
            disk.is_full = False

        lab.lasting(f"disk of {name} is full", self.lasts, recover)


@kind
@frozen
class RotDisk(Fault):
    """A machine loses its power, and when it is back one bit on its disk has turned over: of all
    that its node has written, the `bit`th."""

    who: str
    bit: int

    def apply(self, lab: "Lab") -> None:
        """Switch it off, turn the bit over."""
        name = lab.find(self.who)
        if lab.machines[name].kernel.alive:
            lab.power_off(name)
            lab.machines[name].disk.turn_a_bit(self.bit)
            lab.lasting(f"a bit of {name} turns over", self.lasts, lambda: lab.power_on(name))


@kind
@frozen
class Wipe(Fault):
    """A machine dies and comes back with an empty disk, under its old name and address."""

    who: str

    def apply(self, lab: "Lab") -> None:
        """Switch it off, take the disk out."""
        name = lab.find(self.who)
        if lab.machines[name].kernel.alive:
            lab.power_off(name)
            lab.replace_disk(name)
            lab.lasting(f"{name} gets a new disk", self.lasts, lambda: lab.power_on(name))
