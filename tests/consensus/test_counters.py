"""Each counter moves when its thing happens, by as much as it happens, and at no other time."""

from collections.abc import Callable

import pytest

from nanoboost.consensus import snapshotting
from nanoboost.consensus.counters import Counters, Duration, Loss, flat
from nanoboost.consensus.effects import Persisted, Proposed, TransferAsked
from nanoboost.consensus.gauges import Gauges, PeerGauge, gauges
from nanoboost.consensus.leadership import UNCOMMITTED_BYTES_MAX
from nanoboost.consensus.messages import (
    Appended,
    HeartbeatAnswer,
    RequestVote,
    TimeoutNow,
    Vote,
)
from nanoboost.consensus.service import RECORD_BYTES_MAX
from nanoboost.consensus.state import Role
from nanoboost.ids import JobId, NodeId
from nanoboost.wire.messages import JobState
from nanoboost.wire.records import JobEnded
from tests.consensus.bench import ME, THREE, A, B, Bench, C
from tests.consensus.cluster import TIMING, Cluster
from tests.consensus.table import Table, submitted
from tests.consensus.voters import three


def counters(bench: Bench) -> Counters:
    return bench.raft.state.counters


def lost(found: Counters) -> dict[Loss, int]:
    return {why: count for why, count in found.leadership_lost.items() if count}


def of(cluster: Cluster, name: NodeId) -> Counters:
    return cluster.nodes[name].core.state.counters


def leading(cluster: Cluster) -> NodeId:
    leader = cluster.leader()
    assert leader is not None
    return leader


# --- elections -----------------------------------------------------------------------------------


def test_an_election_is_counted_when_votes_are_promised_and_won_when_they_are_given() -> None:
    bench = Bench(*THREE).wake_until(Role.PRE_CANDIDATE)
    assert (counters(bench).elections_started, counters(bench).elections_won) == (0, 0)
    bench.hear(B, Vote(ME, 2, True, True)).sync()
    assert (counters(bench).elections_started, counters(bench).elections_won) == (1, 0)
    bench.hear(B, Vote(ME, 2, True, False))
    assert (counters(bench).elections_started, counters(bench).elections_won) == (1, 1)


def test_a_pre_vote_that_is_refused_is_counted_by_who_refuses() -> None:
    bench = Bench(*THREE).elected()
    bench.hear(C, RequestVote(ME, 9, 0, 0, True, False))
    assert counters(bench).pre_votes_rejected == 1
    bench.hear(C, RequestVote(ME, 1, 0, 0, False, False))
    assert counters(bench).pre_votes_rejected == 1, "no pre-vote"


# --- why a leadership is lost --------------------------------------------------------------------


def a_higher_term(bench: Bench) -> None:
    bench.hear(B, HeartbeatAnswer(ME, 9, 0))


def no_answers(bench: Bench) -> None:
    bench.poke(Persisted(99))
    while bench.raft.state.is_leader:
        bench.wake()


def a_pause(bench: Bench) -> None:
    bench.now += 2 * TIMING.election_s_max
    bench.wake()


def a_stalled_disk(bench: Bench) -> None:
    while bench.raft.state.is_leader:
        bench.wake()
        for node in (B, C):
            if bench.raft.state.is_leader:
                bench.hear(node, HeartbeatAnswer(ME, 2, 0))
    assert len(bench.said(TimeoutNow)) == 1


def a_transfer(bench: Bench) -> None:
    bench.poke(TransferAsked(B))
    bench.hear(B, HeartbeatAnswer(ME, 9, 0))


@pytest.mark.parametrize(
    ("happening", "why"),
    [
        (a_higher_term, Loss.HIGHER_TERM),
        (no_answers, Loss.NO_QUORUM),
        (a_pause, Loss.PAUSE),
        (a_stalled_disk, Loss.STALLED_DISK),
        (a_transfer, Loss.HANDED_OVER),
    ],
)
def test_a_lost_leadership_is_counted_with_its_reason(
    happening: Callable[[Bench], None], why: Loss
) -> None:
    bench = Bench(*THREE).elected()
    happening(bench)
    assert lost(counters(bench)) == {why: 1}


def test_a_leader_that_has_taken_itself_out_is_counted_as_removed() -> None:
    cluster = three()
    leader = leading(cluster)
    rest = [name for name in cluster.nodes if name != leader][:1]
    cluster.change(rest)
    cluster.run_until(lambda: cluster.leader() not in (None, leader))
    assert lost(of(cluster, leader)) == {Loss.REMOVED: 1}


def test_a_follower_loses_no_leadership() -> None:
    cluster = three()
    leader = leading(cluster)
    cluster.crash(leader)
    cluster.await_leader()
    assert [lost(of(cluster, name)) for name in cluster.up] == [{}, {}]


# --- records -------------------------------------------------------------------------------------


def test_a_record_is_taken_and_takes_time_until_it_is_applied() -> None:
    bench = Bench(*THREE).elected()
    bench.poke(Persisted(99))
    bench.hear(B, Appended(ME, 2, bench.raft.state.log.last_index))
    bench.poke(Proposed(2, b"one", (b"two",))).sync()
    assert (counters(bench).proposals, counters(bench).commit_latency.count) == (2, 0)
    bench.now += 0.03
    bench.hear(B, Appended(ME, 2, bench.raft.state.log.last_index))
    found = counters(bench).commit_latency
    assert [found.total_s, found.max_s, found.last_s] == pytest.approx([0.06, 0.03, 0.03])
    assert found.count == 2
    applied = counters(bench).entries_applied
    assert applied == bench.raft.state.log.applied


def test_records_whose_fate_another_leader_decides_have_no_commit_time() -> None:
    bench = Bench(*THREE).elected()
    bench.poke(Proposed(2, b"one")).sync()
    a_higher_term(bench)
    assert (counters(bench).proposals, counters(bench).commit_latency.count) == (1, 0)
    counters(bench).applied(bench.now, 99)
    assert counters(bench).commit_latency.count == 0


def test_a_record_for_another_term_is_dropped() -> None:
    bench = Bench(*THREE).elected()
    bench.poke(Proposed(1, b"one", (b"two", b"three")))
    assert (counters(bench).proposals, counters(bench).proposals_dropped) == (0, 3)


def test_a_refused_record_is_dropped() -> None:
    table = Table(1)
    seat = table.await_master()
    table.run(0.1)
    term = seat.service.status.term
    assert not seat.service.propose(term - 1, submitted())
    assert not seat.service.propose(term, JobEnded(JobId("j"), JobState.FAILED, "x" * (1 << 20)))
    assert seat.service.counters.proposals_dropped == 2
    half = JobEnded(JobId("j"), JobState.FAILED, "x" * (RECORD_BYTES_MAX // 2))
    taken = 0
    while seat.service.propose(term, half):
        taken += 1
    assert taken < UNCOMMITTED_BYTES_MAX / (RECORD_BYTES_MAX // 2) + 1
    assert seat.service.counters.proposals_dropped == 3
    table.run(0.1)
    assert seat.service.counters.proposals == taken


# --- the disk, snapshots, configurations ---------------------------------------------------------


def test_a_write_takes_as_long_as_the_disk_takes() -> None:
    bench = Bench(*THREE).elected()
    bench.poke(Persisted(99))
    before = counters(bench).fsync_latency.count
    bench.poke(Proposed(2, b"one"))
    bench.now += 0.25
    bench.sync()
    assert counters(bench).fsync_latency.count == before + 1
    assert counters(bench).fsync_latency.last_s == pytest.approx(0.25)
    bench.poke(Persisted(99))
    assert counters(bench).fsync_latency.count == before + 1, "told twice, done once"


def test_snapshots_are_counted_on_both_ends_with_their_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(snapshotting, "LOG_ENTRIES_MAX", 20)
    monkeypatch.setattr(snapshotting, "TRAILING_ENTRIES", 4)
    monkeypatch.setattr(snapshotting, "PIECE_BYTES", 10)
    cluster = three()
    leader = leading(cluster)
    away = next(name for name in cluster.nodes if name != leader)
    cluster.crash(away)
    for _ in range(60):
        cluster.commit()
    cluster.run(0.5)
    assert leading(cluster) == leader
    assert of(cluster, leader).snapshots_taken >= 2
    assert (of(cluster, leader).snapshots_sent, of(cluster, leader).snapshot_bytes_sent) == (0, 0)
    cluster.start(away)
    cluster.run(2.0)
    assert of(cluster, leader).snapshots_sent == 1
    assert of(cluster, away).snapshots_installed == 1
    size = of(cluster, away).snapshot_bytes_installed
    assert size > 0
    assert of(cluster, leader).snapshot_bytes_sent == size, "no piece was lost"


def test_a_configuration_is_counted_once_on_every_node_when_it_is_there_for_good() -> None:
    cluster = three()
    a, b, c = cluster.nodes
    before = [of(cluster, name).config_changes for name in (a, b)]
    cluster.become((a, b), (c,))
    cluster.run(1.0)
    after = [of(cluster, name).config_changes for name in (a, b)]
    assert after == [count + 1 for count in before], "the joint one does not count"


def test_a_process_that_slept_comes_late() -> None:
    bench = Bench(*THREE).elected()
    counters(bench).wake_late = Duration()
    due = bench.raft.deadline()
    assert due is not None
    bench.now = due + 0.2
    bench.wake()
    assert counters(bench).wake_late.last_s == pytest.approx(0.2)
    bench.wake()
    assert counters(bench).wake_late.last_s == 0.0
    assert counters(bench).wake_late.count == 2


# --- how things stand ----------------------------------------------------------------------------


def test_the_gauges_of_a_leader_show_its_members_and_what_is_under_way() -> None:
    bench = Bench(*THREE).elected()
    bench.poke(Persisted(99))
    last = bench.raft.state.log.last_index
    bench.hear(B, Appended(ME, 2, last))
    bench.now += 0.01
    bench.poke(Proposed(2, b"one"))
    bench.now += 0.01
    assert gauges(bench.now, bench.raft, str, 1.5) == Gauges(
        term=2,
        role="leader",
        leader=A,
        commit=last,
        applied=last,
        last=last + 1,
        last_term=2,
        apply_lag=0,
        uncommitted_bytes=bench.raft.state.log.bytes_to_commit,
        storage_queue=1,
        voters=3,
        healthy=3,
        tolerance=1,
        lacks=0,
        missing=(),
        busy_s=1.5,
        peers={
            B: PeerGauge("replicate", last, 1, 1, pytest.approx(0.02)),  # type: ignore[arg-type]
            C: PeerGauge("probe", 0, last + 1, 0, pytest.approx(0.02)),  # type: ignore[arg-type]
        },
    )


def test_what_is_committed_and_not_durable_here_is_the_apply_lag() -> None:
    bench = Bench(*THREE).elected()
    last = bench.raft.state.log.last_index
    for node in (B, C):
        bench.hear(node, Appended(ME, 2, last))
    found = gauges(bench.now, bench.raft, str, 0.0)
    assert (found.commit, found.apply_lag) == (last, last - found.applied)
    assert found.apply_lag > 0
    bench.poke(Persisted(99))
    assert gauges(bench.now, bench.raft, str, 0.0).apply_lag == 0


def test_all_numbers_have_a_name_of_their_own() -> None:
    bench = Bench(*THREE).elected()
    names = {**flat(counters(bench)), **flat(gauges(bench.now, bench.raft, str, 0.0))}
    assert names["elections_won"] == 1
    assert names["leadership_lost.no_quorum"] == 0
    assert names["commit_latency.max_s"] == 0.0
    assert names["term"] == 2
    assert names[f"peers.{B}.match"] == 0
    assert "role" not in names, "a word is no number"
