"""The terminal from which the job was submitted is closed, at any moment, and opened again.

**The job goes on without it, and submitting it again submits nothing**: the name of the job was
drawn once.
"""

from collections.abc import Iterator

from simulations.command.cli import main
from simulations.faults import Disconnect, Fault, Kill
from simulations.kernel.prng import Stream
from simulations.kernel.world import MS, SECOND
from simulations.stage.jobs import film
from simulations.stage.model import Model
from simulations.stage.scenario import Scenario, Stage


def faults(draw: Stream, model: Model) -> Iterator[Fault]:
    """Close the terminal about when it submits, and now and then later; kill a master too."""
    at = draw.between(2500 * MS, 4000 * MS)
    for _ in range(3):
        lasts = draw.between(100 * MS, 2 * SECOND)
        yield Disconnect(at, lasts)
        at += lasts + draw.between(100 * MS, 2 * SECOND)
    yield Kill(draw.between(3 * SECOND, 6 * SECOND), SECOND, "master")


def check(stage: Stage) -> Iterator[str]:
    """One job, however often it was submitted."""
    jobs = {record["job"] for record in stage.submissions}
    if len(jobs) != 1:
        yield f"T1 {len(jobs)} jobs were made of one submission"


SCENARIO = Scenario(
    "client_disconnect",
    "The client is killed around its submission and later, and types the same again.",
    film(36),
    faults,
    marks=("job done", "a new master"),
    check=check,
)

if __name__ == "__main__":
    main(SCENARIO)
