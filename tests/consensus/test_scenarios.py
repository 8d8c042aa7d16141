"""Several nodes in named trouble: what other implementations got wrong, and what must just work."""

import pytest

from nanoboost.consensus import snapshotting
from nanoboost.consensus.effects import TransferAsked
from nanoboost.consensus.messages import (
    AppendEntries,
    Heartbeat,
    HeartbeatAnswer,
    InstallSnapshot,
    TimeoutNow,
)
from nanoboost.consensus.state import Role
from tests.consensus.cluster import TIMING, Cluster
from tests.consensus.voters import A, B, C, others, three

# --- the ordinary --------------------------------------------------------------------------------


def test_everybody_applies_the_same() -> None:
    cluster = three()
    for _ in range(50):
        cluster.propose()
    cluster.run(1.0)
    logs = [node.applied for node in cluster.nodes.values()]
    assert logs[0] == logs[1] == logs[2]
    assert [data for data in logs[0] if data.isdigit()] == [b"%d" % n for n in range(1, 51)]


def test_a_new_leader_is_there_within_two_election_timeouts() -> None:
    took = []
    for seed in range(10):
        cluster = three(seed)
        cluster.run(1.0)
        cluster.crash(cluster.await_leader())
        start = cluster.now
        cluster.await_leader()
        took.append(cluster.now - start)
    assert max(took) < 2 * TIMING.election_s_max
    assert sorted(took)[5] < TIMING.election_s_max


def test_all_restart_at_once_and_nothing_is_lost() -> None:
    """PySyncObj#201: neither term nor vote nor log survived."""
    cluster = three()
    done = [cluster.commit() for _ in range(20)]
    for name in list(cluster.nodes):
        cluster.crash(name)
    for name in list(cluster.nodes):
        cluster.start(name)
    done.append(cluster.commit())
    cluster.run(1.0)
    for node in cluster.nodes.values():
        assert [data for data in node.applied if data in done] == done


# --- partitions ----------------------------------------------------------------------------------


def test_a_node_that_was_cut_off_deposes_nobody_when_it_returns() -> None:
    cluster = three()
    leader = cluster.await_leader()
    lonely = others(cluster, leader)[0]
    cluster.partition([lonely], others(cluster, lonely))
    cluster.run(10.0)
    term = cluster.nodes[leader].core.state.term
    assert cluster.nodes[lonely].core.state.term == term
    cluster.heal()
    cluster.run(3.0)
    assert cluster.leader() == leader
    assert cluster.nodes[leader].core.state.term == term


def test_a_leader_that_is_cut_off_goes_and_its_entries_go_too() -> None:
    cluster = three()
    old = cluster.await_leader()
    cluster.partition([old], others(cluster, old))
    lost = cluster.propose(b"lost")
    assert lost
    cluster.run(TIMING.election_s_min + 3 * TIMING.heartbeat_s)
    assert not cluster.nodes[old].core.state.is_leader
    cluster.commit()
    cluster.heal()
    kept = cluster.commit()
    cluster.run(1.0)
    for node in cluster.nodes.values():
        assert kept in node.applied
        assert lost not in node.applied


def test_a_read_of_a_leader_that_has_been_replaced_is_refused() -> None:
    """etcd#20418 read from a lease."""
    cluster = three()
    old = cluster.await_leader()
    cluster.partition([old], others(cluster, old))
    ticket = cluster.read(old)
    cluster.run(3.0)
    assert cluster.reads_ready == []
    assert cluster.reads_refused == [ticket]


def test_a_new_leader_answers_reads_only_when_it_knows_what_is_committed() -> None:
    cluster = three()
    first = cluster.await_leader()
    cluster.drop = lambda sender, to, message: isinstance(message, Heartbeat) and message.commit > 0
    done = cluster.commit()
    cluster.crash(first)
    cluster.drop = lambda sender, to, message: isinstance(message, AppendEntries)
    cluster.run_until(cluster.leader)
    second = cluster.leader()
    assert second is not None
    assert not cluster.nodes[second].core.state.has_committed_in_term
    ticket = cluster.read(second)
    cluster.run(0.2)
    assert cluster.reads_ready == []
    cluster.drop = lambda sender, to, message: False
    cluster.run_until(lambda: ticket in cluster.reads_ready)
    assert done in cluster.nodes[second].applied


def test_a_last_message_that_is_lost_is_found_missing() -> None:
    """etcd heartbeat_resp_recovers_from_probing."""
    cluster = three()
    cluster.run(1.0)
    cluster.drop = lambda sender, to, message: isinstance(message, AppendEntries)
    data = cluster.propose()
    cluster.run(0.04)
    cluster.drop = lambda sender, to, message: False
    cluster.run(0.3)
    assert all(data in node.applied for node in cluster.nodes.values())


def test_a_node_that_hears_and_is_not_heard_disturbs_nobody() -> None:
    cluster = three()
    leader = cluster.await_leader()
    mute = others(cluster, leader)[0]
    cluster.cut = {(mute, name) for name in others(cluster, mute)}
    term = cluster.nodes[leader].core.state.term
    cluster.run(5.0)
    cluster.heal()
    cluster.commit()
    assert cluster.leader() == leader
    assert cluster.nodes[leader].core.state.term == term


# --- handing over --------------------------------------------------------------------------------


def test_leadership_is_handed_over_without_a_timeout() -> None:
    cluster = three()
    old = cluster.await_leader()
    heir = others(cluster, old)[1]
    start = cluster.now
    cluster.poke(old, TransferAsked(heir))
    cluster.run_until(lambda: cluster.leader() == heir)
    assert cluster.now - start < 0.1
    cluster.commit()


def test_a_transfer_to_nobody_who_answers_is_given_up() -> None:
    cluster = three()
    leader = cluster.await_leader()
    gone = others(cluster, leader)[0]
    cluster.crash(gone)
    cluster.propose()
    cluster.poke(leader, TransferAsked(gone))
    assert cluster.propose() is None, "no proposals while it is under way"
    cluster.run(TIMING.election_s_max + 2 * TIMING.heartbeat_s)
    assert cluster.leader() == leader
    assert cluster.propose() is not None


def test_a_transfer_waits_until_the_heir_has_everything() -> None:
    cluster = three()
    leader = cluster.await_leader()
    heir = others(cluster, leader)[0]
    cluster.nodes[heir].disk_delay = (0.1, 0.1)
    data = cluster.propose()
    cluster.sent.clear()
    cluster.poke(leader, TransferAsked(heir))
    assert not any(isinstance(message, TimeoutNow) for _, _, message in cluster.sent)
    cluster.run_until(lambda: cluster.leader() == heir, 2.0)
    cluster.run(1.0)
    assert data in cluster.nodes[heir].applied


# --- snapshots -----------------------------------------------------------------------------------


@pytest.fixture
def short_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshotting, "LOG_ENTRIES_MAX", 20)
    monkeypatch.setattr(snapshotting, "TRAILING_ENTRIES", 4)
    monkeypatch.setattr(snapshotting, "PIECE_BYTES", 10)


@pytest.mark.usefixtures("short_logs")
def test_who_was_away_for_long_gets_the_state_in_pieces_between_heartbeats() -> None:
    cluster = three()
    leader = cluster.await_leader()
    away = others(cluster, leader)[0]
    cluster.crash(away)
    for _ in range(60):
        cluster.commit()
    assert cluster.nodes[leader].core.state.log.base_index > 30
    assert len(cluster.nodes[leader].disk.entries) < 30, "the disk forgets too"
    cluster.sent.clear()
    cluster.delay = (0.02, 0.03)
    cluster.loss = 0.05
    cluster.start(away)
    cluster.run_until(lambda: cluster.nodes[away].applied == cluster.nodes[leader].applied)
    pieces = [n for n, (_, _, each) in enumerate(cluster.sent) if isinstance(each, InstallSnapshot)]
    beats = [
        n
        for n, (_, to, each) in enumerate(cluster.sent)
        if isinstance(each, Heartbeat) and to == away and pieces[0] < n < pieces[-1]
    ]
    answers = [each for by, _, each in cluster.sent if by == away and type(each) is HeartbeatAnswer]
    assert len(pieces) > 5
    assert len(beats) > 3
    assert answers
    assert cluster.leader() == leader


@pytest.mark.usefixtures("short_logs")
def test_a_snapshot_holds_no_configuration_that_may_be_truncated() -> None:
    """NATS TestNRGSnapshotExcludesUncommittedMembershipChange."""
    cluster = three()
    leader = cluster.await_leader()
    for _ in range(14):
        cluster.commit()
    cluster.partition([leader], others(cluster, leader))
    cluster.change([leader])
    state = cluster.nodes[leader].core.state
    assert state.configuration.is_joint
    cluster.nodes[leader].core._snapshotting.taken(
        state.log.applied, b"\0".join(cluster.nodes[leader].applied)
    )
    assert state.snapshot is not None
    assert state.snapshot.configuration.voters == (A, B, C)
    assert not state.snapshot.configuration.is_joint
    cluster.run(1.0)
    cluster.crash(leader)
    cluster.heal()
    cluster.start(leader)
    cluster.run(2.0)
    assert cluster.nodes[leader].core.state.configuration.voters == (A, B, C)


@pytest.mark.usefixtures("short_logs")
def test_a_node_starts_from_its_snapshot_and_what_follows() -> None:
    cluster = Cluster(1)
    done = [cluster.commit() for _ in range(70)]
    node = cluster.nodes[A]
    cluster.run(0.1)
    assert node.disk.snapshot is not None
    cluster.crash(A)
    cluster.start(A)
    cluster.await_leader()
    cluster.run(0.1)
    assert [data for data in node.applied if data in done] == done


# --- disks ---------------------------------------------------------------------------------------


def test_a_leader_whose_disk_stalls_is_followed_by_one_whose_disk_works() -> None:
    """hashicorp/raft#503, #614: it kept leading, or was elected again."""
    cluster = three()
    stalled = cluster.await_leader()
    cluster.nodes[stalled].disk_delay = (30.0, 30.0)
    cluster.propose()
    start = cluster.now
    cluster.run_until(lambda: cluster.leader() not in (None, stalled))
    assert cluster.now - start < TIMING.election_s_max + 4 * TIMING.heartbeat_s
    cluster.commit()
    cluster.run(10.0)
    assert cluster.leader() != stalled
    assert cluster.nodes[stalled].core.state.role is Role.FOLLOWER
