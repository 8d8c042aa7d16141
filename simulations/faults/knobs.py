"""Numbers of the product, and of the kernel beneath it, set to where bugs live.

**Whatever they are set to, nothing wrong may happen**, and all is as usual again before the cluster
must come to rest.  (FoundationDB's BUGGIFY, from outside: the product knows nothing of it.)  A knob
is a fault like all others, so a plan that fails is shrunk to the knobs that matter.
"""

import importlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from attrs import frozen

from simulations.faults.base import Fault, kind
from simulations.kernel.prng import Stream

if TYPE_CHECKING:
    from simulations.stage.lab import Lab

ACTIVE_PERMILLE = 150

SITES: dict[str, tuple[float, ...]] = {
    # A log that is hardly ever there, snapshots in crumbs.
    "nanoboost.consensus.snapshotting:LOG_ENTRIES_MAX": (3, 20),
    "nanoboost.consensus.snapshotting:TRAILING_ENTRIES": (0, 2),
    "nanoboost.consensus.snapshotting:PIECE_BYTES": (16, 200),
    # Entries one by one, and hardly any ahead of the answers.
    "nanoboost.consensus.progress:INFLIGHT_MAX": (1, 2),
    "nanoboost.consensus.replication:BATCH_COUNT_MAX": (1, 2),
    "nanoboost.consensus.replication:BATCH_BYTES_MAX": (100, 1000),
    # Results are told again all the time, or hardly ever, or one at a time; few are kept.
    "nanoboost.agent.runner:RESEND_S": (0.05, 5.0),
    "nanoboost.agent.runner:RESEND_MAX": (1,),
    "nanoboost.agent.runner:HELD_MAX": (1, 3),
    "nanoboost.agent.executor:IDLE_S": (0,),
    "nanoboost.master.pipeline:KEYS_MAX": (1,),
    "nanoboost.master.takeover:POLL": (1,),
    "nanoboost.net.link:QUEUE_FRAMES_MAX": (4, 16),
    "nanoboost.nas.service:PATHS_MAX": (1,),
    # Short writes, small windows, timers that are late.
    "simulations.net.sockets:SEND_BYTES_MAX": (64, 2000, 20_000),
    "simulations.net.sockets:RECEIVE_BYTES_MAX": (100, 5000),
    "simulations.net.timers:LATE_NS_MAX": (200_000, 5_000_000),
}
"""Module and name, and what to set it to."""


@kind
@frozen
class Knob(Fault):
    """One number is set to something unusual."""

    site: str
    value: float

    def apply(self, lab: "Lab") -> None:
        """Set it."""
        module_name, _, name = self.site.partition(":")
        module = importlib.import_module(module_name)
        usual = getattr(module, name)
        setattr(module, name, self.value)
        lab.turned.append((module, name, usual))


def knobs(draw: Stream, lasts: int) -> Iterator[Knob]:
    """Some of them, each with its own chance."""
    for site, values in SITES.items():
        if draw.chance(ACTIVE_PERMILLE):
            yield Knob(0, lasts, site, draw.choice(values))
