"""The power of the whole house goes, within moments, and comes back in any order.

**What a disk has announced as durable is still there**, votes and frontiers alike; the job goes on
where it was acknowledged to be.
"""

from collections.abc import Iterator

from simulations.command.cli import main
from simulations.faults import Fault, PowerOff
from simulations.hosts.disk import DiskModel
from simulations.kernel.prng import Stream
from simulations.kernel.world import MS, SECOND
from simulations.stage.jobs import film
from simulations.stage.model import Model
from simulations.stage.scenario import Bounds, Scenario


def model(draw: Stream) -> Model:
    """Disks from good ones to SD cards: what is lost is what they had not yet written."""
    return Model(disk=DiskModel(draw.between(1, 60) * MS, draw.between(1, 200) * MS))


def faults(draw: Stream, model: Model) -> Iterator[Fault]:
    """Switch all off within 50 ms, and twice again when all are back."""
    at = 0
    for _ in range(3):
        at += draw.between(4 * SECOND, 7 * SECOND)
        within = draw.choice((0, 5 * MS, 50 * MS))
        dark = [draw.between(500 * MS, 3 * SECOND) for _ in model.nodes]
        for name, lasts in zip(model.nodes, dark, strict=True):
            yield PowerOff(at + draw.between(0, within), lasts, name)
        at += max(dark)


SCENARIO = Scenario(
    "blackout",
    "All nodes lose power within 50 ms, three times, and come back in any order.",
    film(36),
    faults,
    model,
    marks=("a node lost in the middle", "a task started again"),
    # The first vote may be split, and each costs two syncs of such a disk.
    bounds=Bounds(election_ns=4500 * MS),
)

if __name__ == "__main__":
    main(SCENARIO)
