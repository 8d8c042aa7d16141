"""The master's process is stopped for up to 20 s and wakes up believing that it leads.

**It acts on nothing before it has looked at the clock**: nobody obeys it, it commits nothing, and
what its children finished is acknowledged by its successor.
"""

from collections.abc import Iterator

from simulations.command.cli import main
from simulations.faults import Fault, Pause
from simulations.kernel.prng import Stream
from simulations.kernel.world import SECOND
from simulations.stage.jobs import film
from simulations.stage.model import Model
from simulations.stage.scenario import Scenario


def faults(draw: Stream, model: Model) -> Iterator[Fault]:
    """Stop the master, and later its successor."""
    at = draw.between(4 * SECOND, 7 * SECOND)
    for _ in range(2):
        lasts = draw.between(2 * SECOND, 20 * SECOND)
        yield Pause(at, lasts, "master")
        at += draw.between(3 * SECOND, lasts + 3 * SECOND)


SCENARIO = Scenario(
    "split_brain_two_masters",
    "The master sleeps for up to 20 s and wakes up believing that it still leads; twice.",
    film(60),
    faults,
    marks=("three masters", "progress during a fault"),
)

if __name__ == "__main__":
    main(SCENARIO)
