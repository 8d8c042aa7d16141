"""The rest of the named troubles (docs/consensus-evidence.md says which test is for which)."""

import pytest

from nanoboost.consensus.effects import TransferAsked
from nanoboost.consensus.messages import AppendEntries, Vote
from nanoboost.consensus.state import Role
from nanoboost.ids import NodeId
from simulations.checkers.raft import Broken
from tests.consensus.cluster import TIMING, Cluster
from tests.consensus.voters import A, B, C, D, E, cluster_of


def followers(cluster: Cluster) -> list[NodeId]:
    return [name for name in cluster.nodes if name != cluster.leader()]


def test_a_log_shorter_than_what_was_committed_fills_up_again() -> None:
    """The leader commits by the others' disks, and loses what its own had not written yet."""
    cluster = cluster_of(3)
    leader = cluster.await_leader()
    cluster.nodes[leader].disk_delay = (0.25, 0.25)
    data = cluster.commit(b"early")
    there = cluster.committed[-1]
    assert cluster.nodes[leader].core.state.log.commit >= there.index
    cluster.nodes[leader].disk.pending.clear()
    cluster.crash(leader)
    cluster.nodes[leader].disk_delay = (0.0005, 0.003)
    assert not cluster.nodes[leader].disk.has(there.index, there.term)
    cluster.start(leader)
    cluster.run(3.0)
    assert data in cluster.nodes[leader].applied
    assert cluster.commit() in [each.data for each in cluster.committed]


def test_a_commit_that_was_not_heard_of_comes_with_a_heartbeat() -> None:
    """Nothing new is said, and the last message told no commit: a heartbeat tells it."""
    cluster = cluster_of(3)
    leader = cluster.await_leader()
    cluster.run(1.0)
    lag = followers(cluster)[0]
    cluster.commit(b"last")
    cluster.drop = lambda sender, to, message: isinstance(message, AppendEntries)
    cluster.run(0.5)
    index = cluster.nodes[leader].core.state.log.commit
    assert cluster.nodes[lag].core.state.log.commit == index
    assert b"last" in cluster.nodes[lag].applied


def test_a_leader_that_is_heard_and_does_not_hear_goes() -> None:
    """Send-only: its heartbeats would keep everybody quiet for ever."""
    cluster = cluster_of(3)
    deaf = cluster.await_leader()
    cluster.cut = {(name, deaf) for name in cluster.nodes if name != deaf}
    cluster.run_until(lambda: cluster.leader() not in (None, deaf), 3 * TIMING.election_s_max)
    cluster.commit()
    assert not cluster.nodes[deaf].core.state.is_leader


def test_slow_votes_elect_a_leader_all_the_same() -> None:
    """Every vote waits for a disk that takes most of an election timeout."""
    cluster = cluster_of(5)
    for node in cluster.nodes.values():
        node.disk_delay = (0.1, 0.15)
    cluster.crash(cluster.await_leader())
    cluster.run_until(lambda: cluster.leader() is not None, 5.0)
    cluster.commit()


def test_a_split_vote_ends() -> None:
    """Four voters that all stand at the same moment: chance parts them."""
    for seed in range(5):
        cluster = cluster_of(5, seed)
        cluster.crash(cluster.await_leader())
        for name in cluster.up:
            state = cluster.nodes[name].core.state
            state.leader, state.election_due = None, cluster.now + 0.01
            cluster.nodes[name].core._alarm = cluster.now + 0.01
        cluster.run_until(lambda: cluster.leader() is not None, 5.0)  # noqa: B023
        cluster.commit()


def test_a_candidates_own_vote_counts_for_nothing_in_a_later_term() -> None:
    """Its disk finishes the vote of a term when the term is over."""
    cluster = cluster_of(3)
    cluster.crash(cluster.await_leader())
    slow = cluster.up[0]
    other = cluster.up[1]
    cluster.nodes[slow].disk_delay = (0.2, 0.2)
    cluster.nodes[other].core.state.election_due = cluster.now + 100.0
    cluster.run_until(lambda: cluster.nodes[slow].core.state.role is Role.CANDIDATE, 5.0)
    term = cluster.nodes[slow].core.state.term
    cluster.nodes[slow].core.state.follow(cluster.now, term + 1, None)
    cluster.run(0.15)
    assert not [
        m for s, _, m in cluster.sent if s == slow and isinstance(m, Vote) and m.term > term
    ]
    cluster.run(0.1)
    assert not cluster.nodes[slow].core.state.is_leader
    cluster.run_until(lambda: cluster.leader() is not None, 10.0)
    cluster.commit()


def test_leadership_goes_back_and_forth() -> None:
    cluster = cluster_of(3)
    first = cluster.await_leader()
    second = followers(cluster)[0]
    for to in (second, first, second):
        cluster.poke(cluster.await_leader(), TransferAsked(to))
        cluster.run_until(lambda: cluster.leader() == to, TIMING.election_s_min)  # noqa: B023
        cluster.commit()


def test_leadership_is_handed_to_no_learner_and_to_no_stranger() -> None:
    cluster = Cluster(5)
    leader = cluster.become([A, B, C], [D])
    for to in (D, E):
        cluster.poke(leader, TransferAsked(to))
        assert cluster.nodes[leader].core.state.transferring_to is None
        assert cluster.propose() is not None
    cluster.run(2.0)
    assert cluster.leader() == leader


def test_a_change_that_is_cut_off_with_its_leader_was_never_made() -> None:
    """Two sides want other voters each: only the one with a quorum gets them."""
    cluster = Cluster(5)
    leader = cluster.become([A, B, C])
    cluster.partition([leader, D, E], [n for n in (A, B, C) if n != leader])
    cluster.change([leader, D, E])
    assert cluster.nodes[leader].core.state.configuration.is_joint
    rest = [name for name in (A, B, C) if name != leader]
    cluster.run_until(lambda: cluster.leader() in rest, 5.0)
    cluster.await_leader()
    cluster.change([rest[0]])
    cluster.commit()
    cluster.run(1.0)
    cluster.heal()
    cluster.run(3.0)
    assert cluster.nodes[rest[0]].core.state.configuration.voters == (rest[0],)
    assert cluster.leader() == rest[0]


def test_a_disk_that_lost_what_it_had_promised_is_seen() -> None:
    """No protocol survives a disk that lies, or a wiped one under its old name (identity lies in
    the same store, so a wiped machine has a new one): the harness must notice, not look away."""
    cluster = cluster_of(3)
    cluster.await_leader()
    cluster.commit()
    liar = followers(cluster)[0]
    cluster.crash(liar)
    cluster.nodes[liar].disk.entries.clear()
    cluster.nodes[liar].is_founder = False
    with pytest.raises(Broken, match=r"I7.*starts without what was durable"):
        cluster.start(liar)
