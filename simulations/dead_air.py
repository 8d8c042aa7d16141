"""A cut lasts for so long that TCP waits for ever longer before it tries again.

**Nobody waits for TCP**: connections over which nothing comes are closed and made anew, so all is
well within seconds of the heal and not after as long as the cut lasted.
"""

from collections.abc import Iterator

from simulations.command.cli import main
from simulations.faults import Cut, Fault
from simulations.kernel.prng import Stream
from simulations.kernel.world import SECOND
from simulations.stage.jobs import film
from simulations.stage.model import Model
from simulations.stage.scenario import Scenario, Stage

LEADER_NS = 3 * SECOND


def faults(draw: Stream, model: Model) -> Iterator[Fault]:
    """Cut one node off, the master or another."""
    lasts = draw.choice((1, 5, 20, 60)) * SECOND
    yield Cut(draw.between(4 * SECOND, 6 * SECOND), lasts, (draw.choice(("master", "voter")),))


def check(stage: Stage) -> Iterator[str]:
    """All know the one master again."""
    took = stage.recovered_ns.get("L1", 0)
    if took > LEADER_NS:
        yield f"L1 all know one master only {took / SECOND:.1f} s after the heal"


SCENARIO = Scenario(
    "dead_air",
    "One node is cut off for 1 to 60 s; after the heal nobody waits for TCP.",
    film(36),
    faults,
    marks=("a new master", "progress during a fault"),
    check=check,
)

if __name__ == "__main__":
    main(SCENARIO)
