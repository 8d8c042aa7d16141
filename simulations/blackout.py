"""The power of the whole house goes, within moments, and comes back in any order.

**What a disk has announced as durable is still there**, votes and frontiers alike; the job goes on
where it was acknowledged to be.
"""

from simulations.cli import main
from simulations.hosts.disk import DiskModel
from simulations.jobs import film
from simulations.kernel.prng import Stream
from simulations.kernel.world import MS, SECOND
from simulations.lab import Model
from simulations.scenario import Scenario, Stage

CHUNKS = 36


def model(draw: Stream) -> Model:
    """Disks from good ones to SD cards: what is lost is what they had not yet written."""
    return Model(disk=DiskModel(draw.between(1, 20) * MS, draw.between(1, 40) * MS))


def play(stage: Stage) -> None:
    """Submit; switch all off at a share of the job; switch them on again."""
    lab, draw = stage.lab, stage.draw
    dark = len(lab.model.nodes)
    within = draw.choice((0, 5 * MS, 50 * MS))

    def lights_out() -> None:
        times = [(draw.between(0, within), draw.between(SECOND, 8 * SECOND)) for _ in range(dark)]
        for name, (off, on) in zip(lab.model.nodes, times, strict=True):
            stage.after(off, lab.power_off, name)
            stage.after(on, back, name)
        stage.fault("no power", max(on for _, on in times))
        stage.happened["power lost in the middle"] = stage.done_count < CHUNKS

    def back(name: str) -> None:
        nonlocal dark
        lab.power_on(name)
        dark -= 1
        if not dark:
            stage.rest()

    stage.submit_when_all_are_in()
    stage.at_share(draw.between(1, CHUNKS * 3 // 4), lights_out)


SCENARIO = Scenario(
    "blackout",
    "All nodes lose power within 50 ms in the middle of a job, and come back in any order.",
    film(CHUNKS),
    play,
    model,
)

if __name__ == "__main__":
    main(SCENARIO)
