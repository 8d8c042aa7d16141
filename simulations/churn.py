"""Machines come, go in good order, and die, all the time.

**The cluster follows**: it has a master and a majority of voters throughout, and in the end
everybody knows exactly who is there.
"""

from collections.abc import Iterator

from simulations.command.cli import main
from simulations.faults import Fault, Join, Kill, Leave, PowerOff
from simulations.kernel.prng import Stream
from simulations.kernel.world import MS, SECOND
from simulations.stage.jobs import film
from simulations.stage.model import Model
from simulations.stage.scenario import Scenario


def faults(draw: Stream, model: Model) -> Iterator[Fault]:
    """Something every second or so; of the first three nodes only one is away at a time."""
    names: list[str] = []
    at, free_at = 3 * SECOND, 0
    for number in range(16):
        at += draw.between(200 * MS, 2500 * MS)
        lasts = draw.between(300 * MS, 4 * SECOND)
        if len(names) < 6 and draw.chance(450):
            names.append(f"m{number}")
            yield Join(at, 0, names[-1])
        elif len(names) > 2 and draw.chance(350):
            yield Leave(at, 0, names.pop(draw.below(len(names))))
        elif names and draw.chance(500):
            yield draw.choice((Kill, PowerOff))(at, lasts, draw.choice(names))
        elif at > free_at:
            free_at = at + lasts + 3 * SECOND
            yield Kill(at, lasts, draw.choice(model.nodes))


SCENARIO = Scenario(
    "churn",
    "Machines join, leave and die, one every second or so.",
    film(120),
    faults,
    marks=("a node joined", "a node left", "a node lost in the middle"),
)

if __name__ == "__main__":
    main(SCENARIO)
