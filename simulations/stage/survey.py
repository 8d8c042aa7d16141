"""The cluster from above: who is there, who is master, who can reach whom.

**It sees what no node can see**: faults aim by it, and checkers know by it what a cluster could
have done.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import product

from attrs import field, frozen

from nanoboost.ids import NodeId
from nanoboost.node import Node
from simulations.hosts.machine import Incarnation, Machine
from simulations.kernel.world import MS, SECOND, World
from simulations.net.network import Kernel, Network
from simulations.stage.model import Model

CLIENT = "client"
"""The machine from which jobs are submitted; no node runs there."""
CUT_OFF_NS = 3 * SECOND
"""An answer that came just before a cut may wait so long for the own disk."""

EVENT_NS_MAX = 30 * MS
"""A node that is busy for longer with each event falls behind, however little it is asked."""


@frozen(eq=False)
class Life:
    """A node that runs: its process and what `compose` has built; `ends` is called when it has
    stopped in good order, which it does once however often it is told to."""

    process: Incarnation
    node: Node
    ends: list[Callable[[], None]] = field(factory=list)


class NoSuchMachine(KeyError):
    """A fault is meant for a machine that is not there."""


class Survey:
    """What is known of the cluster of one run."""

    def __init__(self, world: World, model: Model) -> None:
        self.world = world
        self.model = model
        self.network = Network(world, model.wire)
        self.machines: dict[str, Machine] = {}
        self.lives: dict[str, Life] = {}
        """The nodes that run now."""
        self.names: dict[NodeId, str] = {}
        self.upheaval_at = 0
        """When a node last came or went."""

    @property
    def nodes(self) -> tuple[str, ...]:
        """All machines that have had a node."""
        return tuple(name for name in self.machines if name != CLIENT)

    def kernels(self, names: Iterable[str]) -> list[Kernel]:
        """The network side of some machines."""
        return [self.machines[name].kernel for name in names]

    @property
    def master(self) -> str | None:
        """The node that is master of the highest term, by its own belief."""
        found = [
            (life.node.consensus.mastership.term, name)
            for name, life in self.lives.items()
            if life.node.consensus.mastership.is_me
        ]
        return max(found)[1] if found else None

    @property
    def voters(self) -> tuple[str, ...]:
        """The nodes that vote, as the one with the highest term believes."""
        found = ((life.node.consensus, name) for name, life in self.lives.items())
        believed = max(
            found,
            key=lambda each: (each[0].mastership.term, each[0].mastership.is_me, each[1]),
            default=None,
        )
        parts = believed[0].status.parts if believed is not None else {}
        return tuple(self.names[node] for node, part in parts.items() if part == "voter")

    def find(self, who: str) -> str:
        """The machine called `who`; or, of the nodes that run now, the `master`, a `voter` or a
        `learner` that is not master; the first node if there is none.  Or a `newcomer`, one that
        was plugged in.  Raises `NoSuchMachine`."""
        if who in self.machines:
            return who
        if who == "newcomer":
            found = [name for name in self.lives if name not in self.model.nodes]
            if not found:
                raise NoSuchMachine(who)
            return found[0]
        master, voters = self.master, self.voters
        others = [name for name in self.lives if name != master]
        ranks = {
            "master": [master] if master is not None else [],
            "voter": [name for name in others if name in voters],
            "learner": [name for name in others if name not in voters],
        }
        if who not in ranks:
            raise NoSuchMachine(who)
        return next(iter(ranks[who]), self.model.nodes[0])

    def sides(self, left: Sequence[str], right: Sequence[str]) -> tuple[list[str], list[str]]:
        """The machines of two sides; with no `right`, that is all others."""
        one = list(dict.fromkeys(map(self.find, left)))
        other = [name for name in map(self.find, right) if name not in one]
        return one, other or [name for name in self.machines if name not in one]

    def ways(
        self, left: Sequence[str], right: Sequence[str], *, one_way: bool = False
    ) -> list[tuple[Kernel, Kernel]]:
        """All directions from the left to the right side, and back unless `one_way`."""
        one, other = (self.kernels(each) for each in self.sides(left, right))
        there = list(product(one, other))
        return there if one_way else [*there, *((other, one) for one, other in there)]

    def is_well(self, name: str) -> bool:
        """Whether this node runs on a machine with nothing wrong, and fast enough."""
        life = self.lives.get(name)
        machine = self.machines[name]
        usual = machine.disk.is_usual and machine.event_ns <= EVENT_NS_MAX
        return usual and life is not None and life.process.alive

    def in_touch(self, one: str, other: str) -> bool:
        """Whether the wires between two machines are as usual, both ways."""
        left, right = self.machines[one].kernel, self.machines[other].kernel
        return self.network.is_usual(left, right) and self.network.is_usual(right, left)

    def is_cut(self, one: str, other: str) -> bool:
        """Whether something is cut between two machines."""
        left, right = self.machines[one].kernel, self.machines[other].kernel
        return self.network.is_cut(left, right) or self.network.is_cut(right, left)

    def is_cut_off(self, name: str) -> bool:
        """Whether this node has been out of touch with a majority of the voters for long enough to
        know it: they are behind a cut, or do not run."""
        voters = self.voters
        reached = sum(
            each == name or (each in self.lives and not self.is_cut(name, each)) for each in voters
        )
        changed_at = max(self.network.changed_at, self.upheaval_at)
        settled = changed_at + CUT_OFF_NS < self.world.now
        return settled and reached <= len(voters) // 2
