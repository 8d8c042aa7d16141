"""Faults of the NAS, as one machine or all of them see it.

**A NAS that is away fails no task**: a machine that cannot use it is set aside until it can.
"""

from typing import TYPE_CHECKING

from attrs import frozen

from simulations.faults.base import Fault, kind

if TYPE_CHECKING:
    from simulations.procs.nas import Mount
    from simulations.stage.lab import Lab

Names = tuple[str, ...]


def _mounts(lab: "Lab", who: Names) -> "list[Mount]":
    """The mounts of some machines; () means all."""
    names = [lab.find(each) for each in who] or list(lab.machines)
    return [lab.nas.mount(name) for name in names]


def _whose(who: Names) -> str:
    return " ".join(who) or "all"


@kind
@frozen
class StaleNas(Fault):
    """What others write is seen `late` nanoseconds later."""

    late: int
    who: Names = ()

    def apply(self, lab: "Lab") -> None:
        """Let the caches be stale."""
        mounts = _mounts(lab, self.who)
        for mount in mounts:
            mount.stale_ns += self.late

        def refresh() -> None:
            for mount in mounts:
                mount.stale_ns -= self.late

        lab.lasting(f"NAS stale for {_whose(self.who)}", self.lasts, refresh)


@kind
@frozen
class HangNas(Fault):
    """No call of the NAS comes back until this is over."""

    who: Names = ()

    def apply(self, lab: "Lab") -> None:
        """Let it hang."""
        for mount in _mounts(lab, self.who):
            mount.hangs_until = max(mount.hangs_until, lab.world.now + self.lasts)
        lab.lasting(f"NAS hangs for {_whose(self.who)}", self.lasts, lambda: None)


@kind
@frozen
class FailNas(Fault):
    """Every call of the NAS fails: `ESTALE`, `EIO`, read-only, no space."""

    error: str
    who: Names = ()

    def apply(self, lab: "Lab") -> None:
        """Let it fail."""
        mounts = _mounts(lab, self.who)
        for mount in mounts:
            mount.error = self.error

        def recover() -> None:
            for mount in mounts:
                mount.error = ""

        lab.lasting(f"NAS {self.error} for {_whose(self.who)}", self.lasts, recover)


@kind
@frozen
class SlowNas(Fault):
    """Every call of the NAS takes `slow` nanoseconds longer."""

    slow: int
    who: Names = ()

    def apply(self, lab: "Lab") -> None:
        """Slow it down."""
        mounts = _mounts(lab, self.who)
        for mount in mounts:
            mount.slow_ns += self.slow

        def recover() -> None:
            for mount in mounts:
                mount.slow_ns -= self.slow

        lab.lasting(f"NAS slow for {_whose(self.who)}", self.lasts, recover)
