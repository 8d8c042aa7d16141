"""A machine loses its power, and nobody is told: to its peers the connections look alive.

**Everybody notices the silence**, and when the machine is back nobody believes in the old
connections.
"""

from collections.abc import Iterator

from simulations.command.cli import main
from simulations.faults import Fault, PowerOff
from simulations.kernel.prng import Stream
from simulations.kernel.world import SECOND
from simulations.stage.jobs import film
from simulations.stage.model import Model
from simulations.stage.scenario import Scenario


def faults(draw: Stream, model: Model) -> Iterator[Fault]:
    """Switch one off, and later another."""
    at = draw.between(4 * SECOND, 6 * SECOND)
    for who in ("master", "voter"):
        lasts = draw.between(1 * SECOND, 15 * SECOND)
        yield PowerOff(at, lasts, who)
        at += lasts + draw.between(1 * SECOND, 4 * SECOND)


SCENARIO = Scenario(
    "half_open",
    "A machine loses power without a word, then another; connections to them stay half open.",
    film(60),
    faults,
    marks=("a new master", "a node lost in the middle", "a task started again"),
)

if __name__ == "__main__":
    main(SCENARIO)
