"""Some nodes at a table: whole services over one virtual clock, with stores in memory."""

import random
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

from attrs import define, field
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from nanoboost.config import PROFILES
from nanoboost.consensus.autopilot import PeerView
from nanoboost.consensus.messages import RAFT
from nanoboost.consensus.service import Consensus, MastershipChange
from nanoboost.frontier import Frontier
from nanoboost.ids import Attempt, JobId, NodeId, TaskId
from nanoboost.runtime import Runtime
from nanoboost.wire.codec import Catalog
from nanoboost.wire.records import JobSubmitted, Record
from simulations.checkers.raft import Broken, RaftHolds

TIMING = PROFILES["lan"].consensus
CATALOG = Catalog(RAFT)
JOB = JobId("film-1")
STEP_S = 0.005


class MemoryStore:
    """A `DurableStore`: a commit is durable a moment later, unless the disk fails or is full."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.pairs: dict[bytes, bytes] = {}
        self.broken = False
        self.is_full = False
        self.waiting: list[Callable[[], None]] | None = None
        """What waits for space, while there is none."""
        self.commits = 0

    def load(self, prefix: bytes) -> list[tuple[bytes, bytes]]:
        return sorted(pair for pair in self.pairs.items() if pair[0].startswith(prefix))

    def commit(self, writes: Any) -> "Deferred[None]":
        if self.broken:
            return fail(OSError("the disk is gone"))
        self.commits += 1
        done: Deferred[None] = Deferred()

        def sync() -> None:
            for key, value in writes:
                if value is None:
                    self.pairs.pop(key, None)
                else:
                    self.pairs[key] = value
            done.callback(None)

        self._clock.callLater(0.001, self._sync, sync)
        return done

    def _sync(self, sync: Callable[[], None]) -> None:
        if self.waiting is not None:
            self.waiting.append(sync)
        else:
            sync()

    def make_space(self) -> None:
        waiting, self.waiting = self.waiting or [], None
        self.is_full = False
        for sync in waiting:
            sync()

    def close(self) -> "Deferred[None]":
        raise NotImplementedError


@define
class FakeSecurity:
    cluster: str = "c" * 16


@define
class FakeRuntime:
    reactor: Clock
    store: MemoryStore
    seed: str
    security: FakeSecurity = field(factory=FakeSecurity)
    record: Callable[[Mapping[str, Any]], None] | None = None

    def rng(self, name: str) -> random.Random:
        return random.Random(f"{self.seed}/{name}")

    def busy(self) -> float:
        return 0.0


@define
class Seat:
    """One node and what it reported."""

    name: NodeId
    runtime: FakeRuntime
    changes: list[MastershipChange] = field(factory=list)
    committed: list[tuple[int, Record]] = field(factory=list)
    crashes: list[Failure] = field(factory=list)
    node: Consensus | None = None

    @property
    def service(self) -> Consensus:
        assert self.node is not None
        return self.node


class Table:
    """Some nodes that hear one another; who sits there is alive."""

    def __init__(self, count: int) -> None:
        self.clock = Clock()
        self.holds = RaftHolds()
        self.seats: dict[NodeId, Seat] = {}
        for number in range(count):
            name = NodeId(f"{number:016x}")
            runtime = FakeRuntime(self.clock, MemoryStore(self.clock), name)
            runtime.record = partial(self.holds.take, name)
            self.seats[name] = Seat(name, runtime)
        for name in self.seats:
            self.sit_down(name)

    def sit_down(self, name: NodeId) -> None:
        seat = self.seats[name]
        node = seat.node = Consensus(
            name,
            TIMING,
            cast("Runtime", seat.runtime),
            lambda to, message: self._send(name, to, message),
            seat.changes.append,
            lambda term, record: seat.committed.append((term, record)),
            seat.crashes.append,
            found=name == NodeId("0" * 16),
        )
        node.startService()
        self._gossip()

    def stand_up(self, name: NodeId) -> None:
        self.seats[name].service.stopService()
        self.seats[name].node = None
        self._gossip()

    def _gossip(self) -> None:
        now = self.clock.seconds()
        peers = {
            name: PeerView(name, "alive" if seat.node else "dead", now, True, name=f"name-{name}")
            for name, seat in self.seats.items()
        }
        for seat in self.seats.values():
            if seat.node is not None:
                seat.node.members_changed(peers)

    def _send(self, sender: NodeId, to: NodeId, message: object) -> None:
        data = CATALOG.encode(message)

        def arrive() -> None:
            node = self.seats[to].node
            if node is not None:
                node.receive(sender, CATALOG.decode(data))

        self.clock.callLater(0.001, arrive)

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / STEP_S)):
            self.clock.advance(STEP_S)
        crashes = [each for seat in self.seats.values() for each in seat.crashes]
        assert not [each for each in crashes if each.check(Broken)]

    def run_until(self, condition: Callable[[], Any], seconds: float = 10.0) -> float:
        start = self.clock.seconds()
        while not condition():
            assert self.clock.seconds() < start + seconds, f"not within {seconds} s"
            self.clock.advance(STEP_S)
        return self.clock.seconds() - start

    def master(self) -> Seat | None:
        masters = [
            seat
            for seat in self.seats.values()
            if seat.node is not None and seat.node.status.is_master
        ]
        return max(masters, key=lambda seat: seat.service.status.term) if masters else None

    def voters(self) -> int:
        master = self.master()
        parts = master.service.status.parts if master else {}
        return list(parts.values()).count("voter")

    def await_master(self) -> Seat:
        self.run_until(self.master)
        master = self.master()
        assert master is not None
        return master


def submitted(job: JobId = JOB) -> JobSubmitted:
    return JobSubmitted(job, "film", "a" * 64, "b" * 64, 0, 4)


def frontier(*tasks: int) -> bytes:
    made = Frontier.empty(4)
    for task in tasks:
        made.finish(TaskId(task), Attempt(1, 1))
    return made.encode()


def result_of(deferred: "Deferred[Any]") -> list[Any]:
    found: list[Any] = []
    deferred.addBoth(found.append)
    return found
