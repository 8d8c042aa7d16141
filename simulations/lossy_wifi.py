"""Wi-Fi: packets are lost, doubled, late by up to half a second, and there is little room.

**A bad network makes the work slower and nothing else**: nobody is held dead for long, and tasks go
on being finished.
"""

from collections.abc import Iterator

from nanoboost.config import PROFILES
from simulations.command.cli import main
from simulations.faults import BadWire, Fault
from simulations.kernel.prng import Stream
from simulations.kernel.world import SECOND
from simulations.stage.jobs import film
from simulations.stage.model import Model
from simulations.stage.scenario import Bounds, Scenario


def faults(draw: Stream, model: Model) -> Iterator[Fault]:
    """All wires are bad for half a minute."""
    yield BadWire(
        at=draw.between(20 * SECOND, 26 * SECOND),
        lasts=30 * SECOND,
        left=model.nodes,
        right=model.nodes,
        least_us=2000,
        jitter_us=draw.between(50, 200) * 1000,
        loss_permille=draw.between(50, 200),
        twice_permille=20,
        bytes_per_s=125_000,
    )


SCENARIO = Scenario(
    "lossy_wifi",
    "For 30 s packets are lost, doubled and late, and the air holds 1 Mbit/s.",
    film(90),
    faults,
    model=lambda draw: Model(profile=PROFILES["slow"]),
    marks=("progress during a fault",),
    bounds=Bounds(election_ns=25 * SECOND),
)

if __name__ == "__main__":
    main(SCENARIO)
