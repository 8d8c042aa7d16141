"""Packets get through one way only: once the master is deaf, another time it is dumb.

**A deaf master steps down by itself**, for it hears no majority; a dumb one is replaced, for nobody
hears it.  Neither needs the cut to be healed first.
"""

from simulations.cli import main
from simulations.jobs import film
from simulations.kernel.world import SECOND
from simulations.scenario import Scenario, Stage

CHUNKS = 36


def play(stage: Stage) -> None:
    """Submit; cut one way, heal, cut the other way, heal."""
    lab, draw = stage.lab, stage.draw
    left = 2

    def cut(deaf: bool) -> None:
        old = stage.master
        if old is None:
            over()
            return
        lasts = draw.between(2 * SECOND, 6 * SECOND)
        others = [name for name in lab.model.nodes if name != old]
        sides = [lab.kernels(others), lab.kernels([old])]
        source, target = sides if deaf else reversed(sides)
        stage.fault(f"{old} hears nothing" if deaf else f"nobody hears {old}", lasts)
        lab.network.cut(source, target, one_way=True)
        masters = stage.masters.count

        def heal() -> None:
            lab.network.heal(source, target, one_way=True)
            kind = "deaf" if deaf else "dumb"
            stage.happened[f"a {kind} master replaced"] = stage.masters.count > masters
            over()

        stage.after(lasts, heal)

    def over() -> None:
        nonlocal left
        left -= 1
        if not left:
            stage.rest()

    deaf_first = draw.chance(500)
    stage.submit_when_all_are_in()
    stage.at_share(CHUNKS // 4, cut, deaf_first)
    stage.at_share(CHUNKS * 5 // 8, cut, not deaf_first)


SCENARIO = Scenario(
    "asymmetric",
    "The master can send but not receive, and another time receive but not send.",
    film(CHUNKS),
    play,
)

if __name__ == "__main__":
    main(SCENARIO)
