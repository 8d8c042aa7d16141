"""Everything at once: kills, power cuts, partitions, one-way cuts, lost packets, slow disks,
tasks that fail or crash.

**Faults end, and then all must be well**: what each seed does is drawn from its own streams, so a
fault that is left out does not change the others.
"""

from simulations.cli import main
from simulations.hosts.disk import DiskModel
from simulations.jobs import film
from simulations.kernel.prng import Stream
from simulations.kernel.world import MS, SECOND, US
from simulations.lab import Model
from simulations.net.network import Wire
from simulations.scenario import Scenario, Stage

CHUNKS = 36
LASTS_NS = 15 * SECOND
SLOW_SYNC = DiskModel(20 * MS, 200 * MS)


def model(draw: Stream) -> Model:
    """Three or five nodes, a better or worse network, faster or slower disks."""
    wire = Wire(
        least_ns=draw.between(100, 500) * US,
        jitter_ns=draw.between(50, 5000) * US,
        loss_permille=draw.choice((0, 0, 10, 50)),
        twice_permille=draw.choice((0, 20)),
    )
    disk = DiskModel(draw.between(1, 5) * MS, draw.between(1, 10) * MS)
    count = draw.choice((3, 3, 5))
    names = tuple(f"n{number}" for number in range(count))
    return Model(nodes=names, wire=wire, disk=disk, mishaps_permille=draw.choice((0, 20)))


class _Monkey:
    """Does harm, and undoes it a while later."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._lab = stage.lab
        self._draw = stage.draw
        self._pending = 0
        self._until = 0

    def begin(self) -> None:
        """From now on, for a while."""
        self._until = self._lab.world.now + LASTS_NS
        self._harm()

    def _harm(self) -> None:
        if self._lab.world.now >= self._until:
            self._pending += 1
            self._over()
            return
        draw, name = self._draw, self._draw.choice(self._lab.model.nodes)
        if draw.chance(400) and self._stage.master is not None:
            name = self._stage.master
        lasts = draw.between(100 * MS, 4 * SECOND)
        draw.choice((self._kill, self._no_power, self._cut, self._cut_one_way, self._slow_disk))(
            name, lasts
        )
        self._stage.after(draw.between(200 * MS, 3 * SECOND), self._harm)

    def _undo_later(self, what: str, lasts: int) -> None:
        self._stage.happened[what] = True
        self._pending += 1
        self._stage.after(lasts, self._over)

    def _over(self) -> None:
        self._pending -= 1
        if not self._pending and self._lab.world.now >= self._until:
            self._stage.rest()

    def _kill(self, name: str, lasts: int) -> None:
        if name in self._lab.lives:
            self._stage.fault(f"kill {name}", lasts)
            self._lab.kill(name)
            self._stage.after(lasts, self._lab.start, name)
            self._undo_later("kill", lasts)

    def _no_power(self, name: str, lasts: int) -> None:
        if name in self._lab.lives:
            self._stage.fault(f"no power for {name}", lasts)
            self._lab.power_off(name)
            self._stage.after(lasts, self._lab.power_on, name)
            self._undo_later("power", lasts)

    def _cut(self, name: str, lasts: int) -> None:
        others = [each for each in self._lab.machines if each != name]
        some = [each for each in others if self._draw.chance(600)]
        self._between([name], some, lasts, one_way=False)

    def _cut_one_way(self, name: str, lasts: int) -> None:
        others = [each for each in self._lab.machines if each != name]
        sides = [[name], others]
        source, target = sides if self._draw.chance(500) else reversed(sides)
        self._between(source, target, lasts, one_way=True)

    def _between(self, left: list[str], right: list[str], lasts: int, *, one_way: bool) -> None:
        arrow = ">" if one_way else "|"
        self._stage.fault(f"cut {' '.join(left)} {arrow} {' '.join(right)}", lasts)
        sides = self._lab.kernels(left), self._lab.kernels(right)
        self._lab.network.cut(*sides, one_way=one_way)
        self._stage.after(lasts, lambda: self._lab.network.heal(*sides, one_way=one_way))
        self._undo_later("one-way cut" if one_way else "cut", lasts)

    def _slow_disk(self, name: str, lasts: int) -> None:
        disk, usual = self._lab.machines[name].disk, self._lab.model.disk

        def recover() -> None:
            disk.model = usual

        self._stage.fault(f"slow disk at {name}", lasts)
        disk.model = SLOW_SYNC
        self._stage.after(lasts, recover)
        self._undo_later("slow disk", lasts)


def play(stage: Stage) -> None:
    """Submit; let the monkey in once the first task is finished."""
    monkey = _Monkey(stage)
    stage.submit_when_all_are_in()
    stage.at_share(1, monkey.begin)


SCENARIO = Scenario(
    "monkey",
    "Everything at once, for 15 s: kills, power cuts, partitions, lost packets, slow disks.",
    film(CHUNKS),
    play,
    model,
)

if __name__ == "__main__":
    main(SCENARIO)
