"""Bugs of the disk, of consensus and of what it replicates."""

from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

from attrs import evolve
from twisted.internet.defer import Deferred, succeed

from nanoboost.consensus import quorum
from nanoboost.consensus.durability import Durability
from nanoboost.consensus.effects import Persist, Persisted, ReadReady
from nanoboost.consensus.election import Election
from nanoboost.consensus.messages import Vote
from nanoboost.consensus.reading import Reading
from nanoboost.consensus.registry import Registry
from nanoboost.consensus.service import Consensus
from nanoboost.consensus.snapshotting import Snapshotting
from nanoboost.consensus.state import Role, State
from nanoboost.frontier import Frontier
from nanoboost.ids import NodeId
from nanoboost.master.jobs import Job
from simulations.checkers.ghosts import do_intersect
from simulations.hosts import disk
from simulations.hosts.disk import SimStore
from tests.simulations.planting import Patches, planted


@planted("disk", "a write is announced before it is durable", "blackout", "I F2 M1", 2, 10)
def _() -> Patches:
    commit = SimStore.commit

    def lie(store: SimStore, writes: Any) -> "Deferred[None]":
        commit(store, writes)
        return succeed(None)

    with patch.object(SimStore, "commit", lie):
        yield


@planted("disk", "what is read is not held against its checksum", "bit_rot", "D2 I S1", 0, 5)
def _() -> Patches:
    def taken(path: str, rows: Any) -> Any:
        return [(key, value) for key, value, _ in rows]

    with patch.object(disk, "verified", taken):
        yield


@planted("consensus", "a vote leaves before it is durable", "calm", "I7", 0, 5)
def _() -> Patches:
    def released(self: Durability) -> Iterator[Any]:
        while self._held:
            _, to, message = self._held.popleft()
            yield to, message

    with patch.object(Durability, "released", released):
        yield


@planted("consensus", "term and vote are not written", "blackout", "I M1", 0, 5)
def _() -> Patches:
    persist = Consensus._persist

    def forget(self: Consensus, effect: Persist) -> None:
        persist(self, evolve(effect, hard_state=None))

    with patch.object(Consensus, "_persist", forget):
        yield


@planted(
    "consensus", "votes of other terms and of pre-votes are counted", "failover_storm", "I M1", 0, 5
)
def _() -> Patches:
    def answered(self: Election, now: float, sender: NodeId, message: Vote) -> None:
        if self._state.role in (Role.CANDIDATE, Role.PRE_CANDIDATE):
            self._votes.setdefault(sender, message.is_granted)
            self._count(now)

    with patch.object(Election, "answered", answered):
        yield


@planted("consensus", "a minority counts as a majority", "partition", "I M1 F2 F3", 0, 5)
def _() -> Patches:
    do_intersect.cache_clear()  # the checker remembers what quorums there are
    with patch.object(quorum, "majority", lambda count: max(1, count // 2)):
        yield
    do_intersect.cache_clear()


@planted("consensus", "a leader does not ask whether a quorum hears it", "asymmetric", "L1", 2, 5)
def _() -> Patches:
    def heard(self: Any, now: float) -> set[NodeId]:
        return {self.me, *self.progress}

    with patch.object(State, "heard", heard):
        yield


@planted(
    "consensus", "a new master reads what it has, without a barrier", "failover", "I F2", 2, 10
)
def _() -> Patches:
    def proceed(self: Reading, now: float) -> None:
        for read in self._reads:
            self._state.outbox.append(ReadReady(read.ticket))
        self._reads = []

    with patch.object(Reading, "proceed", proceed):
        yield


@planted("consensus", "a snapshot cuts off what is not committed", "snapshot_catchup", "I S1", 0, 5)
def _() -> Patches:
    taken = Snapshotting.taken

    def short(self: Snapshotting, index: int, data: bytes) -> None:
        taken(self, index, data)
        log = self._state.log
        if log.last_index > log.commit:
            self._state.durability.cut(log.commit + 1)
            log.cut(log.commit + 1)

    with patch.object(Snapshotting, "taken", short):
        yield


@planted("consensus", "a write that failed is not noticed", "fsync_error", "D4", 0, 5)
def _() -> Patches:
    def persist(self: Consensus, effect: Persist) -> None:
        commit = self._store.commit(effect)
        commit.addCallbacks(lambda _: self._feed(Persisted(effect.token)), lambda _: None)

    with patch.object(Consensus, "_persist", persist):
        yield


@planted("consensus", "nobody is given a snapshot", "snapshot_catchup", "L4", 0, 5)
def _() -> Patches:
    with patch.object(Snapshotting, "begin", lambda self, now, node, progress: None):
        yield


class _OnlyNews(Frontier):
    """Says only what was not known before the term began: enough, if frontiers are joined."""

    known: Frontier

    def encode(self) -> bytes:
        told = Frontier.empty(self.tasks)
        for task in self.done():
            winner = self.winner(task)
            if winner is not None and not self.known.is_done(task):
                told.finish(task, winner)
        return told.encode()


@planted(
    "registry", "a frontier replaces the other instead of joining it", "failover", "I F2", 0, 5
)
def _() -> Patches:
    inherited = Job.inherited

    def grow(self: Registry, job: Any, record: Any) -> bool:
        job.decoded, job.encoded = Frontier.decode(record.frontier, job.submitted.tasks), None
        return True

    def begin(entry: Any) -> Job:
        job = inherited(entry)
        told = _OnlyNews(entry.submitted.tasks)
        told.merge(job.frontier)
        told.known, job.frontier = job.frontier, told
        return job

    with patch.object(Registry, "_grow", grow), patch.object(Job, "inherited", begin):
        yield
