"""Bad weather for a cluster of cores, made to find mistakes: more elections, smaller messages and
snapshots, one-way silence and late packets than any LAN has.  The same seed gives the same storm.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

from nanoboost.consensus import replication, snapshotting
from nanoboost.consensus.effects import TransferAsked
from nanoboost.consensus.messages import AppendEntries
from simulations.checkers.raft import Broken
from tests.consensus.cluster import Cluster

SECONDS = 10.0
CALM = (0.0005, 0.003)


@contextmanager
def small_limits() -> Iterator[None]:
    """Snapshots after few entries, in small pieces, and few entries in a message."""
    with (
        patch.object(snapshotting, "LOG_ENTRIES_MAX", 25),
        patch.object(snapshotting, "TRAILING_ENTRIES", 6),
        patch.object(snapshotting, "PIECE_BYTES", 40),
        patch.object(replication, "BATCH_COUNT_MAX", 1),
    ):
        yield


def storm(seed: int) -> Cluster:
    """A storm, and the calm after it.  Raises `Broken`."""
    with small_limits():
        cluster = Cluster(5, seed, is_crash_tolerant=True)
        try:
            _begin(cluster)
        except AssertionError as error:
            raise named(error) from error
        rng = cluster.rng
        cluster.loss, cluster.duplication = rng.choice([(0.0, 0.0), (0.05, 0.1), (0.2, 0.1)])
        cluster.delay = rng.choice([CALM, (0.001, 0.05), (0.0, 0.25)])
        cluster.lateness = rng.choice([0.0, 0.0, 0.03, 0.2])
        cluster.snapshot_delay = rng.choice([0.0, 0.05])
        entries_lost = rng.choice([0.0, 0.0, 0.6, 0.9])
        if entries_lost:  # much is appended and cut off again while leaders change
            cluster.drop = lambda sender, to, message: (
                isinstance(message, AppendEntries) and rng.random() < entries_lost
            )
        end = cluster.now + SECONDS
        while cluster.now < end:
            cluster.run(rng.expovariate(1 / 0.06))
            rng.choices(_EVENTS, _WEIGHTS)[0](cluster)
        try:
            calm(cluster)
        except AssertionError as error:
            raise named(error) from error
    return cluster


def _begin(cluster: Cluster) -> None:
    """Three voters, by as many changes as that takes."""
    wanted = tuple(cluster.nodes)[:3]

    def is_done() -> bool:
        cluster.change(wanted)
        voters = [cluster.nodes[name].core.state.configuration for name in cluster.up]
        return all(each.voters == wanted and not each.is_joint for each in voters[:3])

    cluster.await_leader()
    cluster.run_until(is_done)


def named(error: AssertionError) -> Broken:
    """What does not come about in time is a want of liveness."""
    return error if isinstance(error, Broken) else Broken("I14", str(error) or "no rest")


def calm(cluster: Cluster) -> None:
    """The faults end: somebody leads, all moves, all agree (I14, I11, I8)."""
    cluster.heal()
    cluster.loss = cluster.duplication = cluster.lateness = 0.0
    cluster.delay = CALM
    cluster.drop = lambda sender, to, message: False
    for name, node in cluster.nodes.items():
        node.disk_delay = CALM
        if node.raft is None:
            cluster.start(name)
    cluster.run(12.0)
    cluster.await_leader()
    cluster.commit()

    def is_at_rest() -> bool:
        leader = cluster.leader()
        if leader is None:
            return False
        state = cluster.nodes[leader].core.state
        return state.is_configuration_committed and not state.configuration.is_joint

    cluster.run_until(is_at_rest)
    cluster.run(1.0)
    cluster.watch.rest()


# --- what may happen -----------------------------------------------------------------------------


def _propose(cluster: Cluster) -> None:
    for _ in range(cluster.rng.choice([1, 1, 4])):
        cluster.propose()


def _crash(cluster: Cluster) -> None:
    if len(cluster.up) > 1:
        cluster.crash(cluster.rng.choice(cluster.up))


def _blackout(cluster: Cluster) -> None:
    for name in cluster.up:
        cluster.crash(name)


def _start(cluster: Cluster) -> None:
    for name in cluster.nodes:
        if name not in cluster.up and cluster.rng.random() < 0.6:
            cluster.start(name)


def _partition(cluster: Cluster) -> None:
    nodes = list(cluster.nodes)
    cluster.rng.shuffle(nodes)
    place = cluster.rng.randint(1, len(nodes) - 1)
    cluster.partition(nodes[:place], nodes[place:])


def _isolate_leader(cluster: Cluster) -> None:
    leader = cluster.leader()
    if leader is not None:
        cluster.partition([leader], [name for name in cluster.nodes if name != leader])


def _deafen_leader(cluster: Cluster) -> None:
    leader = cluster.leader()
    if leader is not None:
        cluster.cut = {(name, leader) for name in cluster.nodes if name != leader}
        if cluster.rng.random() < 0.6:
            cluster.poke(leader, TransferAsked())


def _heal(cluster: Cluster) -> None:
    cluster.heal()


def _change(cluster: Cluster) -> None:
    nodes = list(cluster.nodes)
    count = cluster.rng.choice([1, 3, 3, 5])
    cluster.rng.shuffle(nodes)
    cluster.change(nodes[:count], nodes[count : count + cluster.rng.randint(0, 2)])


def _transfer(cluster: Cluster) -> None:
    leader = cluster.leader()
    if leader is not None:
        cluster.poke(leader, TransferAsked())


def _slow_disk(cluster: Cluster) -> None:
    node = cluster.nodes[cluster.rng.choice(list(cluster.nodes))]
    node.disk_delay = cluster.rng.choice([CALM, (0.0, 0.1), (0.3, 1.5)])


def _read(cluster: Cluster) -> None:
    for name in cluster.up:
        if cluster.nodes[name].raft is not None and cluster.nodes[name].core.state.is_leader:
            cluster.read(name)


_CHANCES: dict[Callable[[Cluster], None], int] = {
    _propose: 38,
    _crash: 8,
    _blackout: 1,
    _start: 12,
    _partition: 5,
    _isolate_leader: 4,
    _deafen_leader: 3,
    _heal: 9,
    _change: 6,
    _transfer: 3,
    _slow_disk: 6,
    _read: 9,
}
_EVENTS, _WEIGHTS = tuple(_CHANCES), tuple(_CHANCES.values())
