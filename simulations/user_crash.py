"""User code raises, exits, is killed, babbles on its pipe, or dies without a word when it is done.

**It costs the task one of its retries and nobody else anything**; with none left the job fails and
its user is told why.
"""

from collections.abc import Iterator

from simulations.command.cli import main
from simulations.faults import Fault, Misbehave
from simulations.kernel.prng import Stream
from simulations.kernel.world import SECOND
from simulations.stage.jobs import film
from simulations.stage.model import Model
from simulations.stage.scenario import Scenario, Stage


def faults(draw: Stream, model: Model) -> Iterator[Fault]:
    """Several tasks go wrong once or twice; in some runs one does so for ever."""
    for _ in range(8):
        how = draw.choice(("raise", "exit", "crash", "garbage", "flood", "mute"))
        yield Misbehave(2 * SECOND, 0, draw.between(0, 36), how, draw.between(1, 2))
    if draw.chance(200):
        yield Misbehave(2 * SECOND + 1, 0, draw.between(1, 36), "raise", 100)


def check(stage: Stage) -> Iterator[str]:
    """A job fails only if a task always does, and its user is told."""
    client = stage.lab.clients[0]
    hopeless = any(isinstance(each, Misbehave) and each.times > 2 for each in stage.plan)
    if client.exit_status != int(hopeless):
        yield f"T4 the client ended {client.exit_status}: {client.watcher.lines[-3:]}"
    if hopeless and not any("on purpose" in line for line in client.watcher.lines):
        yield "T4 nobody told the user why the job failed"


SCENARIO = Scenario(
    "user_crash",
    "User code raises, exits, is killed, babbles, or dies without a word.",
    film(36),
    faults,
    marks=("user code went wrong", "a job failed", "job done"),
    check=check,
    exits=(0, 1),
)

if __name__ == "__main__":
    main(SCENARIO)
