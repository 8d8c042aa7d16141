"""What a cluster is made of: how many machines of which kind, and the network between them.

**Drawn from the seed, as all else, but before anything happens**: a plan of faults does not change
it.
"""

from collections.abc import Mapping

from attrs import field, frozen

from nanoboost.config import PROFILES, Profile
from simulations.hosts.disk import DiskModel
from simulations.kernel.world import MS
from simulations.net.network import Wire


@frozen
class HostModel:
    """One machine and the node on it.  `speed` is relative to the reference machine."""

    speed: float = 1.0
    cores: int = 4
    memory_mib: int = 8192
    slots: int = 2
    labels: tuple[str, ...] = ()


@frozen
class Model:
    """What the cluster is made of."""

    nodes: tuple[str, ...] = ("n0", "n1", "n2")
    profile: Profile = PROFILES["lan"]
    slots: int = 2
    wire: Wire = field(factory=Wire)
    disk: DiskModel = field(factory=DiskModel)
    mishaps_permille: int = 0
    """How many attempts fail, and how many crash, of 1000 each."""
    are_told: bool = True
    """Whether nodes are told where the others are; else they have to find them by the beacon."""
    hosts: Mapping[str, HostModel] = field(factory=dict)
    """The machines that are not like the others."""

    def host(self, name: str) -> HostModel:
        """What this machine is."""
        return self.hosts.get(name) or HostModel(slots=self.slots)

    def __str__(self) -> str:
        wire, disk = self.wire, self.disk
        return (
            f"{len(self.nodes)} nodes × {self.slots} slots, profile {self.profile.name} · latency "
            f"{wire.least_ns / MS:g} ms + {wire.jitter_ns / MS:g} ms, loss "
            f"{wire.loss_permille / 10:g} % · sync {disk.sync_least_ns / MS:g} ms + "
            f"{disk.sync_jitter_ns / MS:g} ms · mishaps {self.mishaps_permille / 10:g} %"
        )
