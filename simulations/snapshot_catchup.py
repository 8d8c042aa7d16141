"""A node is away for much longer than the log goes back, and comes back on a shaky network.

**It is brought up to date by a snapshot, in pieces**, also if the master changes in the middle; and
the others do not wait for it.
"""

from collections.abc import Iterator

from simulations.command.cli import main
from simulations.faults import Cut, Fault, Kill, Knob, PowerOff
from simulations.kernel.prng import Stream
from simulations.kernel.world import SECOND
from simulations.stage.jobs import film
from simulations.stage.model import Model
from simulations.stage.scenario import Scenario

CRUMBS = (
    ("nanoboost.consensus.snapshotting:LOG_ENTRIES_MAX", 8),
    ("nanoboost.consensus.snapshotting:TRAILING_ENTRIES", 0),
    ("nanoboost.consensus.snapshotting:PIECE_BYTES", 40),
)


def faults(draw: Stream, model: Model) -> Iterator[Fault]:
    """Keep hardly any log; switch one node off for long; disturb its return."""
    at, lasts = draw.between(4 * SECOND, 5 * SECOND), draw.between(5 * SECOND, 9 * SECOND)
    back = at + lasts
    for site, value in CRUMBS:
        yield Knob(0, back + 6 * SECOND, site, value)
    yield PowerOff(at, lasts, draw.choice(("voter", "n1", "n2")))
    if draw.chance(500):
        yield Kill(back + draw.between(0, SECOND), SECOND, "master")
    else:
        yield Cut(back + draw.between(0, SECOND), SECOND, ("master",))


SCENARIO = Scenario(
    "snapshot_catchup",
    "A node is away for ten times what the log keeps; snapshots travel in crumbs.",
    film(60),
    faults,
    marks=("a node lost in the middle", "a snapshot installed"),
)

if __name__ == "__main__":
    main(SCENARIO)
