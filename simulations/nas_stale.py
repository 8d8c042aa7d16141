"""Each machine's view of the NAS is up to a minute old, and machines lose sight of it for moments.

**A result is believed because it won, and read when it can be seen**: nobody takes "not there yet"
for "not made", and no task fails because of a cache.
"""

from collections.abc import Iterator

from simulations.command.cli import main
from simulations.faults import FailNas, Fault, StaleNas
from simulations.kernel.prng import Stream
from simulations.kernel.world import SECOND
from simulations.stage.jobs import film
from simulations.stage.model import Model
from simulations.stage.scenario import Scenario


def faults(draw: Stream, model: Model) -> Iterator[Fault]:
    """Stale caches for all, and stale handles for one machine now and then."""
    yield StaleNas(2 * SECOND, 25 * SECOND, draw.choice((1, 5, 20)) * SECOND)
    for _ in range(2):
        at, lasts = draw.between(4 * SECOND, 20 * SECOND), draw.between(SECOND, 6 * SECOND)
        yield FailNas(at, lasts, "stale file handle", (draw.choice(model.nodes),))


SCENARIO = Scenario(
    "nas_stale",
    "Directory caches of the NAS are up to 20 s old; one machine after another loses its mount.",
    film(36),
    faults,
    marks=("job done", "a machine unfit"),
)

if __name__ == "__main__":
    main(SCENARIO)
