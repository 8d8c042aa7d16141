"""What a crash leaves on a disk, and what a child process tells its parent."""

from typing import Any

import pytest
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from nanoboost.errors import UserError
from simulations.hosts.machine import Incarnation, Machine
from simulations.kernel.world import MS, SECOND, World
from simulations.net.network import Network, Wire
from simulations.procs.process import Process


class Parrot:
    """Says what it hears, and ends when its input does."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def started(self) -> None:
        self._process.say(b"hello")

    def received(self, data: bytes) -> None:
        self._process.say(data)

    def input_ended(self) -> None:
        self._process.say(b"bye")
        self._process.exit()


def a_machine(seed: int) -> Machine:
    world = World(seed)
    return Machine(world, Network(world, Wire()), "one", {"parrot": Parrot})


def put(life: Incarnation, number: int, fired: list[int]) -> None:
    write = (b"%02d" % number, b"x")
    life.store.commit([write]).addCallback(lambda _: fired.append(number))


@pytest.mark.parametrize("seed", range(20))
def test_a_crash_keeps_what_was_announced_and_a_prefix_of_the_rest(seed: int) -> None:
    machine = a_machine(seed)
    world = machine.world
    draw = world.stream("test")
    life = machine.new_life()
    fired: list[int] = []
    for number in range(30):
        world.at(draw.below(20 * MS), life, put, life, number, fired)
    world.run(draw.below(25 * MS))
    life.end(silently=True)
    found = [int(key) for key, _ in machine.new_life().store.load(b"")]
    assert set(fired) <= set(found)
    world.run(SECOND)
    assert len(machine.new_life().store.load(b"")) == len(found), "nothing comes later"


def test_some_crash_loses_something() -> None:
    """Or the test above could not fail."""
    lost = 0
    for seed in range(20):
        machine = a_machine(seed)
        life = machine.new_life()
        machine.world.at(0, life, put, life, 1, [])
        machine.world.run(MS // 2)
        assert life.store.load(b"") == [(b"01", b"x")], "its own process sees it at once"
        life.end(silently=True)
        lost += not machine.disk.pairs
    assert 0 < lost < 20


@pytest.mark.parametrize("bit", [0, 7, 8, 12345])
def test_a_bit_that_turned_over_is_seen_until_the_value_is_written_anew(bit: int) -> None:
    machine = a_machine(1)
    machine.disk.put([(b"01", b"x"), (b"02", b"yz")])
    machine.disk.turn_a_bit(bit)
    (damaged,) = machine.disk.rotten
    with pytest.raises(UserError, match="is damaged"):
        machine.new_life().store.load(b"")
    machine.disk.put([(damaged, b"new")])
    assert (damaged, b"new") in machine.new_life().store.load(b"")


class Parent(ProcessProtocol):
    """Notes all that it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        self.told.append(f"{childFD} {data.decode()}")

    def processEnded(self, reason: Failure) -> None:
        self.told.append(f"{type(reason.value).__name__} {getattr(reason.value, 'signal', None)}")


def spawn(life: Incarnation) -> tuple[Parent, Any]:
    parent = Parent()
    return parent, life.reactor.spawnProcess(parent, "python3", ["python3", "-m", "parrot"])


def test_a_child_answers_and_all_that_it_wrote_is_read_before_its_end() -> None:
    machine = a_machine(1)
    parent, child = spawn(machine.new_life())
    child.writeToChild(0, b"early")
    machine.world.run(SECOND)
    assert parent.told == ["3 hello", "3 early"]
    child.closeChildFD(0)
    machine.world.run(2 * SECOND)
    assert parent.told[2:] == ["3 bye", "ProcessDone None"]


def test_a_killed_child_ends_by_signal_and_says_nothing_more() -> None:
    machine = a_machine(1)
    life = machine.new_life()
    parent, child = spawn(life)
    machine.world.run(SECOND)
    child.writeToChild(0, b"unheard")
    life.kill_group(child.pid)
    machine.world.run(2 * SECOND)
    assert parent.told == ["3 hello", "ProcessTerminated 9"]


def test_children_end_with_their_parent_and_tell_nobody() -> None:
    machine = a_machine(1)
    life = machine.new_life()
    parent, _ = spawn(life)
    life.end(silently=False)
    machine.world.run(SECOND)
    assert parent.told == []
