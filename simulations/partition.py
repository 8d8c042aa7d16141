"""A job is under way; the master is cut off from the others, and comes back.

**The side without a majority commits nothing**; the other side elects a master, which goes on from
the committed frontier; after the heal there is one master, and the job's results are as if nothing
had happened.
"""

from simulations.cli import main
from simulations.jobs import film
from simulations.kernel.world import SECOND
from simulations.scenario import Scenario, Stage

CHUNKS = 36


def play(stage: Stage) -> None:
    """Submit; cut the master off when a share of the tasks is finished; heal."""
    lab, draw = stage.lab, stage.draw
    lasts = draw.between(4 * SECOND, 10 * SECOND)
    client_too = draw.chance(300)

    def cut() -> None:
        old = stage.master
        assert old is not None, "somebody has just finished a task"
        few = [old, "client"] if client_too else [old]
        many = [name for name in lab.machines if name not in few]
        stage.fault(f"cut {' '.join(few)} | {' '.join(many)}", lasts)
        stage.minority.minority = (old,)
        lab.network.cut(lab.kernels(few), lab.kernels(many))
        stage.expect_new_master(f"{old} was cut off")
        stage.after(lasts, heal, few, many, stage.masters.count, stage.done_count)

    def heal(few: list[str], many: list[str], masters: int, done: int) -> None:
        stage.minority.minority = ()
        lab.network.heal(lab.kernels(few), lab.kernels(many))
        stage.happened["a new master"] = stage.masters.count > masters
        stage.happened["progress during the cut"] = stage.done_count > done
        stage.happened["a task started again"] = stage.finished.again > 0
        stage.rest()

    stage.submit_when_all_are_in()
    stage.at_share(draw.between(CHUNKS // 6, CHUNKS * 2 // 3), cut)


SCENARIO = Scenario(
    "partition",
    "The master is cut off in the middle of a job, with no majority on its side, and comes back.",
    film(CHUNKS),
    play,
)

if __name__ == "__main__":
    main(SCENARIO)
