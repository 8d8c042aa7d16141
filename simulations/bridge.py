"""Two halves of the cluster do not see each other; one node sees both.

**Nobody is held dead who can be reached through the bridge**, and a master that has a majority
stays: those who do not hear it may not depose it.
"""

from collections.abc import Iterator

from simulations.command.cli import main
from simulations.faults import Cut, Fault
from simulations.kernel.prng import Stream
from simulations.kernel.world import SECOND
from simulations.stage.jobs import film
from simulations.stage.model import Model
from simulations.stage.scenario import Scenario


def faults(draw: Stream, model: Model) -> Iterator[Fault]:
    """Cut two of five nodes off from two others."""
    nodes = list(model.nodes)
    bridge = nodes.pop(draw.below(len(nodes)))
    one = nodes.pop(draw.below(len(nodes)))
    other = nodes.pop(draw.below(len(nodes)))
    at, lasts = draw.between(3 * SECOND, 8 * SECOND), draw.between(5 * SECOND, 15 * SECOND)
    assert bridge not in (one, other, *nodes)
    yield Cut(at, lasts, (one, other), tuple(nodes))


SCENARIO = Scenario(
    "bridge",
    "Two halves of five nodes see each other only through the fifth.",
    film(60),
    faults,
    model=lambda draw: Model(nodes=("n0", "n1", "n2", "n3", "n4")),
    marks=("progress during a fault",),
)

if __name__ == "__main__":
    main(SCENARIO)
