"""Every node is restarted in good order, one after another, while a job is under way.

**A restart in good order costs nobody else anything**: the node hands over and says goodbye before
it goes, and finds its place again when it comes back.
"""

from collections.abc import Iterator

from simulations.command.cli import main
from simulations.faults import Fault, Restart
from simulations.kernel.prng import Stream
from simulations.kernel.world import MS, SECOND
from simulations.stage.jobs import film
from simulations.stage.model import Model
from simulations.stage.scenario import Scenario


def faults(draw: Stream, model: Model) -> Iterator[Fault]:
    """Stop and start the nodes in turn, the master among them."""
    at = 3 * SECOND
    waiting = list(model.nodes)
    while waiting:
        at += draw.between(4 * SECOND, 7 * SECOND)
        name = waiting.pop(draw.below(len(waiting)))
        yield Restart(at, draw.between(100 * MS, 2 * SECOND), name)


SCENARIO = Scenario(
    "rolling_restart",
    "Every node is restarted in good order, one after another, in the middle of a job.",
    film(60),
    faults,
    marks=("a new master", "progress during a fault"),
)

if __name__ == "__main__":
    main(SCENARIO)
