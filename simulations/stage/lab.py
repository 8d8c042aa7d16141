"""A whole cluster in one simulated world: machines, nodes, the NAS, and a client.

**Nodes are built by `nanoboost.node.compose`, the client is the command line's own code**; only
their `Runtime` and their reactor are simulated.  What is done to the cluster (kill, cut, ...) is
done from outside, by the world.
"""

import contextlib
import gc
from collections.abc import Callable
from functools import partial
from types import ModuleType

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.logger import Logger, globalLogPublisher
from twisted.python.failure import Failure

from nanoboost.config import DEFAULT_PORT, NodeConfig
from nanoboost.errors import UserError
from nanoboost.ids import Address, JobId, NodeId
from nanoboost.node import Node, compose
from nanoboost.plan import Plan
from nanoboost.runtime import Host, Network
from nanoboost.wire.messages import TaskDone
from simulations.faults.base import Fault
from simulations.hosts.machine import Incarnation, Machine
from simulations.hosts.security import SimSecurity
from simulations.kernel.guard import guarded
from simulations.kernel.journal import Records
from simulations.kernel.world import MS, SECOND, World
from simulations.net.network import BROADCAST
from simulations.procs.attempts import AttemptChild
from simulations.procs.conduct import Conduct
from simulations.procs.errands import ErrandChild
from simulations.procs.nas import SimNas, sources_of
from simulations.procs.process import Process, Program
from simulations.report.lanes import Fault as Deed
from simulations.stage.client import Client
from simulations.stage.model import Model
from simulations.stage.survey import CLIENT, Life, NoSuchMachine, Survey

NAS_DIR = "/nas"
START_GAP_NS = 200 * MS
RESTART_NS = 2 * SECOND
"""How soon a supervisor (systemd) starts a node again that has ended."""


class Lab(Survey):
    """The cluster of one run."""

    _log = Logger()

    def __init__(self, seed: int, model: Model, *, keep_trace: bool = False) -> None:
        super().__init__(World(seed, keep_trace=keep_trace), model)
        self.security = SimSecurity.of(seed)
        self._securities: dict[str, SimSecurity] = {}
        self.nas = SimNas(self.world, self.security.cluster)
        self.conduct = Conduct(model.mishaps_permille)
        self.records = Records(self.world)
        self._programs: dict[str, Callable[[Process], Program]] = {
            "nanoboost.agent.child": lambda process: AttemptChild(
                process, self.nas.mount(process.machine.name), self.conduct, self._poisoned
            ),
            "nanoboost.nas.nashelper": lambda process: ErrandChild(
                process, self.nas.mount(process.machine.name)
            ),
        }
        for name in (*model.nodes, CLIENT):
            self._add(name)
        self.deeds: list[Deed] = []
        """What was done to the cluster, for people to read."""
        self._undos: dict[int, Callable[[], None]] = {}
        self._starting: dict[str, Incarnation] = {}
        self._wanted: dict[str, None] = {}
        """The nodes that shall run."""
        self._newcomers: dict[str, None] = {}
        """Machines whose disk was empty at their start: they join, and found no cluster."""
        self.turned: list[tuple[ModuleType, str, float]] = []
        """Knobs, and how they were."""
        self.clients: list[Client] = []
        self.jobs: dict[str, Plan] = {}
        """What was submitted, by the job's id."""
        self.repeat_done: dict[str, int] = {}
        """Agents whose words about ended attempts are said again, and how much later."""
        self.leftovers: list[str] = []
        """What nodes that stopped in good order have left behind: timers, sockets, children."""

    def run(self, until_ns: int) -> None:
        """Let the world go on; at the end, tell of errors that nobody handled."""
        globalLogPublisher.addObserver(self.records)
        try:
            with guarded():
                self.world.run(until_ns)
                gc.collect()
        finally:
            self._turn_back()
            globalLogPublisher.removeObserver(self.records)

    def _turn_back(self) -> None:
        """Set all knobs as they were."""
        while self.turned:
            module, name, usual = self.turned.pop()
            setattr(module, name, usual)

    # --- nodes -----------------------------------------------------------------------------------

    def start_all(self) -> None:
        """The first node founds the cluster, the others join one after another."""
        for number, name in enumerate(self.model.nodes):
            self.world.after(number * START_GAP_NS, self.world.nature, self.start, name)

    def start(self, name: str) -> None:
        """Start a node's process, unless it runs or its machine has no power."""
        machine = self.machines[name]
        self._wanted[name] = None
        if name in self.lives or name in self._starting or not machine.kernel.alive:
            return
        self.upheaval_at = self.world.now
        process = self._starting[name] = machine.new_life()
        self.world.after(0, process, self._boot, process)

    def _boot(self, process: Incarnation) -> None:
        name = process.name
        del self._starting[name]
        founds = name == self.model.nodes[0] and name not in self._newcomers
        others = [each for each in self.model.nodes if each != name]
        told = self.model.are_told and not founds
        seeds = tuple(self.address(each) for each in others) if told else ()
        config = NodeConfig(
            name=name,
            state_dir=f"/{name}",
            nas_dir=NAS_DIR,
            listen=self.address(name),
            seeds=seeds,
            profile=self.model.profile,
            labels=self.model.host(name).labels,
            slots=self.model.host(name).slots,
            waits=not founds,
        )
        runtime = evolve(
            process.runtime(self.security_of(name)), record=partial(self.records.raft, name)
        )
        if not self.model.are_told:
            lan = Network(process.machine.kernel.ip, BROADCAST, is_loopback=False)
            runtime = evolve(runtime, networks=lambda: (lan,))
        try:
            node = compose(config, runtime, lambda why: self._ended(name, why))
            self.lives[name] = Life(process, node)
            self.names[node.me] = name
            node.mesh._receivers[TaskDone] = partial(self._done_heard, node.master.receive)
            node.startService()
        except UserError as error:
            self._log.warn("{why}", event="unusable", why=str(error))
            self.world.after(0, self.world.nature, self._unusable, name, process)

    def _unusable(self, name: str, process: Incarnation) -> None:
        """The operator does what the node's last line says: the state is moved away, and the node
        joins as new."""
        self.lives.pop(name, None)
        process.end(silently=False)
        self._log.info("{node} has not come up", node=name, event="down")
        self.replace_disk(name)
        self.world.after(RESTART_NS, self.world.nature, self.start, name)

    def _done_heard(
        self, receive: Callable[[NodeId, TaskDone], None], sender: NodeId, done: TaskDone
    ) -> None:
        """A master hears of an ended attempt; it, or the next, may hear of it again."""
        receive(sender, done)
        late = self.repeat_done.get(self.names[sender])
        if late is not None:
            self.world.after(late, self.world.nature, self._say_again, sender, done)

    def _say_again(self, sender: NodeId, done: TaskDone) -> None:
        life = self.lives.get(self.master or "")
        if life is not None:
            self._log.info("said again", event="repeated", job=done.key.job, task=done.key.task)
            self.world.after(0, life.process, life.node.master.receive, sender, done)

    def _ended(self, name: str, why: Failure | None) -> None:
        """A node wants its process to end."""
        self._log.info("{node} ends", node=name, event="ended_itself", broken=why is not None)
        self.world.after(0, self.world.nature, self.kill, name)

    def kill(self, name: str) -> None:
        """SIGKILL: its kernel says goodbye to its peers."""
        self._end(name, "{node} is killed", silently=False)

    def _end(self, name: str, text: str, *, silently: bool) -> None:
        starting = self._starting.pop(name, None)
        if starting is not None:
            starting.end(silently=silently)
        life = self.lives.pop(name, None)
        if life is not None:
            self.upheaval_at = self.world.now
            life.process.end(silently=silently)
            self._log.info(text, node=name, event="down")

    def _poisoned(self, name: str) -> None:
        """A task takes its node along; the machine's supervisor starts it again."""
        self.world.after(0, self.world.nature, self.kill, name)
        self.world.after(RESTART_NS, self.world.nature, self.start, name)

    def stop(self, name: str, stopped: Callable[[], None], *, drain: bool = False) -> None:
        """SIGTERM: leave in good order, as `twistd nanoboost` does, and end."""
        life = self.lives[name]
        life.ends.append(stopped)
        if len(life.ends) == 1:
            self.world.after(0, life.process, self._stop, name, life, drain)

    def _stop(self, name: str, life: Life, drain: bool) -> None:
        def ended(_: object) -> None:
            self.leftovers += [f"{name}: {each}" for each in life.process.leftovers()]
            self.world.after(0, self.world.nature, self.kill, name)
            for each in life.ends:
                self.world.after(0, self.world.nature, each)

        stopping = Deferred.fromCoroutine(_leave_and_stop(life.node, drain))
        stopping.addErrback(lambda why: self._log.failure("a node could not stop", why))
        stopping.addBoth(ended)

    def power_off(self, name: str) -> None:
        """Nobody is told."""
        self.machines[name].kernel.alive = False
        self._end(name, "{node} has no power", silently=True)

    def power_on(self, name: str) -> None:
        """The machine comes back, and its node with it."""
        self.machines[name].kernel.alive = True
        self.start(name)

    def plug_in(self, name: str) -> Machine:
        """A new machine, whose node joins."""
        machine = self._add(name)
        self._newcomers[name] = None
        self.start(name)
        return machine

    def replace_disk(self, name: str) -> None:
        """A new and empty disk; its owner knows that it must join."""
        self.machines[name].disk.wipe()
        self._newcomers[name] = None

    def retire(self, name: str) -> None:
        """A node leaves for good."""
        self._wanted.pop(name, None)

        def gone() -> None:
            self._log.info("{node} has left", node=name, event="left")

        self.stop(name, gone, drain=True)

    def security_of(self, name: str) -> SimSecurity:
        """The credential on this machine."""
        if name not in self._securities:
            self._securities[name] = SimSecurity.of(self.world.seed)
        return self._securities[name]

    def _add(self, name: str) -> Machine:
        host = self.model.host(name)
        facts = Host(name, host.cores, host.memory_mib, host.speed)
        made = Machine(
            self.world, self.network, name, self._programs, facts=facts, disk=self.model.disk
        )
        self.machines[name] = made
        return made

    def address(self, name: str) -> Address:
        """Where a node listens."""
        return Address(self.machines[name].kernel.ip, DEFAULT_PORT)

    # --- whom, and for how long ------------------------------------------------------------------

    def apply(self, fault: Fault) -> None:
        """Do this to the cluster; nothing, if it is meant for a machine that is not there (the
        fault that plugs it in may have been left out)."""
        with contextlib.suppress(NoSuchMachine):
            fault.apply(self)

    def lasting(self, text: str, lasts_ns: int, undo: Callable[[], None]) -> None:
        """Something is done to the cluster from now on; `undo` ends it then, or at rest."""
        self.deeds.append(Deed(self.world.now, self.world.now + lasts_ns, text))
        number = len(self.deeds)
        self._undos[number] = undo
        self.world.after(lasts_ns, self.world.nature, self._undo, number)

    def _undo(self, number: int) -> None:
        undo = self._undos.pop(number, None)
        if undo is not None:
            undo()

    def heal(self) -> None:
        """End all that is done to the cluster, and start all nodes that should run."""
        self._turn_back()
        for number in list(self._undos):
            self._undo(number)
        for name in list(self._wanted):
            self.start(name)

    # --- the client ------------------------------------------------------------------------------

    def submit(self, plan: Plan, job: JobId, done: Callable[[], None] = lambda: None) -> Client:
        """Submit a job as the command line does, and follow it."""
        self.jobs[job] = plan
        for path in sources_of(plan):
            self.nas.deposit(path, path.encode())
        client = Client(self, CLIENT, plan, job)
        self.clients.append(client)
        client.start(done)
        return client

    @property
    def now_s(self) -> float:
        """Virtual time in seconds."""
        return self.world.now / SECOND


async def _leave_and_stop(node: Node, drain: bool) -> None:
    """What `nanoboost.tap.NodeService` does when it is told to stop."""
    await node.leave(drain=drain)
    await node.stopService()
    await node.runtime.store.close()
