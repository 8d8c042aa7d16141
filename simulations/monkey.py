"""Everything at once: kills, power cuts, partitions, one-way cuts, lost packets, slow disks, tasks
that fail or crash.

**Faults end, and then all must be well.**
"""

from collections.abc import Iterator

from simulations.cli import main
from simulations.faults import Cut, Deaf, Fault, Kill, PowerOff, SlowDisk
from simulations.hosts.disk import DiskModel
from simulations.jobs import film
from simulations.kernel.prng import Stream
from simulations.kernel.world import MS, SECOND, US
from simulations.model import Model
from simulations.net.network import Wire
from simulations.scenario import Bounds, Scenario

FIRST_NS = 3 * SECOND
LASTS_NS = 15 * SECOND


def model(draw: Stream) -> Model:
    """Three or five nodes, a better or worse network, faster or slower disks."""
    wire = Wire(
        least_ns=draw.between(100, 500) * US,
        jitter_ns=draw.between(50, 5000) * US,
        loss_permille=draw.choice((0, 0, 10, 50)),
        twice_permille=draw.choice((0, 20)),
    )
    disk = DiskModel(draw.between(1, 5) * MS, draw.between(1, 10) * MS)
    names = tuple(f"n{number}" for number in range(draw.choice((3, 3, 5))))
    return Model(nodes=names, wire=wire, disk=disk, mishaps_permille=draw.choice((0, 20)))


def faults(draw: Stream, model: Model) -> Iterator[Fault]:
    """One after another, and many at the same time."""
    at = FIRST_NS
    while at < FIRST_NS + LASTS_NS:
        at += draw.between(200 * MS, 3 * SECOND)
        who = "master" if draw.chance(400) else draw.choice(model.nodes)
        lasts = draw.between(100 * MS, 4 * SECOND)
        some = tuple(name for name in (*model.nodes, "client") if draw.chance(600))
        yield draw.choice(
            (
                Kill(at, lasts, who),
                PowerOff(at, lasts, who),
                Cut(at, lasts, (who,), some),
                Cut(at, lasts, (who,), one_way=True),
                Deaf(at, lasts, who),
                SlowDisk(at, lasts, who, 20 * MS, 200 * MS),
            )
        )


SCENARIO = Scenario(
    "monkey",
    "Everything at once, for 15 s: kills, power cuts, partitions, lost packets, slow disks.",
    film(36),
    faults,
    model,
    marks=("a new master", "progress during a fault", "a task started again"),
    bounds=Bounds(election_ns=5 * SECOND),
)

if __name__ == "__main__":
    main(SCENARIO)
