"""A user's own cluster: machines, network and disks, from `shed.toml` or made in Python.

**What is not said is the usual**: a machine of speed 1 with 4 cores and as many slots, a cabled
network, a decent disk.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

from nanoboost.config import NODE_NAME, PROFILES, Profile
from nanoboost.errors import UserError
from simulations.hosts.disk import DiskModel
from simulations.kernel.world import MS
from simulations.net.network import Wire
from simulations.stage.model import HostModel, Model

_HOST_KEYS = ("speed", "cores", "memory_mib", "slots", "labels", "voter")
_LINK_KEYS = ("latency_ms", "jitter_ms", "loss_percent", "mbit_s")
_DISK_KEYS = ("sync_ms", "jitter_ms")


@frozen
class Cluster:
    """`hosts` by name, in the order in which they start: the first three get the votes (the first
    five of seven or more)."""

    hosts: Mapping[str, HostModel]
    profile: Profile = PROFILES["lan"]
    wire: Wire = field(factory=Wire)
    disk: DiskModel = field(factory=DiskModel)
    seconds: Mapping[str, float] = field(factory=dict)
    """For each class of tasks: how long a task of size 1, or without a size, takes on a machine of
    speed 1."""

    @classmethod
    def pis(cls, count: int, slots: int = 4) -> "Cluster":
        """So many Raspberry Pi 4: `pi1`, `pi2`, ..."""
        disk = DiskModel(5 * MS, 60 * MS)
        pi = HostModel(speed=0.3, cores=4, memory_mib=4096, slots=slots)
        names = (f"pi{number + 1}" for number in range(count))
        return cls(dict.fromkeys(names, pi), PROFILES["pi"], disk=disk)

    @classmethod
    def load(cls, path: Path) -> "Cluster":
        """What a TOML file says.  Raises `UserError`."""
        try:
            found = tomllib.loads(path.read_text())
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}") from None
        except ValueError as error:
            raise UserError(f"{path}: {error}") from None
        try:
            return _cluster(found)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None

    @property
    def slots(self) -> int:
        """All slots."""
        return sum(host.slots for host in self.hosts.values())

    def model(self) -> Model:
        """For the simulated world."""
        return Model(
            nodes=tuple(self.hosts),
            profile=self.profile,
            wire=self.wire,
            disk=self.disk,
            hosts=self.hosts,
        )

    def __str__(self) -> str:
        return f"{len(self.hosts)} hosts, {self.slots} slots, profile {self.profile.name}"


def _cluster(found: dict[str, Any]) -> Cluster:
    _known(found, ("profile", "hosts", "link", "disk", "seconds"), "")
    profile = found.get("profile", "lan")
    if profile not in PROFILES:
        raise UserError(f"profile {profile!r}: there are {', '.join(PROFILES)}")
    tables = found.get("hosts")
    if not isinstance(tables, dict) or not tables:
        raise UserError("no hosts: write [hosts.NAME] for each machine")
    # A voter is one of the first that are there, so those that shall be start first.
    names = sorted(tables, key=lambda name: not _table(tables, name).get("voter", False))
    link, disk = _table(found, "link"), _table(found, "disk")
    _known(link, _LINK_KEYS, "link.")
    _known(disk, _DISK_KEYS, "disk.")
    seconds = _table(found, "seconds")
    return Cluster(
        {name: _host(name, _table(tables, name)) for name in names},
        PROFILES[profile],
        Wire(
            least_ns=int(_number(link, "latency_ms", 0.15) * MS),
            jitter_ns=int(_number(link, "jitter_ms", 0.1) * MS),
            loss_permille=int(_number(link, "loss_percent", 0.0) * 10),
            bytes_per_s=int(_number(link, "mbit_s", 0.0) * 125_000),
        ),
        DiskModel(
            int(_number(disk, "sync_ms", 1.0) * MS),
            int(_number(disk, "jitter_ms", 2.0) * MS),
        ),
        {name: _number(seconds, name, 0.0) for name in seconds},
    )


def _host(name: str, table: dict[str, Any]) -> HostModel:
    if not NODE_NAME.fullmatch(name) or name == "client":
        raise UserError(f"host {name!r}: use letters, digits, '.', '_' and '-', and not `client`")
    _known(table, _HOST_KEYS, f"hosts.{name}.")
    cores = int(_number(table, "cores", 4))
    speed = _number(table, "speed", 1.0)
    if speed == 0:
        raise UserError(f"hosts.{name}.speed is 0")
    labels = table.get("labels", [])
    if not isinstance(labels, list) or not all(isinstance(each, str) for each in labels):
        raise UserError(f"hosts.{name}.labels is a list of texts")
    return HostModel(
        speed=speed,
        cores=cores,
        memory_mib=int(_number(table, "memory_mib", 8192)),
        slots=int(_number(table, "slots", cores)),
        labels=tuple(labels),
    )


def _table(found: dict[str, Any], name: str) -> dict[str, Any]:
    table = found.get(name, {})
    if not isinstance(table, dict):
        raise UserError(f"{name} is a table: [{name}]")
    return table


def _known(table: dict[str, Any], known: tuple[str, ...], where: str) -> None:
    for name in table:
        if name not in known:
            raise UserError(f"{where}{name} is not known: {', '.join(known)}")


def _number(table: dict[str, Any], name: str, usual: float) -> float:
    value = table.get(name, usual)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        raise UserError(f"{name} = {value!r}: a number that is not negative")
    return float(value)
