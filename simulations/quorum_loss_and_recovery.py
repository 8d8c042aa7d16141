"""So many voters die that no majority is left; some time later some come back.

**Without a majority nothing is committed, and nothing that was is lost**; agents finish what they
run and keep the results until somebody may commit them.
"""

from collections.abc import Iterator

from simulations.command.cli import main
from simulations.faults import Fault, Kill, PowerOff
from simulations.kernel.prng import Stream
from simulations.kernel.world import MS, SECOND
from simulations.stage.jobs import film
from simulations.stage.model import Model
from simulations.stage.scenario import Scenario


def faults(draw: Stream, model: Model) -> Iterator[Fault]:
    """Take two of the three voters away, and a bystander."""
    at = draw.between(4 * SECOND, 8 * SECOND)
    for who in ("voter", "voter", "learner"):
        kind = draw.choice((Kill, PowerOff))
        yield kind(at, draw.between(5 * SECOND, 20 * SECOND), who)
        at += draw.between(0, 300 * MS)


SCENARIO = Scenario(
    "quorum_loss_and_recovery",
    "Three of five nodes die, two of three voters among them, and come back later.",
    film(60),
    faults,
    model=lambda draw: Model(nodes=("n0", "n1", "n2", "n3", "n4")),
    marks=("a node lost in the middle", "no master for 3 s"),
)

if __name__ == "__main__":
    main(SCENARIO)
