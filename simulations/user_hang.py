"""User code never comes to an end, and does not listen to a polite request.

**Its timeout ends it, and all that it started**; the slot is free for others, and nothing is left.
"""

from collections.abc import Iterator

from simulations.command.cli import main
from simulations.faults import Fault, Misbehave
from simulations.kernel.prng import Stream
from simulations.kernel.world import SECOND
from simulations.stage.jobs import film
from simulations.stage.model import Model
from simulations.stage.scenario import Scenario


def faults(draw: Stream, model: Model) -> Iterator[Fault]:
    """Some tasks hang, once or twice each."""
    for _ in range(6):
        yield Misbehave(2 * SECOND, 0, draw.between(1, 36), "hang", draw.between(1, 2))


SCENARIO = Scenario(
    "user_hang",
    "User code hangs; its timeout of 5 s ends it.",
    film(36, timeout_s=5.0),
    faults,
    marks=("user code went wrong", "a timeout", "job done"),
)

if __name__ == "__main__":
    main(SCENARIO)
