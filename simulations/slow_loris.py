"""One peer takes a few bytes a second, and everything comes in pieces of one byte.

**Nobody waits for the slowest**: what is said to it piles up within bounds, and all others go on.
"""

from collections.abc import Iterator

from simulations.command.cli import main
from simulations.faults import BadWire, Fault
from simulations.kernel.prng import Stream
from simulations.kernel.world import SECOND
from simulations.stage.jobs import film
from simulations.stage.model import Model
from simulations.stage.scenario import Bounds, Scenario

TRICKLE_NS = 8 * SECOND


def faults(draw: Stream, model: Model) -> Iterator[Fault]:
    """First pieces of one byte for all, then a trickle for one."""
    at = draw.between(3 * SECOND, 5 * SECOND)
    yield BadWire(at, 3 * SECOND, model.nodes, model.nodes, segment_bytes=draw.choice((1, 2, 7)))
    who = draw.choice(("voter", "master", "learner"))
    rate = draw.choice((50, 500, 5000))
    yield BadWire(at + 4 * SECOND, TRICKLE_NS, (who,), bytes_per_s=rate)


ELECTION_NS = 4 * SECOND
"""What a master had said before it stepped down trickles on, and keeps the others from standing."""

SCENARIO = Scenario(
    "slow_loris",
    "Streams come in pieces of one byte; then one peer takes only a few bytes a second.",
    film(60),
    faults,
    marks=("progress during a fault",),
    bounds=Bounds(election_ns=TRICKLE_NS + ELECTION_NS),
)

if __name__ == "__main__":
    main(SCENARIO)
