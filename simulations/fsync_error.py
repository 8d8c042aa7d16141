"""A sync fails, and the next would succeed: what was to be written is gone.

**The node stops at once**, for nobody knows what is on the disk; it never tries again and goes on.
"""

from collections.abc import Iterator

from simulations.command.cli import main
from simulations.faults import FailSync, Fault
from simulations.kernel.prng import Stream
from simulations.kernel.world import MS, SECOND
from simulations.stage.jobs import film
from simulations.stage.model import Model
from simulations.stage.scenario import Scenario


def faults(draw: Stream, model: Model) -> Iterator[Fault]:
    """Fail a sync of the master, and of another."""
    at = draw.between(3500 * MS, 6 * SECOND)
    for who in ("master", draw.choice(("voter", "n1", "n2"))):
        yield FailSync(at, draw.between(2 * SECOND, 4 * SECOND), who)
        at += draw.between(5 * SECOND, 8 * SECOND)


SCENARIO = Scenario(
    "fsync_error",
    "A sync of the master's disk fails, then one of another node's.",
    film(60),
    faults,
    marks=("a disk failed", "a new master"),
)

if __name__ == "__main__":
    main(SCENARIO)
