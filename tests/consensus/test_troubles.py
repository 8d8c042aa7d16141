"""More of the named troubles: snapshots that meet, one-way silence, pages, handing over, changes
(docs/consensus-evidence.md says which test is for which)."""

from collections.abc import Iterator

import pytest

from nanoboost.consensus import replication
from nanoboost.consensus.effects import (
    Apply,
    Persisted,
    ReadAsked,
    ReadReady,
    Received,
    Restore,
    TransferAsked,
)
from nanoboost.consensus.membership import Configuration
from nanoboost.consensus.messages import (
    Appended,
    AppendEntries,
    HeartbeatAnswer,
    InstallSnapshot,
    SnapshotReceived,
)
from nanoboost.consensus.state import Role
from nanoboost.ids import NodeId
from tests.consensus.bench import ME, THREE, Bench, noop, record
from tests.consensus.bench import A as ME_A
from tests.consensus.bench import B as LEADER
from tests.consensus.bench import C as THIRD
from tests.consensus.cluster import TIMING, Cluster
from tests.consensus.storms import small_limits
from tests.consensus.voters import A, B, C, D, cluster_of, others


def deafen(cluster: Cluster, name: NodeId) -> None:
    """It hears nobody, and all hear it."""
    cluster.cut |= {(each, name) for each in others(cluster, name)}


def silence(cluster: Cluster, name: NodeId) -> None:
    """It hears everybody, and nobody hears it."""
    cluster.cut |= {(name, each) for each in others(cluster, name)}


def term(cluster: Cluster) -> int:
    return cluster.nodes[cluster.await_leader()].core.state.term


def is_whole(cluster: Cluster, name: NodeId) -> bool:
    return cluster.nodes[name].applied == [each.data for each in cluster.committed]


# --- snapshots -----------------------------------------------------------------------------------


@pytest.fixture
def small() -> Iterator[None]:
    with small_limits():
        yield


@pytest.mark.usefixtures("small")
def test_two_snapshots_quickly_one_behind_the_other() -> None:
    """While a node is given the state in pieces, the log is compacted again, twice."""
    cluster = cluster_of(3)
    leader = cluster.await_leader()
    away = others(cluster, leader)[0]
    cluster.crash(away)
    for _ in range(60):
        cluster.commit()
    cluster.sent.clear()
    cluster.drop = lambda sender, to, message: (
        isinstance(message, InstallSnapshot) and (message.offset > 0)
    )
    cluster.start(away)

    def given() -> list[int]:
        pieces = [each for _, _, each in cluster.sent if isinstance(each, InstallSnapshot)]
        return list(dict.fromkeys(each.index for each in pieces))

    cluster.run_until(given)
    (first,) = given()
    while cluster.nodes[leader].core.state.log.base_index <= first:
        cluster.commit()
    cluster.drop = lambda sender, to, message: False
    cluster.run_until(lambda: is_whole(cluster, away))
    assert len(given()) > 1, "what followed the first snapshot was compacted away"


CONFIGURATION = Configuration(tuple(sorted((ME_A, LEADER, THIRD))))


def piece(index: int, offset: int, data: bytes, total: int = 4) -> InstallSnapshot:
    return InstallSnapshot(ME, 3, index, 2, CONFIGURATION, offset, total, data)


def test_pieces_of_two_snapshots_are_never_mixed() -> None:
    bench = Bench(*THREE, term=3)
    bench.hear(LEADER, piece(10, 0, b"ab"))
    bench.hear(LEADER, piece(20, 0, b"cd"))
    bench.hear(LEADER, piece(10, 2, b"xx"))
    assert bench.of(Restore) == []
    bench.hear(LEADER, piece(20, 2, b"ef"))
    (answer,) = bench.said(SnapshotReceived)
    assert (answer.index, answer.offset) == (20, 0), "from the beginning, please"
    bench.hear(LEADER, piece(20, 0, b"cd"))
    bench.hear(LEADER, piece(20, 2, b"ef"))
    (restore,) = bench.of(Restore)
    assert (restore.snapshot.index, restore.snapshot.data) == (20, b"cdef")


def test_a_snapshot_that_is_behind_what_is_committed_here_changes_nothing() -> None:
    bench = Bench(*THREE, noop(2, 2), record(3, 2), term=3)
    bench.hear(LEADER, AppendEntries(ME, 3, 3, 2, (), 3))
    bench.hear(LEADER, piece(2, 0, b"old!"))
    assert bench.of(Restore) == []
    assert [each.index for each in bench.said(Appended)] == [3]
    assert bench.raft.state.log.last_index == 3


def test_a_snapshot_of_what_the_log_has_commits_it_and_takes_nothing_away() -> None:
    bench = Bench(*THREE, noop(2, 2), record(3, 2), record(4, 2), term=3)
    bench.hear(LEADER, piece(3, 0, b"same"))
    assert bench.of(Restore) == []
    assert [entry.index for each in bench.of(Apply) for entry in each.entries] == [1, 2, 3]
    assert bench.raft.state.log.last_index == 4


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("kept", [0, 1])
def test_a_power_cut_while_a_snapshot_is_written_leaves_the_old_or_the_new(kept: int) -> None:
    """Snapshot, its mark and what it replaces are one batch: never the one without the other."""
    cluster = cluster_of(3)
    leader = cluster.await_leader()
    away = others(cluster, leader)[0]
    cluster.crash(away)
    for _ in range(60):
        cluster.commit()
    node = cluster.nodes[away]
    node.disk_delay = (5.0, 5.0)
    cluster.start(away)
    cluster.run_until(lambda: any(each.snapshot for each in node.disk.pending))
    (number,) = (n for n, each in enumerate(node.disk.pending) if each.snapshot)
    node.disk.sync(number + kept)
    assert (node.disk.snapshot is not None) == bool(kept)
    node.disk.pending.clear()
    cluster.crash(away)
    node.disk_delay = (0.0005, 0.003)
    cluster.start(away)
    cluster.run_until(lambda: is_whole(cluster, away))


# --- one-way silence -----------------------------------------------------------------------------


def test_a_leader_that_hears_and_is_not_heard_is_followed_by_another() -> None:
    cluster = cluster_of(3)
    mute = cluster.await_leader()
    silence(cluster, mute)
    cluster.run_until(lambda: cluster.leader() not in (None, mute), 3 * TIMING.election_s_max)
    cluster.commit()
    assert not cluster.nodes[mute].core.state.is_leader, "it hears of the new term"


def test_a_node_that_is_heard_and_does_not_hear_disturbs_nobody() -> None:
    """It asks for pre-votes for ever."""
    cluster = cluster_of(3)
    before = term(cluster)
    deaf = others(cluster, cluster.leader())[0]
    deafen(cluster, deaf)
    cluster.run(10.0)
    cluster.commit()
    assert term(cluster) == before
    cluster.heal()
    cluster.run_until(lambda: is_whole(cluster, deaf))
    assert term(cluster) == before


def test_two_followers_that_do_not_reach_each_other_keep_their_leader() -> None:
    cluster = cluster_of(3)
    leader = cluster.await_leader()
    before = term(cluster)
    one, two = others(cluster, leader)
    cluster.cut = {(one, two), (two, one)}
    cluster.run(10.0)
    cluster.commit()
    assert (cluster.leader(), term(cluster)) == (leader, before)


def test_a_node_that_reaches_all_but_the_leader_deposes_nobody() -> None:
    """etcd#8129: those that it reaches hear the leader."""
    cluster = cluster_of(5)
    leader = cluster.await_leader()
    before = term(cluster)
    apart = others(cluster, leader)[0]
    cluster.cut = {(apart, leader), (leader, apart)}
    cluster.run(10.0)
    cluster.commit()
    assert (cluster.leader(), term(cluster)) == (leader, before)
    cluster.heal()
    cluster.run_until(lambda: is_whole(cluster, apart))


# --- pages and pipelines -------------------------------------------------------------------------


def test_a_long_log_is_caught_up_with_in_pages_also_after_a_restart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(replication, "BATCH_COUNT_MAX", 10)
    cluster = cluster_of(3)
    leader = cluster.await_leader()
    away = others(cluster, leader)[0]
    for _ in range(50):
        cluster.commit()
    cluster.crash(away)
    for _ in range(45):
        cluster.commit()
    cluster.sent.clear()
    cluster.delay = (0.001, 0.001)
    cluster.start(away)  # it has fifty entries of which it does not know that they are committed
    cluster.run_until(lambda: is_whole(cluster, away))
    pages = [
        len(each.entries)
        for _, to, each in cluster.sent
        if to == away and isinstance(each, AppendEntries)
    ]
    assert max(pages) == 10
    assert sum(pages) == 45, "nothing comes twice"


def test_appends_leave_before_the_first_is_answered_and_may_arrive_in_any_order() -> None:
    cluster = cluster_of(3)
    leader = cluster.await_leader()
    cluster.run(0.5)
    cluster.delay = (0.05, 0.2)
    cluster.sent.clear()
    for _ in range(8):
        cluster.propose()
    to = others(cluster, leader)[0]
    on_their_way = [
        each for _, name, each in cluster.sent if name == to and isinstance(each, AppendEntries)
    ]
    assert len(on_their_way) == 8
    last = cluster.nodes[leader].core.state.log.last_index
    cluster.run_until(lambda: len(cluster.committed) == last, 5.0)
    cluster.run_until(lambda: all(is_whole(cluster, name) for name in cluster.nodes), 5.0)


# --- handing over --------------------------------------------------------------------------------


def test_leadership_is_not_handed_to_a_voter_that_was_taken_out_meanwhile() -> None:
    cluster = cluster_of(5)
    leader = cluster.await_leader()
    heir = others(cluster, leader)[0]
    cluster.become([name for name in cluster.nodes if name != heir])
    leader = cluster.await_leader()
    cluster.poke(leader, TransferAsked(heir))
    assert cluster.nodes[leader].core.state.transferring_to is None
    cluster.run(1.0)
    assert cluster.leader() == leader


def test_no_change_begins_while_leadership_is_handed_over() -> None:
    cluster = cluster_of(3)
    leader = cluster.await_leader()
    heir = others(cluster, leader)[0]
    cluster.crash(heir)
    cluster.propose()
    cluster.poke(leader, TransferAsked(heir))
    before = cluster.nodes[leader].core.state.membership.effective_index
    cluster.change([leader])
    assert cluster.nodes[leader].core.state.membership.effective_index == before


def test_an_heir_whose_votes_are_lost_does_not_stop_the_cluster() -> None:
    """It stands without a pre-vote, in a term of its own: all must come to it, and lead on."""
    cluster = cluster_of(3)
    leader = cluster.await_leader()
    heir = others(cluster, leader)[0]
    before = term(cluster)
    cluster.run(0.5)
    silence(cluster, heir)
    cluster.poke(leader, TransferAsked(heir))
    cluster.run_until(lambda: cluster.nodes[heir].core.state.role is Role.CANDIDATE, 1.0)
    cluster.run(0.1)
    cluster.heal()
    cluster.run_until(lambda: cluster.leader() is not None and term(cluster) > before, 5.0)
    cluster.commit()
    cluster.run_until(lambda: is_whole(cluster, heir))


# --- elections -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_two_that_stood_at_once_need_not_wait_for_the_silence_of_a_leader(seed: int) -> None:
    cluster = cluster_of(3, seed)
    cluster.crash(cluster.await_leader())
    start = cluster.now + 0.01
    for name in cluster.up:
        state = cluster.nodes[name].core.state
        state.leader, state.election_due = None, start
        cluster.nodes[name].core._alarm = start
    cluster.run_until(lambda: cluster.leader() is not None, 5.0)
    terms = [cluster.nodes[name].core.state.term for name in cluster.up]
    assert max(terms) == 4, "votes were split, and then they were not"
    assert cluster.now - start < TIMING.election_s_min


# --- changes of the configuration ----------------------------------------------------------------


def test_a_leader_whose_new_voters_never_come_goes_and_finishes_when_they_do() -> None:
    """NATS TestNRGLeaderWithoutQuorumAfterPeerAdd."""
    cluster = Cluster(3)
    leader = cluster.await_leader()
    for name in (B, C):
        cluster.crash(name)
    cluster.change([A, B, C])
    assert cluster.nodes[leader].core.state.configuration.is_joint
    index = len(cluster.committed)
    cluster.run(2 * TIMING.election_s_max)
    assert not cluster.nodes[A].core.state.is_leader
    assert len(cluster.committed) == index
    for name in (B, C):
        cluster.start(name)
    cluster.await_leader()
    cluster.commit()
    cluster.run(1.0)
    configuration = cluster.nodes[cluster.await_leader()].core.state.configuration
    assert (configuration.voters, configuration.outgoing) == ((A, B, C), ())


def test_a_leader_is_exchanged_for_another_node_in_one_change() -> None:
    cluster = Cluster(4)
    leader = cluster.become([A, B, C], [D])
    rest = [name for name in (A, B, C) if name != leader]
    cluster.change([*rest, D])
    cluster.run_until(lambda: cluster.leader() not in (None, leader), 3.0)
    cluster.commit()
    state = cluster.nodes[cluster.await_leader()].core.state
    assert state.configuration.voters == tuple(sorted((*rest, D)))
    assert not cluster.nodes[leader].core.state.is_leader


# --- reads ---------------------------------------------------------------------------------------


def test_an_answer_to_an_earlier_round_confirms_no_read() -> None:
    bench = Bench(*THREE).elected()
    state = bench.raft.state
    bench.poke(Persisted(2))
    bench.hear(LEADER, Appended(ME, state.term, state.log.last_index))
    assert state.has_committed_in_term
    bench.poke(ReadAsked(1))
    bench.hear(LEADER, HeartbeatAnswer(ME, state.term, 1))
    assert [each.ticket for each in bench.of(ReadReady)] == [1]
    bench.poke(ReadAsked(2))
    bench.poke(Received(LEADER, HeartbeatAnswer(ME, state.term, 1)))  # again, or late
    bench.poke(Received(THIRD, HeartbeatAnswer(ME, state.term, 1)))
    assert bench.of(ReadReady) == []
    bench.hear(THIRD, HeartbeatAnswer(ME, state.term, 2))
    assert [each.ticket for each in bench.of(ReadReady)] == [2]
