"""Half of the nodes are clogged one after another, and unclogged in another order.

**What comes late is not what was lost**: everything that was said into the clogs arrives after all,
old terms and old results among it.
"""

from collections.abc import Iterator

from simulations.command.cli import main
from simulations.faults import Clog, Fault
from simulations.kernel.prng import Stream
from simulations.kernel.world import MS, SECOND
from simulations.stage.jobs import film
from simulations.stage.model import Model
from simulations.stage.scenario import Scenario


def faults(draw: Stream, model: Model) -> Iterator[Fault]:
    """FoundationDB's swizzle, twice."""
    at = 4 * SECOND
    for _ in range(2):
        waiting = list(model.nodes)
        some = [waiting.pop(draw.below(len(waiting))) for _ in range(len(model.nodes) // 2 + 1)]
        for name in some:
            at += draw.between(50 * MS, 800 * MS)
            yield Clog(at, draw.between(1 * SECOND, 6 * SECOND), name, draw.chance(300))
        at += 8 * SECOND


SCENARIO = Scenario(
    "swizzle",
    "Random nodes are clogged one after another and unclogged in another order, twice.",
    film(60),
    faults,
    model=lambda draw: Model(nodes=("n0", "n1", "n2", "n3", "n4")),
    marks=("a new master", "progress during a fault"),
)

if __name__ == "__main__":
    main(SCENARIO)
