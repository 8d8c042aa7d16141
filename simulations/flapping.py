"""One wire is cut and whole again every now and then, several times a second or less often.

**Mastership does not flap with it**: a leader in touch with a majority is not deposed.
"""

from collections.abc import Iterator

from simulations.command.cli import main
from simulations.faults import Cut, Fault
from simulations.kernel.prng import Stream
from simulations.kernel.world import MS, SECOND
from simulations.stage.jobs import film
from simulations.stage.model import Model
from simulations.stage.scenario import Scenario, Stage

MASTERS_MAX = 6


def faults(draw: Stream, model: Model) -> Iterator[Fault]:
    """Cut the wire between two nodes again and again."""
    one, other = draw.choice((("master", "voter"), ("voter", "n2"), ("n0", "n1")))
    slow = draw.choice((1, 3, 10))
    at = 4 * SECOND
    while at < 16 * SECOND:
        lasts = draw.between(100 * MS, 300 * MS) * slow
        yield Cut(at, lasts, (one,), (other,))
        at += lasts + draw.between(100 * MS, 300 * MS) * slow


def check(stage: Stage) -> Iterator[str]:
    """Count the masters."""
    if stage.masters.count > MASTERS_MAX:
        yield f"L1 {stage.masters.count} masters because of one bad wire"


SCENARIO = Scenario(
    "flapping",
    "One wire is cut and healed again and again, for 12 s.",
    film(60),
    faults,
    marks=("progress during a fault",),
    check=check,
)

if __name__ == "__main__":
    main(SCENARIO)
