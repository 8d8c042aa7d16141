"""Somebody fills a node's disk, and makes room again after a while.

**Nothing is promised that cannot be kept**; when there is room again, the node goes on as before.
"""

from collections.abc import Iterator

from simulations.command.cli import main
from simulations.faults import Fault, FillDisk
from simulations.kernel.prng import Stream
from simulations.kernel.world import SECOND
from simulations.stage.jobs import film
from simulations.stage.model import Model
from simulations.stage.scenario import Bounds, Scenario


def faults(draw: Stream, model: Model) -> Iterator[Fault]:
    """Fill the master's disk, or a voter's, or both."""
    at = draw.between(4 * SECOND, 7 * SECOND)
    who = draw.choice((("master",), ("voter",), ("master", "voter")))
    for each in who:
        yield FillDisk(at, draw.between(2 * SECOND, 15 * SECOND), each)


SCENARIO = Scenario(
    "full_disk",
    "The disks of one or two voters are full for up to 15 s.",
    film(60),
    faults,
    marks=("a disk full", "progress during a fault"),
    bounds=Bounds(election_ns=8 * SECOND),
)

if __name__ == "__main__":
    main(SCENARIO)
