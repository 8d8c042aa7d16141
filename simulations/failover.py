"""The master's process is killed in the middle of a job, again and again; each comes back.

**No kill costs more than what nothing had acknowledged**: each new master goes on from the
committed frontier, and the results are as if nothing had happened.
"""

from simulations.cli import main
from simulations.jobs import film
from simulations.kernel.world import MS, SECOND
from simulations.scenario import Scenario, Stage

CHUNKS = 36
KILLS = 3


def play(stage: Stage) -> None:
    """Submit; kill the master at three shares of the job; start each again."""
    lab, draw = stage.lab, stage.draw
    left = KILLS

    def kill() -> None:
        old = stage.master
        down = draw.between(500 * MS, 4 * SECOND)
        if old is not None:
            lab.kill(old)
            stage.fault(f"kill {old}", down)
            stage.happened["a master killed"] = True
            if len(lab.lives) == len(lab.model.nodes) - 1:
                stage.expect_new_master(f"{old} was killed")
            stage.after(down, lab.start, old)
        stage.after(down, over)

    def over() -> None:
        nonlocal left
        left -= 1
        if not left:
            stage.happened["a task started again"] = stage.finished.again > 0
            stage.rest()

    stage.submit_when_all_are_in()
    for _ in range(KILLS):
        delay = draw.between(0, 300 * MS)
        stage.at_share(draw.between(1, CHUNKS), stage.after, delay, kill)


SCENARIO = Scenario(
    "failover",
    "The master's process is killed three times in the middle of a job, and comes back each time.",
    film(CHUNKS),
    play,
)

if __name__ == "__main__":
    main(SCENARIO)
