"""Raft cores in virtual time over a bad network and honest disks, watched after every step.

The same seed gives the same run.  What was written and not yet synced is lost in a crash (a prefix
of it may survive).  What must hold is in `simulations.checkers.raft`; a core that fails an
assertion of its own is an error of the test, unless `is_crash_tolerant`: then that process has
died, and the rest goes on.
"""

import heapq
from collections.abc import Callable, Iterable
from functools import partial
from random import Random
from typing import Any
from zlib import crc32

from nanoboost.config import ConsensusTiming
from nanoboost.consensus.autopilot import PeerView
from nanoboost.consensus.chronicle import Chronicle, Facts
from nanoboost.consensus.effects import (
    Apply,
    ChangeAsked,
    ConfigurationSettled,
    LeaveFinished,
    PeersChanged,
    Persist,
    Persisted,
    Proposed,
    ReadAsked,
    ReadReady,
    ReadRefused,
    Received,
    Restore,
    Send,
    SnapshotTaken,
    TakeSnapshot,
)
from nanoboost.consensus.membership import Change
from nanoboost.consensus.messages import Entry, HardState, Snapshot, check
from nanoboost.consensus.raft import Raft
from nanoboost.consensus.state import NOTHING, Stored
from nanoboost.core import Woke
from nanoboost.ids import NodeId
from simulations.checkers.raft import Broken, RaftHolds

TIMING = ConsensusTiming(0.05, 0.3, 0.6, 2.0, 0.5, 30.0, 600.0, 60.0)
CLUSTER = "c" * 16


def node_id(number: int) -> NodeId:
    return NodeId(f"{number:016x}")


class Disk:
    """What survives a power cut, and what is on its way there."""

    def __init__(self) -> None:
        self.hard_state: HardState = NOTHING.hard_state
        self.snapshot: Snapshot | None = None
        self.entries: dict[int, Entry] = {}
        self.pending: list[Persist] = []

    def sync(self, count: int) -> None:
        """The first `count` pending writes are durable."""
        for persist in self.pending[:count]:
            if persist.hard_state is not None:
                self.hard_state = persist.hard_state
            if persist.snapshot is not None:
                self.snapshot = persist.snapshot
            self.entries.update({entry.index: entry for entry in persist.entries})
            for index in [each for each in self.entries if not self._is_kept(each, persist)]:
                del self.entries[index]
        del self.pending[:count]

    @staticmethod
    def _is_kept(index: int, persist: Persist) -> bool:
        return persist.first <= index <= persist.last

    def has(self, index: int, term: int) -> bool:
        if index in self.entries:
            return self.entries[index].term == term
        return self.snapshot is not None and index <= self.snapshot.index

    def stored(self) -> Stored:
        entries = tuple(self.entries[index] for index in sorted(self.entries))
        return Stored(self.hard_state, self.snapshot, entries)


class Node:
    """One node: its core while it is up, its disk always."""

    def __init__(self, name: NodeId, *, is_founder: bool) -> None:
        self.name = name
        self.is_founder = is_founder
        self.disk = Disk()
        self.raft: Raft | None = None
        self.chronicle: Chronicle | None = None
        self.life = 0
        self.applied: list[bytes] = []
        self.state = 0
        """The digest of what is applied, as that of a snapshot would be."""
        self.disk_delay = (0.0005, 0.003)
        self.has_left = False
        self.settled: list[Any] = []

    @property
    def core(self) -> Raft:
        assert self.raft is not None, f"{self.name} is down"
        return self.raft


class Cluster:
    """`count` nodes, the first of which founds the cluster.  `journal(now, name, facts)` hears what
    the checkers hear."""

    def __init__(
        self,
        count: int,
        seed: int = 1,
        *,
        is_crash_tolerant: bool = False,
        journal: Callable[[float, NodeId, Facts], None] = lambda now, name, facts: None,
    ) -> None:
        self._journal = journal
        self.rng = Random(seed)
        self.now = 0.0
        self.watch = RaftHolds()
        self.committed: list[Entry] = []
        self.is_crash_tolerant = is_crash_tolerant
        self.deaths = 0
        names = [node_id(n) for n in range(count)]
        self.nodes = {each: Node(each, is_founder=each == names[0]) for each in names}
        self.delay = (0.0005, 0.002)
        self.loss = 0.0
        self.duplication = 0.0
        self.lateness = 0.0
        """How many of the messages take so long that whole terms may pass."""
        self.snapshot_delay = 0.0
        self.cut: set[tuple[NodeId, NodeId]] = set()
        self.sent: list[tuple[NodeId, NodeId, Any]] = []
        self.drop: Callable[[NodeId, NodeId, Any], bool] = lambda sender, to, message: False
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._proposals = 0
        self.reads: dict[int, int] = {}
        self.reads_ready: list[int] = []
        self.reads_refused: list[int] = []
        for name in self.nodes:
            self.start(name)

    # --- control ---------------------------------------------------------------------------------

    def start(self, name: NodeId) -> None:
        node = self.nodes[name]
        assert node.raft is None
        node.life += 1
        node.applied, node.state = [], 0
        stored = node.disk.stored()
        node.raft = Raft(
            name,
            CLUSTER,
            TIMING,
            Random(self.rng.getrandbits(64)),
            self.now,
            stored,
            is_founder=node.is_founder,
        )
        node.chronicle = Chronicle(node.raft, stored, partial(self._tell, name))
        self.poke(name, Woke())

    def crash(self, name: NodeId) -> None:
        node = self.nodes[name]
        node.disk.sync(self.rng.randint(0, len(node.disk.pending)))
        node.disk.pending = []
        node.raft = None
        node.life += 1

    def partition(self, *sides: Iterable[NodeId]) -> None:
        side_of = {name: n for n, side in enumerate(sides) for name in side}
        self.cut = {(a, b) for a in self.nodes for b in self.nodes if side_of[a] != side_of[b]}

    def heal(self) -> None:
        self.cut = set()

    def poke(self, name: NodeId, event: Any) -> None:
        """One step of one node, its effects, and all checks."""
        node = self.nodes[name]
        if node.raft is None or node.chronicle is None:
            return
        if isinstance(event, Received):
            check(event.message)
        try:
            effects = node.chronicle.step(self.now, event)
        except Broken:
            raise
        except Exception:
            if not self.is_crash_tolerant:
                raise
            self.deaths += 1
            self.crash(name)
            return
        log = node.raft.state.log
        if log.commit > len(self.committed) >= log.base_index:
            self.committed += log.between(len(self.committed) + 1, log.commit)
        for effect in effects:
            self._perform(node, effect)

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self._next(end):
            pass
        self.now = end

    def run_until(self, condition: Callable[[], Any], seconds: float = 20.0) -> None:
        end = self.now + seconds
        while not condition():
            assert self._next(end), f"not within {seconds} s"

    def _next(self, end: float) -> bool:
        """The next thing that happens, if it happens before `end`."""
        wakes = [
            (max(due, self.now), name)
            for name, node in self.nodes.items()
            if node.raft is not None and (due := node.raft.deadline()) is not None
        ]
        wake = min(wakes, default=(end + 1, NodeId("")))
        if self._queue and self._queue[0][0] <= wake[0]:
            if self._queue[0][0] > end:
                return False
            self.now, _, call = heapq.heappop(self._queue)
            call()
        elif wake[0] > end:
            return False
        else:
            self.now = wake[0]
            self.poke(wake[1], Woke())
        return True

    def _later(self, delay: float, call: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._queue, (self.now + delay, self._count, call))

    # --- what tests ask --------------------------------------------------------------------------

    @property
    def up(self) -> list[NodeId]:
        return [name for name, node in self.nodes.items() if node.raft is not None]

    def leader(self) -> NodeId | None:
        """The leader of the highest term, if it is up."""
        leading = [
            (node.raft.state.term, name)
            for name, node in self.nodes.items()
            if node.raft is not None and node.raft.state.is_leader
        ]
        return max(leading)[1] if leading else None

    def await_leader(self) -> NodeId:
        def ready() -> bool:
            leader = self.leader()
            return leader is not None and self.nodes[leader].core.state.has_committed_in_term

        self.run_until(ready)
        leader = self.leader()
        assert leader is not None
        return leader

    def propose(self, data: bytes | None = None) -> bytes | None:
        leader = self.leader()
        if leader is None:
            return None
        self._proposals += 1
        data = data or b"%d" % self._proposals
        raft = self.nodes[leader].core
        if not raft.may_propose(raft.state.term, len(data)):
            return None
        self.poke(leader, Proposed(raft.state.term, data))
        return data

    def commit(self, data: bytes | None = None) -> bytes:
        """Propose until something commits."""
        wanted: list[bytes] = []

        def is_committed() -> bool:
            if not wanted or self.leader() is None:
                proposed = self.propose(data)
                if proposed is not None:
                    wanted.append(proposed)
            return any(entry.data in wanted for entry in self.committed)

        self.run_until(is_committed)
        return wanted[-1]

    def change(self, voters: Iterable[NodeId], learners: Iterable[NodeId] = ()) -> None:
        leader = self.leader()
        if leader is not None:
            index = self.nodes[leader].core.state.membership.effective_index
            wanted = Change(tuple(sorted(voters)), tuple(sorted(learners)), index)
            self.poke(leader, ChangeAsked(wanted))

    def become(self, voters: Iterable[NodeId], learners: Iterable[NodeId] = ()) -> NodeId:
        """Change the configuration, and wait until everybody in it knows."""
        voters, learners = tuple(sorted(voters)), tuple(sorted(learners))
        self.await_leader()
        self.change(voters, learners)

        def done() -> bool:
            states = [self.nodes[name].core.state for name in (*voters, *learners)]
            return all(
                (each.configuration.voters, each.configuration.outgoing) == (voters, ())
                and each.configuration.learners == learners
                and each.is_configuration_committed
                for each in states
            )

        self.run_until(done)
        return self.await_leader()

    def read(self, name: NodeId) -> int:
        ticket = len(self.reads) + 1
        self.reads[ticket] = len(self.committed)
        self.poke(name, ReadAsked(ticket))
        return ticket

    def gossip(self, live: Iterable[NodeId], dead: Iterable[NodeId] = ()) -> None:
        """Tell every node who is there, as of now."""
        peers = {name: PeerView(name, "alive", self.now, True) for name in live}
        peers |= {name: PeerView(name, "dead", self.now, True) for name in dead}
        for name in self.up:
            self.poke(name, PeersChanged(peers))

    # --- effects ---------------------------------------------------------------------------------

    def _perform(self, node: Node, effect: Any) -> None:
        match effect:
            case Send(to, message):
                self._transmit(node.name, to, message)
            case Persist():
                node.disk.pending.append(effect)
                self._sync_later(node, effect.token)
            case Apply(entries):
                for entry in entries:
                    self._apply(node, entry)
            case Restore(snapshot):
                node.applied = snapshot.data.split(b"\0") if snapshot.data else []
                node.state = crc32(snapshot.data)
            case TakeSnapshot(index):
                assert index == len(node.applied)
                data = b"\0".join(node.applied)
                delay = self.rng.uniform(0.0, self.snapshot_delay)
                self._later(delay, self._to(node, SnapshotTaken(index, data)))
            case ReadReady(ticket):
                self.reads_ready.append(ticket)
            case ReadRefused(ticket):
                self.reads_refused.append(ticket)
            case LeaveFinished():
                node.has_left = True
            case ConfigurationSettled(configuration):
                node.settled.append(configuration)

    def _apply(self, node: Node, entry: Entry) -> None:
        """The state of the test: all data, one after another."""
        node.state = crc32(b"\0" + entry.data if node.applied else entry.data, node.state)
        node.applied.append(entry.data)
        assert entry.index == len(node.applied)
        self._tell(node.name, {"states": [[entry.index, node.state]]})

    def _tell(self, name: NodeId, facts: Facts) -> None:
        self.watch.take(name, facts)
        self._journal(self.now, name, facts)

    def _to(self, node: Node, event: Any) -> Callable[[], None]:
        """An event for the node in its present life."""
        life = node.life
        return lambda: self.poke(node.name, event) if node.life == life else None

    def _sync_later(self, node: Node, token: int) -> None:
        life = node.life

        def synced() -> None:
            if node.life == life:
                done = sum(each.token <= token for each in node.disk.pending)
                node.disk.sync(done)
                self.poke(node.name, Persisted(token))

        self._later(self.rng.uniform(*node.disk_delay), synced)

    def _transmit(self, sender: NodeId, to: NodeId, message: Any) -> None:
        self.sent.append((sender, to, message))
        assert to != sender
        if to not in self.nodes or (sender, to) in self.cut or self.drop(sender, to, message):
            return
        if self.rng.random() < self.loss:
            return
        for _ in range(1 + (self.rng.random() < self.duplication)):
            is_late = self.lateness and self.rng.random() < self.lateness
            delay = self.rng.uniform(*((0.3, 3.0) if is_late else self.delay))
            self._later(delay, lambda: self.poke(to, Received(sender, message)))
