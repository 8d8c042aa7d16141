"""What the world can do to machines, one thing at a time."""

import importlib
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.protocol import ClientFactory, DatagramProtocol, Factory, Protocol
from twisted.python.failure import Failure

from nanoboost.errors import NasError
from nanoboost.ids import Attempt, AttemptKey, JobId, TaskId
from simulations.calm import SCENARIO as CALM
from simulations.faults import FailNas, ForeignCertificate, Knob, Plan, SlowCpu
from simulations.faults.knobs import SITES
from simulations.hosts.clock import HostClock
from simulations.hosts.disk import DiskFailed
from simulations.hosts.machine import Incarnation, Machine
from simulations.kernel.world import MS, SECOND, US, World
from simulations.net.network import Network, Wire
from simulations.procs.nas import NotThere, SimNas
from simulations.stage.scenario import run

PORT = 7000


class Town:
    """Two machines with a process each; `heard` is what the second was sent, and when."""

    def __init__(self, wire: Wire | None = None) -> None:
        self.world = World(1)
        self.network = Network(self.world, wire or Wire())
        self.machines = [Machine(self.world, self.network, name, {}) for name in ("one", "other")]
        self.lives = [machine.new_life() for machine in self.machines]
        self.heard: list[tuple[float, bytes]] = []
        self.ways = [(self.machines[0].kernel, self.machines[1].kernel)]
        town = self

        class Ear(DatagramProtocol):
            def datagramReceived(self, datagram: bytes, addr: Any) -> None:
                town.heard.append((town.now, datagram))

        class Mouth(Protocol):
            def dataReceived(self, data: bytes) -> None:
                town.heard.append((town.now, data))

        reactor = self.lives[1].reactor
        reactor.listenUDP(PORT, Ear())
        reactor.listenTCP(PORT, Factory.forProtocol(Mouth))
        self._speaker = self.lives[0].reactor.listenUDP(0, DatagramProtocol())

    @property
    def now(self) -> float:
        return self.world.now / SECOND

    def run(self, seconds: float) -> None:
        self.world.run(self.world.now + int(seconds * SECOND))

    def say(self, data: bytes) -> None:
        self._speaker.write(data, ("10.0.0.2", PORT))


def test_a_stopped_process_does_nothing_and_wakes_to_its_sockets_before_its_timers() -> None:
    town = Town()
    life = town.lives[1]
    woken: list[str] = []
    life.reactor.callLater(1.0, woken.append, "timer")
    life.pause()
    town.say(b"meanwhile")
    town.run(5.0)
    assert (town.heard, woken) == ([], [])
    life.resume()
    life.reactor.callLater(0, lambda: woken.append(f"heard {len(town.heard)}"))
    town.run(0.001)
    assert [data for _, data in town.heard] == [b"meanwhile"]
    assert woken == ["timer", "heard 1"]


def test_a_slow_processor_does_one_thing_after_the_other_and_loses_nothing() -> None:
    town = Town()
    machine, reactor = town.machines[1], town.lives[1].reactor
    machine.slow_down(100 * MS)
    began: list[float] = []
    for number in range(3):
        reactor.callLater(1.0 + number / 1000, lambda: began.append(town.now))
    town.say(b"meanwhile")
    town.run(5.0)
    assert [data for _, data in town.heard] == [b"meanwhile"]
    assert began == pytest.approx([1.0, 1.1, 1.2], abs=0.001)
    assert machine.new_life().event_ns == 100 * MS
    machine.slow_down(0)


def test_the_end_of_one_slowness_is_not_the_end_of_the_next() -> None:
    town, undos = Town(), []
    machine = town.machines[1]
    lab: Any = SimpleNamespace(
        find=lambda who: who,
        machines={"other": machine},
        lasting=lambda text, lasts, undo: undos.append(undo),
    )
    for event_us in (5, 9):
        SlowCpu(0, SECOND, "other", event_us).apply(lab)
    speeds = []
    for undo in undos:
        undo()
        speeds.append(machine.event_ns)
    assert speeds == [9 * US, 0]


def test_a_killed_process_does_not_wake() -> None:
    town = Town()
    town.lives[1].pause()
    town.say(b"late")
    town.run(1.0)
    town.lives[1].end(silently=False)
    town.lives[1].resume()
    town.run(1.0)
    assert town.heard == []


@pytest.mark.parametrize("ppm", [-20_000, 20_000])
def test_a_clock_drifts_steadily_and_a_timer_is_never_early_by_it(ppm: int) -> None:
    town = Town()
    machine, reactor = town.machines[0], town.lives[0].reactor
    town.run(3.0)
    before = reactor.seconds()
    machine.clock.drift(ppm)
    assert reactor.seconds() == before
    late: list[float] = []
    reactor.callLater(10.0, lambda: late.append(reactor.seconds() - before - 10.0))
    town.run(10.5)
    assert 0 < late[0] < 0.0001
    assert reactor.seconds() - before == pytest.approx(10.5 * (1 + ppm / 1e6))


def test_the_wall_clock_jumps_and_the_other_does_not() -> None:
    world = World(1)
    clock = HostClock(world)
    before = clock.seconds(), clock.wall()
    clock.step(-3600.0)
    assert (clock.seconds(), clock.wall()) == (before[0], before[1] - 3600.0)


def test_what_is_clogged_comes_late_and_is_not_lost() -> None:
    town = Town()
    town.network.clog(town.ways, 2 * SECOND)
    for number in range(5):
        town.say(b"%d" % number)
    town.run(1.9)
    assert town.heard == []
    town.run(0.2)
    assert sorted(data for _, data in town.heard) == [b"0", b"1", b"2", b"3", b"4"]


def test_a_narrow_wire_takes_its_time_and_loses_what_has_no_room() -> None:
    town = Town()
    undo = town.network.replace(town.ways, Wire(bytes_per_s=10_000))
    for number in range(10):
        town.say(b"%d" % number * 1000)
    town.run(3.0)
    assert [data[:1] for _, data in town.heard] == [b"0", b"1", b"2", b"3", b"4", b"5"]
    assert 0.59 < town.heard[-1][0] < 0.62
    undo()
    town.say(b"x" * 1000)
    town.run(0.01)
    assert town.heard[-1][1] == b"x" * 1000


def test_a_bad_wire_makes_streams_slow_and_chops_them_but_loses_nothing() -> None:
    town = Town()
    town.network.replace(town.ways, Wire(loss_permille=300, segment_bytes=7))
    data = bytes(range(256)) * 2

    class Speaker(Protocol):
        def connectionMade(self) -> None:
            assert self.transport is not None
            self.transport.write(data)

    town.lives[0].reactor.connectTCP("10.0.0.2", PORT, ClientFactory.forProtocol(Speaker))
    town.run(60.0)
    assert b"".join(each for _, each in town.heard) == data
    assert len(town.heard) > 15
    assert town.heard[-1][0] > 1.0


# --- disks ---------------------------------------------------------------------------------------


def commit(town: Town, life: Incarnation, told: list[str], key: bytes = b"k") -> None:
    done = life.store.commit([(key, b"v")])
    done.addCallbacks(lambda _: told.append("done"), lambda why: told.append(kind(why)))


def kind(why: Failure) -> str:
    return type(why.value).__name__


def test_a_disk_stalls_and_goes_on() -> None:
    town = Town()
    told: list[str] = []
    town.machines[0].disk.stalls_until = 3 * SECOND
    commit(town, town.lives[0], told)
    town.run(2.9)
    assert told == []
    town.run(0.2)
    assert told == ["done"]


def test_a_failed_sync_poisons_the_store() -> None:
    town = Town()
    told: list[str] = []
    town.machines[0].disk.fails = True
    commit(town, town.lives[0], told)
    town.run(0.1)
    commit(town, town.lives[0], told)
    assert told == [DiskFailed.__name__] * 2


def test_a_full_disk_is_waited_for() -> None:
    town = Town()
    disk = town.machines[0].disk
    told: list[str] = []
    disk.is_full = True
    commit(town, town.lives[0], told)
    town.run(5.0)
    assert told == []
    assert disk.pairs == {}
    disk.is_full = False
    town.run(1.0)
    assert told == ["done"]


# --- the NAS and children ------------------------------------------------------------------------

KEY = AttemptKey(JobId("job"), TaskId(0), Attempt(1, 1))


def test_each_machine_has_its_own_view_of_the_nas() -> None:
    world = World(1)
    nas = SimNas(world, "cluster")
    one, other = nas.mount("one"), nas.mount("other")
    other.stale_ns = 5 * SECOND
    one.commit(KEY, {"made": b"x"})
    path = ".nanoboost/jobs/job/0/1.1/out/made"
    assert one.read(path) == b"x"
    with pytest.raises(NotThere):
        other.read(path)
    world.run(6 * SECOND)
    assert other.read(path) == b"x"
    other.error = "stale file handle"
    with pytest.raises(NasError, match="stale file handle"):
        other.read(path)
    assert one.read(path) == b"x"
    with pytest.raises(NasError, match="exists already"):
        one.commit(KEY, {"made": b"y"})


class Sleeper:
    """Does nothing but live."""

    def __init__(self, process: Any) -> None:
        self.process = process

    def started(self) -> None:
        """It is up."""

    def received(self, data: bytes) -> None:
        """Nobody speaks to it."""

    def input_ended(self) -> None:
        """Nor does that matter."""


class Parent:
    """Notes the end of its child."""

    def __init__(self) -> None:
        self.ended = False

    def makeConnection(self, transport: Any) -> None:
        """A child is there."""

    def childConnectionLost(self, fd: int) -> None:
        """A pipe is closed."""

    def processExited(self, reason: Failure) -> None:
        """It has ended."""

    def processEnded(self, reason: Failure) -> None:
        self.ended = True


def spawn(machine: Machine, life: Incarnation) -> tuple[Parent, Any]:
    machine.programs["sleeper"] = Sleeper
    parent = Parent()
    return parent, life.reactor.spawnProcess(parent, "python3", ["python3", "-m", "sleeper"])


def test_a_user_types_again_what_was_refused_while_the_nas_failed() -> None:
    failing = FailNas(0, 6 * SECOND, "input/output error", ("n0",))  # the job comes at 3.5 s
    result = run(CALM, 1, Plan((failing,)))
    assert result.status == 0
    assert result.stage.lab.clients[0].gave_up > 0


def test_nothing_ends_a_process_that_hangs_in_the_nas_before_it_is_back() -> None:
    town = Town()
    parent, child = spawn(town.machines[0], town.lives[0])
    town.run(0.5)
    child.stuck_until = 10 * SECOND
    town.lives[0].kill_group(child.pid)
    town.run(9.0)
    assert not parent.ended
    town.run(1.0)
    assert parent.ended


def test_children_outlive_their_node_where_nobody_ends_them() -> None:
    for live in (False, True):
        town = Town()
        parent, child = spawn(town.machines[0], town.lives[0])
        town.run(0.5)
        town.machines[0].orphans_live = live
        town.lives[0].end(silently=False)
        assert (child.alive, child.is_orphan) == (live, True)
        town.run(MS / SECOND)
        assert not parent.ended, "there is nobody to be told"


# --- whole nodes ---------------------------------------------------------------------------------


def test_who_shows_a_foreign_certificate_is_let_in_by_nobody() -> None:
    plan = Plan((ForeignCertificate(0, 15 * SECOND, "n2"),))
    lab = run(CALM, 1, plan, until_s=5.0).stage.lab
    ids = [life.node.me for name, life in lab.lives.items() if name != "n2"]
    assert all(
        [each for each in life.node.consensus.status.parts if each not in ids] == []
        for life in lab.lives.values()
    )
    healed = run(CALM, 1, plan)
    assert healed.status == 0
    assert len(healed.stage.lab.voters) == 3


def test_knobs_are_turned_back() -> None:
    sites = [site.split(":") for site in SITES]
    usual = [getattr(importlib.import_module(module), name) for module, name in sites]
    turned = tuple(Knob(0, 5 * SECOND, site, values[0]) for site, values in SITES.items())
    result = run(CALM, 1, Plan(turned), until_s=2.0)
    assert result.status == 0
    assert usual == [getattr(importlib.import_module(module), name) for module, name in sites]
