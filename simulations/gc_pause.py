"""Processes stop now and then, for moments or for half a minute.

**A process that slept accuses nobody** of the silence that was its own.
"""

from collections.abc import Iterator

from simulations.command.cli import main
from simulations.faults import Fault, Pause
from simulations.kernel.prng import Stream
from simulations.kernel.world import MS, SECOND
from simulations.stage.jobs import film
from simulations.stage.model import Model
from simulations.stage.scenario import Scenario


def faults(draw: Stream, model: Model) -> Iterator[Fault]:
    """Many short pauses and some long ones."""
    at = 3 * SECOND
    while at < 16 * SECOND:
        at += draw.between(100 * MS, 2000 * MS)
        most = draw.choice((300, 300, 1500, 6000, 20000)) * MS
        yield Pause(at, draw.between(100 * MS, most), draw.choice((*model.nodes, "master")))


SCENARIO = Scenario(
    "gc_pause",
    "Processes stop for 0.1 to 20 s, many times.",
    film(60),
    faults,
    marks=("a new master", "progress during a fault"),
)

if __name__ == "__main__":
    main(SCENARIO)
