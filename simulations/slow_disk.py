"""A disk takes from a twentieth of a second to 20 s for a sync: an SD card near its end.

**Heartbeats do not wait for the disk, and do not hide it**: a leader whose disk stalls gives up,
and one whose disk is merely slow goes on.
"""

from collections.abc import Iterator

from simulations.command.cli import main
from simulations.faults import Fault, SlowDisk, StallDisk
from simulations.kernel.prng import Stream
from simulations.kernel.world import MS, SECOND
from simulations.stage.jobs import film
from simulations.stage.model import Model
from simulations.stage.scenario import Bounds, Scenario


def faults(draw: Stream, model: Model) -> Iterator[Fault]:
    """Slow down one disk, then let the master's stall."""
    at = draw.between(3 * SECOND, 5 * SECOND)
    lasts = draw.between(2 * SECOND, 6 * SECOND)
    slow = draw.between(50, 700) * MS
    yield SlowDisk(at, lasts, draw.choice(("master", "voter")), slow, slow // 2)
    yield StallDisk(at + lasts + SECOND, draw.between(2 * SECOND, 15 * SECOND), "master")


SCENARIO = Scenario(
    "slow_disk",
    "A disk becomes slow; then the master's disk stalls for up to 15 s.",
    film(60),
    faults,
    marks=("a new master", "progress during a fault"),
    bounds=Bounds(election_ns=5 * SECOND),
)

if __name__ == "__main__":
    main(SCENARIO)
