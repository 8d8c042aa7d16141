"""A node is killed and its children are not: they finish, and write their results much later.

**An orphan writes where nobody looks**: its attempt's directory bears a name that only its own
master would have believed, so the task that was started again is not disturbed.
"""

from collections.abc import Iterator

from simulations.command.cli import main
from simulations.faults import Fault, Orphan
from simulations.kernel.prng import Stream
from simulations.kernel.world import SECOND
from simulations.stage.jobs import film
from simulations.stage.model import Model
from simulations.stage.scenario import Scenario


def faults(draw: Stream, model: Model) -> Iterator[Fault]:
    """Kill nodes and leave their children alive."""
    at = 3 * SECOND
    for _ in range(3):
        at += draw.between(2 * SECOND, 4 * SECOND)
        late = draw.choice((0, 1, 5, 60)) * SECOND
        yield Orphan(at, draw.between(SECOND, 3 * SECOND), draw.choice(model.nodes), late)


SCENARIO = Scenario(
    "zombie_writer",
    "Nodes are killed without their children, which write their results up to a minute later.",
    film(60),
    faults,
    marks=("a zombie wrote", "a task started again"),
)

if __name__ == "__main__":
    main(SCENARIO)
