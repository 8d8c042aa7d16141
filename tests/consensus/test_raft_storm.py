"""Random faults over random operations: Raft's properties hold after every step, and when the
faults end the cluster works again."""

import pytest

from nanoboost.consensus import snapshotting
from nanoboost.consensus.effects import LeaveAsked, TransferAsked
from tests.consensus.cluster import Cluster

SECONDS = 12.0
STORMS = 16


def storm(cluster: Cluster) -> None:
    """One random thing."""
    rng, nodes = cluster.rng, list(cluster.nodes)
    dice = rng.random()
    if dice < 0.5:
        cluster.propose()
    elif dice < 0.6:
        if len(cluster.up) > 1:
            cluster.crash(rng.choice(cluster.up))
    elif dice < 0.72:
        down = [name for name in nodes if name not in cluster.up]
        if down:
            cluster.start(rng.choice(down))
    elif dice < 0.78:
        rng.shuffle(nodes)
        place = rng.randint(1, len(nodes) - 1)
        cluster.partition(nodes[:place], nodes[place:])
    elif dice < 0.80:
        cluster.cut = {(rng.choice(nodes), rng.choice(nodes)) for _ in range(4)}  # one way only
    elif dice < 0.87:
        cluster.heal()
    elif dice < 0.92:
        count = rng.choice([1, 3, 3, 5])
        rng.shuffle(nodes)
        cluster.change(nodes[:count], nodes[count : count + rng.randint(0, 2)])
    elif dice < 0.94:
        leader = cluster.leader()
        if leader is not None:
            cluster.poke(leader, TransferAsked())
    elif dice < 0.96:
        cluster.nodes[rng.choice(nodes)].disk_delay = rng.choice(
            [(0.0005, 0.003), (0.0005, 0.003), (0.0, 0.1), (0.3, 1.5)]
        )
    elif cluster.leader() is not None:
        cluster.read(cluster.leader() or rng.choice(nodes))


def recover(cluster: Cluster) -> None:
    """No more faults: there must be a leader, everything must move, and all must agree."""
    cluster.heal()
    cluster.loss = cluster.duplication = 0.0
    for name, node in cluster.nodes.items():
        node.disk_delay = (0.0005, 0.003)
        if node.raft is None:
            cluster.start(name)
    cluster.run(12.0)
    leader = cluster.await_leader()
    cluster.commit()
    state = cluster.nodes[leader].core.state
    cluster.run_until(lambda: state.is_configuration_committed and not state.configuration.is_joint)
    cluster.run(1.0)
    for name in state.configuration.members:
        assert cluster.nodes[name].applied == [each.data for each in cluster.committed]
    ticket = cluster.read(leader)
    cluster.run(0.5)
    assert ticket in cluster.reads_ready


@pytest.mark.parametrize("seed", range(STORMS))
def test_a_storm_harms_nothing_and_passes(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshotting, "LOG_ENTRIES_MAX", 25)
    monkeypatch.setattr(snapshotting, "TRAILING_ENTRIES", 6)
    monkeypatch.setattr(snapshotting, "PIECE_BYTES", 40)
    cluster = Cluster(5, seed)
    cluster.become(list(cluster.nodes)[:3])
    cluster.loss, cluster.duplication = cluster.rng.choice([(0.0, 0.0), (0.05, 0.05), (0.2, 0.1)])
    cluster.delay = cluster.rng.choice([(0.0005, 0.002), (0.001, 0.05), (0.0, 0.25)])
    end = cluster.now + SECONDS
    while cluster.now < end:
        cluster.run(cluster.rng.expovariate(1 / 0.08))
        storm(cluster)
    recover(cluster)


@pytest.mark.parametrize("seed", range(4))
def test_voters_follow_the_nodes_that_come_and_go(seed: int) -> None:
    """Nodes start, die, return and leave; gossip hears of it a second later.  The set of voters is
    odd at every rest, and in the end who is there votes rather than who is not."""
    cluster = Cluster(7, seed)
    rng = cluster.rng
    cluster.await_leader()
    cluster.gossip(cluster.nodes)
    cluster.run(8.0)
    for _ in range(8):
        down = [name for name in cluster.nodes if name not in cluster.up]
        if len(down) < 2 and rng.random() < 0.7:
            cluster.crash(rng.choice(cluster.up))
        elif down:
            cluster.start(rng.choice(down))
        cluster.run(1.0)
        cluster.gossip(cluster.up, [name for name in cluster.nodes if name not in cluster.up])
        cluster.propose()
        cluster.run(rng.choice([2.0, 10.0, 40.0]))
    leaver = rng.choice(cluster.up)
    cluster.poke(leaver, LeaveAsked())
    cluster.run_until(lambda: cluster.nodes[leaver].has_left, 6.0)
    cluster.crash(leaver)
    cluster.gossip(cluster.up, [name for name in cluster.nodes if name not in cluster.up])
    cluster.run(70.0)
    cluster.commit()
    state = cluster.nodes[cluster.await_leader()].core.state
    assert leaver not in state.configuration.voters
    dead = [name for name in state.configuration.voters if name not in cluster.up]
    spare = [name for name in cluster.up if name not in state.configuration.voters]
    assert not (dead and spare), "nobody dead votes while somebody alive could"
    sizes = {len(each.voters) for node in cluster.nodes.values() for each in node.settled}
    assert sizes <= {1, 3, 5}
    assert len(state.configuration.voters) >= 3
