"""Two real meshes in the simulated world: they talk, are cut off, and find each other again."""

from typing import Any

from nanoboost.ids import Address, NodeId
from nanoboost.net.mesh import Mesh
from nanoboost.wire.codec import Catalog
from nanoboost.wire.messages import SESSION, WORK, MasterHere
from simulations.hosts.machine import Incarnation, Machine
from simulations.hosts.security import SimSecurity
from simulations.kernel.guard import guarded
from simulations.kernel.world import SECOND, World
from simulations.net.network import Network, Wire

ONE, OTHER = NodeId("0" * 16), NodeId("1" * 16)
PORT = 7470


class Town:
    """Two machines with a mesh each; `heard` is what arrived, with its time."""

    def __init__(self, seed: int) -> None:
        self.world = World(seed, keep_trace=True)
        self.network = Network(self.world, Wire())
        self.machines = [Machine(self.world, self.network, name, {}) for name in ("one", "other")]
        self.heard: list[tuple[float, str, int]] = []
        self.refused: list[float] = []
        self.lives: list[Incarnation] = []
        self.meshes: list[Mesh] = []
        for machine, me in zip(self.machines, (ONE, OTHER), strict=True):
            self._start(machine, me)
        self.run(0.01)
        self.meshes[0].learn(OTHER, Address("10.0.0.2", PORT))
        self.meshes[1].learn(ONE, Address("10.0.0.1", PORT))

    def _start(self, machine: Machine, me: NodeId) -> None:
        life = machine.new_life()
        runtime = life.runtime(SimSecurity.of(self.world.seed))
        mesh = Mesh(runtime, Catalog((*SESSION, *WORK)), me, Address(machine.kernel.ip, PORT))

        def heard(sender: NodeId, message: Any) -> None:
            self.heard.append((self.now, machine.name, message.term))

        mesh.subscribe((MasterHere,), heard)
        mesh.on_refused(lambda node: self.refused.append(self.now))
        self.world.at(self.world.now, life, mesh.listen)
        self.world.at(self.world.now, life, mesh.startService)
        self.lives.append(life)
        self.meshes.append(mesh)

    @property
    def now(self) -> float:
        return self.world.now / SECOND

    def run(self, seconds: float) -> None:
        with guarded():
            self.world.run(self.world.now + int(seconds * SECOND))

    def say(self, place: int, term: int) -> None:
        to = (OTHER, ONE)[place]
        life, mesh = self.lives[place], self.meshes[place]
        self.world.at(self.world.now, life, mesh.send, to, MasterHere(term))

    def terms(self, name: str) -> list[int]:
        return [term for _, where, term in self.heard if where == name]


def test_they_talk() -> None:
    town = Town(1)
    for term in range(5):
        town.say(0, term)
        town.say(1, 100 + term)
    town.run(1.0)
    assert town.terms("other") == [0, 1, 2, 3, 4]
    assert town.terms("one") == [100, 101, 102, 103, 104]
    assert town.heard[-1][0] < 0.05, "milliseconds, not retransmissions"


def test_what_is_said_into_a_cut_is_late_or_lost_and_a_new_connection_is_soon_there() -> None:
    town = Town(2)
    town.say(0, 1)
    town.run(1.0)
    one, other = (machine.kernel for machine in town.machines)
    town.network.cut([one], [other])
    town.say(0, 2)
    town.run(60.0)
    assert town.terms("other") == [1]
    town.network.heal([one], [other])
    town.say(0, 3)
    town.run(3.0)
    assert 3 in town.terms("other"), "TCP's own retransmission would take up to a minute"


def test_one_way_cuts_stop_one_way() -> None:
    town = Town(3)
    town.say(0, 1)
    town.say(1, 2)
    town.run(1.0)
    one, other = (machine.kernel for machine in town.machines)
    town.network.cut([other], [one], one_way=True)
    town.say(0, 3)
    town.say(1, 4)
    town.run(0.1)
    assert town.terms("other") == [1, 3]
    assert town.terms("one") == [2]


def test_a_killed_process_is_refused_at_once_and_a_dark_machine_answers_nothing() -> None:
    town = Town(4)
    town.say(0, 1)
    town.run(1.0)
    town.lives[1].end(silently=False)
    town.run(0.1)
    town.say(0, 2)
    town.run(0.5)
    assert town.refused
    assert town.refused[0] < 1.2
    dark = Town(4)
    dark.say(0, 1)
    dark.run(1.0)
    dark.machines[1].kernel.alive = False
    dark.lives[1].end(silently=True)
    dark.say(0, 2)
    dark.run(10.0)
    dark.say(0, 3)
    dark.run(10.0)
    assert dark.refused == []


def test_a_run_is_a_function_of_its_seed() -> None:
    def trace(seed: int) -> str:
        town = Town(seed)
        for term in range(20):
            town.say(term % 2, term)
            town.run(0.05)
        return town.world.trace.hex()

    assert trace(5) == trace(5) != trace(6)
