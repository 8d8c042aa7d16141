"""A whole cluster in one simulated world: machines, nodes, the NAS, and a client.

**Nodes are built by `nanoboost.node.compose`, the client is the command line's own code**; only
their `Runtime` and their reactor are simulated.  What is done to the cluster (kill, cut, ...) is
done from outside, by the world.
"""

import gc
from collections.abc import Callable, Iterable

from attrs import field, frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger, globalLogPublisher
from twisted.python.failure import Failure

from nanoboost.cli.cluster import Cluster
from nanoboost.cli.run import submit_and_follow
from nanoboost.config import DEFAULT_PORT, PROFILES, NodeConfig, Profile
from nanoboost.ids import Address, JobId, NodeId
from nanoboost.nas.layout import code_path, plan_path
from nanoboost.node import Node, compose
from nanoboost.plan import Plan, encode_plan, plan_digest
from nanoboost.wire.messages import FailureReport, JobReport, Submit
from simulations.hosts.disk import DiskModel
from simulations.hosts.machine import Incarnation, Machine
from simulations.hosts.security import SimSecurity
from simulations.jobs import SOURCE
from simulations.kernel.guard import guarded
from simulations.kernel.journal import Records
from simulations.kernel.world import MS, SECOND, World
from simulations.net.network import Kernel, Network, Wire
from simulations.procs.attempts import AttemptChild
from simulations.procs.errands import ErrandChild
from simulations.procs.nas import SimNas
from simulations.procs.process import Process, Program

NAS_DIR = "/nas"
CODE = b"code"
START_GAP_NS = 200 * MS


@frozen
class Model:
    """What the cluster is made of."""

    nodes: tuple[str, ...] = ("n0", "n1", "n2")
    profile: Profile = PROFILES["lan"]
    slots: int = 2
    wire: Wire = field(factory=Wire)
    disk: DiskModel = field(factory=DiskModel)
    mishaps_permille: int = 0
    """How many attempts fail, and how many crash, of 1000 each."""

    def __str__(self) -> str:
        wire, disk = self.wire, self.disk
        return (
            f"{len(self.nodes)} nodes × {self.slots} slots, profile {self.profile.name} · latency "
            f"{wire.least_ns / MS:g} ms + {wire.jitter_ns / MS:g} ms, loss "
            f"{wire.loss_permille / 10:g} % · sync {disk.sync_least_ns / MS:g} ms + "
            f"{disk.sync_jitter_ns / MS:g} ms · mishaps {self.mishaps_permille / 10:g} %"
        )


class Watcher:
    """The client's display: remembers what a user would have seen."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.report: JobReport | None = None

    def show(self, report: JobReport) -> None:
        """The job is as `report` says now."""
        self.report = report

    def tell(self, line: str) -> None:
        """Something happened that is worth a line."""
        self.lines.append(line)

    def fail(self, failure: FailureReport) -> None:
        """An attempt failed."""
        self.lines.append(f"{failure.task}: {failure.error}")

    def close(self) -> None:
        """Nothing to leave in order."""


@frozen(eq=False)
class Life:
    """A node that runs: its process and what `compose` has built."""

    process: Incarnation
    node: Node


class Lab:
    """The cluster of one run."""

    _log = Logger()

    def __init__(self, seed: int, model: Model, *, keep_trace: bool = False) -> None:
        self.model = model
        self.world = World(seed, keep_trace=keep_trace)
        self.network = Network(self.world, model.wire)
        self.security = SimSecurity.of(seed)
        self.nas = SimNas(self.world, self.security.cluster)
        self.nas.deposit(SOURCE, b"a film")
        self.records = Records(self.world)
        programs: dict[str, Callable[[Process], Program]] = {
            "nanoboost.agent.child": lambda process: AttemptChild(
                process, self.nas, model.mishaps_permille
            ),
            "nanoboost.nas.nashelper": lambda process: ErrandChild(process, self.nas),
        }
        self.machines = {
            name: Machine(self.world, self.network, name, programs, disk=model.disk)
            for name in (*model.nodes, "client")
        }
        self.lives: dict[str, Life] = {}
        self.names: dict[NodeId, str] = {}
        self.watcher = Watcher()
        self.leftovers: list[str] = []
        """What nodes that stopped in good order have left behind: timers, sockets, children."""
        self.exit_status: int | None = None
        """The client's, once the job has ended for it."""

    def run(self, until_ns: int) -> None:
        """Let the world go on; at the end, tell of errors that nobody handled."""
        globalLogPublisher.addObserver(self.records)
        try:
            with guarded():
                self.world.run(until_ns)
                gc.collect()
        finally:
            globalLogPublisher.removeObserver(self.records)

    # --- nodes -----------------------------------------------------------------------------------

    def start_all(self) -> None:
        """The first node founds the cluster, the others join one after another."""
        for number, name in enumerate(self.model.nodes):
            self.world.after(number * START_GAP_NS, self.world.nature, self.start, name)

    def start(self, name: str) -> None:
        """Start a node's process."""
        machine = self.machines[name]
        process = machine.new_life()
        self.world.after(0, process, self._boot, process)

    def _boot(self, process: Incarnation) -> None:
        name = process.name
        seeds = () if name == self.model.nodes[0] else (self.address(self.model.nodes[0]),)
        config = NodeConfig(
            name=name,
            state_dir=f"/{name}",
            nas_dir=NAS_DIR,
            listen=self.address(name),
            seeds=seeds,
            profile=self.model.profile,
            slots=self.model.slots,
        )
        node = compose(config, process.runtime(self.security), lambda why: self._ended(name, why))
        self.lives[name] = Life(process, node)
        self.names[node.me] = name
        node.startService()

    def _ended(self, name: str, why: Failure | None) -> None:
        """A node wants its process to end."""
        self._log.info("{node} ends", node=name, event="ended_itself", broken=why is not None)
        self.world.after(0, self.world.nature, self.kill, name)

    def kill(self, name: str) -> None:
        """SIGKILL: its kernel says goodbye to its peers."""
        life = self.lives.pop(name, None)
        if life is not None:
            life.process.end(silently=False)
            self._log.info("{node} is killed", node=name, event="down")

    def stop(self, name: str, stopped: Callable[[], None]) -> None:
        """SIGTERM: leave in good order, as `twistd nanoboost` does, and end."""
        life = self.lives[name]
        self.world.after(0, life.process, self._stop, name, life, stopped)

    def _stop(self, name: str, life: Life, stopped: Callable[[], None]) -> None:
        def ended(_: object) -> None:
            self.leftovers += [f"{name}: {each}" for each in life.process.leftovers()]
            self.world.after(0, self.world.nature, self.kill, name)
            self.world.after(0, self.world.nature, stopped)

        stopping = Deferred.fromCoroutine(_leave_and_stop(life.node))
        stopping.addErrback(lambda why: self._log.failure("a node could not stop", why))
        stopping.addBoth(ended)

    def power_off(self, name: str) -> None:
        """Nobody is told."""
        self.machines[name].kernel.alive = False
        life = self.lives.pop(name, None)
        if life is not None:
            life.process.end(silently=True)
            self._log.info("{node} has no power", node=name, event="down")

    def power_on(self, name: str) -> None:
        """The machine comes back, and its node with it."""
        self.machines[name].kernel.alive = True
        self.start(name)

    def address(self, name: str) -> Address:
        """Where a node listens."""
        return Address(self.machines[name].kernel.ip, DEFAULT_PORT)

    def kernels(self, names: Iterable[str]) -> list[Kernel]:
        """The network side of some machines."""
        return [self.machines[name].kernel for name in names]

    # --- the client ------------------------------------------------------------------------------

    def submit(self, plan: Plan, job: JobId, done: Callable[[], None] = lambda: None) -> None:
        """Put the plan on the NAS, submit it as the command line does, and follow it."""
        data = encode_plan(plan)
        digest, code = plan_digest(data), plan_digest(CODE)
        self.nas.deposit(plan_path(digest), data)
        self.nas.deposit(code_path(code), CODE)
        process = self.machines["client"].new_life()
        order = Submit(0, job, plan.graph, digest, code, 0)
        self.world.after(0, process, self._submit, process, order, done)

    def _submit(self, process: Incarnation, order: Submit, done: Callable[[], None]) -> None:
        addresses = [self.address(name) for name in self.model.nodes]
        cluster = Cluster(process.reactor, self.security, addresses)

        def ended(status: object) -> None:
            cluster.close()
            if isinstance(status, Failure):
                self._log.failure("the client failed", status)
                self.exit_status = 1
            else:
                assert isinstance(status, int)
                self.exit_status = status
            done()

        following = submit_and_follow(process.reactor, cluster, order, self.watcher, detach=False)
        Deferred.fromCoroutine(following).addBoth(ended)

    @property
    def now_s(self) -> float:
        """Virtual time in seconds."""
        return self.world.now / SECOND


async def _leave_and_stop(node: Node) -> None:
    """What `nanoboost.tap.NodeService` does when it is told to stop."""
    await node.leave(drain=False)
    await node.stopService()
    await node.runtime.store.close()
