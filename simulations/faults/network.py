"""Faults of the network between machines.

**A machine is never told that the network has failed**: it only hears nothing.
"""

from typing import TYPE_CHECKING

from attrs import evolve, frozen

from simulations.faults.base import Fault, kind
from simulations.kernel.world import US

if TYPE_CHECKING:
    from simulations.stage.lab import Lab

Names = tuple[str, ...]
"""Machines; as a second side, () means all others, the client's too."""


@kind
@frozen
class Cut(Fault):
    """Nothing gets from `left` to `right`, nor back unless `one_way`."""

    left: Names
    right: Names = ()
    one_way: bool = False

    def apply(self, lab: "Lab") -> None:
        """Cut, and heal later."""
        left, right = lab.sides(self.left, self.right)
        one, other = lab.kernels(left), lab.kernels(right)
        lab.network.cut(one, other, one_way=self.one_way)
        lab.lasting(
            f"cut {' '.join(left)} {'>' if self.one_way else '|'} {' '.join(right)}",
            self.lasts,
            lambda: lab.network.heal(one, other, one_way=self.one_way),
        )


@kind
@frozen
class Deaf(Fault):
    """A machine hears nobody, but is heard."""

    who: str

    def apply(self, lab: "Lab") -> None:
        """Cut all ways to it."""
        name = lab.find(self.who)
        one, other = (lab.kernels(each) for each in lab.sides((name,), ()))
        lab.network.cut(other, one, one_way=True)
        lab.lasting(
            f"{name} hears nothing",
            self.lasts,
            lambda: lab.network.heal(other, one, one_way=True),
        )


@kind
@frozen
class Clog(Fault):
    """Nothing arrives at or from a machine until this is over; then all of it does."""

    who: str
    one_way: bool = False

    def apply(self, lab: "Lab") -> None:
        """Hold all ways to it, and from it unless `one_way`."""
        name = lab.find(self.who)
        ways = lab.ways((name,), (), one_way=self.one_way)
        lab.network.clog([(other, one) for one, other in ways], lab.world.now + self.lasts)
        lab.lasting(f"{name} is clogged", self.lasts, lambda: None)


@kind
@frozen
class ForeignCertificate(Fault):
    """A machine shows another cluster's certificate in all new connections, and wants to see that
    one: somebody has copied the wrong file.  Its datagrams are still sealed with the right key."""

    who: str

    def apply(self, lab: "Lab") -> None:
        """Exchange it."""
        name = lab.find(self.who)
        security = lab.security_of(name)
        security.certificate, security.accepted = "foreign", ("foreign",)

        def restore() -> None:
            security.certificate, security.accepted = security.cluster, (security.cluster,)

        lab.lasting(f"{name} has a foreign certificate", self.lasts, restore)


@kind
@frozen
class BadWire(Fault):
    """All ways between two sides are bad: times in microseconds, loss and doubles in 1/1000, pieces
    of a stream in bytes.  0 leaves a number as it is in a good network."""

    left: Names
    right: Names = ()
    least_us: int = 0
    jitter_us: int = 0
    loss_permille: int = 0
    twice_permille: int = 0
    bytes_per_s: int = 0
    segment_bytes: int = 0

    def apply(self, lab: "Lab") -> None:
        """Replace them."""
        usual = lab.model.wire
        worse = evolve(
            usual,
            least_ns=self.least_us * US or usual.least_ns,
            jitter_ns=self.jitter_us * US or usual.jitter_ns,
            loss_permille=self.loss_permille or usual.loss_permille,
            twice_permille=self.twice_permille or usual.twice_permille,
            bytes_per_s=self.bytes_per_s or usual.bytes_per_s,
            segment_bytes=self.segment_bytes or usual.segment_bytes,
        )
        undo = lab.network.replace(lab.ways(self.left, self.right), worse)
        left, right = lab.sides(self.left, self.right)
        lab.lasting(f"bad wires {' '.join(left)} | {' '.join(right)}", self.lasts, undo)
