"""Every node is restarted in good order, one after another, while a job is under way.

**A restart in good order costs nobody else anything**: the node hands over and says goodbye before
it goes, and finds its place again when it comes back.
"""

from simulations.cli import main
from simulations.jobs import film
from simulations.kernel.world import MS, SECOND
from simulations.scenario import Scenario, Stage

CHUNKS = 36
STOPS_WITHIN_NS = 20 * SECOND


def play(stage: Stage) -> None:
    """Submit; stop and start the nodes in turn, the master among them."""
    lab, draw = stage.lab, stage.draw
    waiting = list(lab.model.nodes)

    def next_one() -> None:
        if not waiting:
            stage.rest()
            return
        name = waiting.pop(draw.below(len(waiting)))
        stage.happened["a master leaves"] = stage.happened.get("a master leaves", False) or (
            stage.master == name
        )
        began = lab.world.now
        stage.fault(f"restart {name}", SECOND)
        lab.stop(name, lambda: stopped(name, began))

    def stopped(name: str, began: int) -> None:
        if lab.world.now - began > STOPS_WITHIN_NS:
            stage.complaints.append(f"L5 {name} took longer than 20 s to stop")
        stage.after(draw.between(100 * MS, 2 * SECOND), started, name)

    def started(name: str) -> None:
        lab.start(name)
        stage.after(draw.between(SECOND, 4 * SECOND), next_one)

    stage.submit_when_all_are_in()
    stage.at_share(draw.between(1, CHUNKS // 2), next_one)


SCENARIO = Scenario(
    "rolling",
    "Every node is restarted in good order, one after another, in the middle of a job.",
    film(CHUNKS),
    play,
)

if __name__ == "__main__":
    main(SCENARIO)
