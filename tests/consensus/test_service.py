"""The shell: several nodes over one virtual clock, stores in memory, messages through the codec."""

from typing import Any

import pytest
from attrs import evolve
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, globalLogPublisher
from zope.interface import implementer

from nanoboost.consensus.messages import AppendEntries, Entry, EntryKind, Route
from nanoboost.consensus.service import RECORD_BYTES_MAX, MastershipChange, RaftStatus
from nanoboost.consensus.store import RaftStore
from nanoboost.errors import LocalError, RemoteError, UserError
from nanoboost.frontier import Frontier
from nanoboost.ids import Address, JobId, NodeId
from nanoboost.wire.messages import JobState
from nanoboost.wire.records import FrontierSet, JobEnded, Record
from tests.consensus.table import JOB, TIMING, MemoryStore, Table, frontier, result_of, submitted


def test_a_node_alone_is_master_at_once_and_its_records_survive_a_restart() -> None:
    table = Table(1)
    seat = table.await_master()
    term = seat.service.status.term
    assert seat.changes[-1] == MastershipChange(term, seat.name, True)
    assert table.clock.seconds() < TIMING.election_s_min
    record = submitted()
    assert seat.service.propose(term, record)
    assert seat.service.set_frontier(term, JOB, frontier(0, 2))
    table.run(0.1)
    assert seat.committed == [(term, record), (term, FrontierSet(JOB, frontier(0, 2)))]

    table.stand_up(seat.name)
    seat.committed.clear()
    table.sit_down(seat.name)
    table.await_master()
    entries = result_of(seat.service.get_frontier())
    table.run(0.2)
    (entry,) = entries[0]
    assert entry.submitted == record
    assert Frontier.decode(entry.frontier, 4).done_count == 2
    assert [each for _, each in seat.committed] == [record, FrontierSet(JOB, frontier(0, 2))]


def test_three_nodes_have_three_voters_within_a_few_seconds_and_survive_one_loss() -> None:
    table = Table(3)
    counts: set[int] = set()

    @implementer(ILogObserver)
    def observer(event: dict[str, Any]) -> None:
        if event.get("event") == "voters":
            counts.add(event["count"])

    globalLogPublisher.addObserver(observer)
    try:
        assert table.run_until(lambda: table.voters() == 3) < 4.0
        table.run(0.5)
    finally:
        globalLogPublisher.removeObserver(observer)
    assert counts == {1, 3}, "never two"
    first = table.await_master()
    assert first.service.status == RaftStatus(
        True, first.name, 2, 1, dict.fromkeys(table.seats, "voter")
    )
    assert first.service.propose(2, submitted())
    table.run(0.3)
    table.stand_up(first.name)
    took = table.run_until(table.master)
    assert took < 1.5
    second = table.await_master()
    assert second is not first
    assert second.changes[-1].is_me
    entries = result_of(second.service.get_frontier())
    table.run(0.2)
    assert [entry.submitted for entry in entries[0]] == [submitted()]
    assert [record for _, record in second.committed] == [submitted()]
    table.run(TIMING.election_s_min)
    assert second.service.status.survives == 0


def test_who_is_not_master_refuses_proposals_and_reads() -> None:
    table = Table(2)
    master = table.await_master()
    (other,) = (seat for seat in table.seats.values() if seat is not master)
    term = master.service.status.term
    assert not other.service.propose(term, submitted())
    assert not master.service.propose(term - 1, submitted())
    (failure,) = result_of(other.service.get_frontier())
    assert failure.check(LocalError)


def test_a_record_that_fits_in_no_frame_is_refused() -> None:
    table = Table(1)
    master = table.await_master()
    record = JobEnded(JOB, JobState.FAILED, "x" * RECORD_BYTES_MAX)
    assert not master.service.propose(master.service.status.term, record)


def test_a_master_without_a_quorum_steps_down_and_fails_its_reads() -> None:
    table = Table(3)
    table.run_until(lambda: table.voters() == 3)
    table.run(0.5)
    master = table.await_master()
    for name in table.seats:
        if name != master.name:
            table.stand_up(name)
    reads = result_of(master.service.get_frontier())
    table.run_until(lambda: not master.service.status.is_master, 2 * TIMING.election_s_min)
    assert reads[0].check(LocalError)
    assert not master.changes[-1].is_me


def test_a_disk_that_fails_stops_the_node() -> None:
    table = Table(1)
    seat = table.await_master()
    table.run(0.1)
    seat.runtime.store.broken = True
    assert seat.service.propose(seat.service.status.term, submitted())
    table.clock.advance(0)
    (crash,) = seat.crashes
    assert crash.check(OSError)
    assert seat.committed == []
    assert table.clock.getDelayedCalls() == []


def test_a_node_alone_leaves_at_once() -> None:
    table = Table(1)
    seat = table.await_master()
    assert result_of(seat.service.leave()) == [None]


@pytest.mark.parametrize("is_master", [True, False])
def test_a_voter_that_leaves_is_out_within_a_moment_and_work_goes_on(is_master: bool) -> None:
    table = Table(4)
    table.run_until(lambda: table.voters() == 3)
    table.run(3.0)
    master = table.await_master()
    parts = master.service.status.parts
    assert sorted(parts.values()) == ["learner", "voter", "voter", "voter"]
    leaver = next(
        table.seats[name]
        for name, part in parts.items()
        if part == "voter" and (name == master.name) is is_master
    )
    left = result_of(leaver.service.leave())
    assert table.run_until(lambda: left) < 1.0
    table.stand_up(leaver.name)
    assert table.run_until(table.master) < 0.2, "handed over, not timed out"
    assert table.voters() == 3
    heir = table.await_master()
    assert leaver.name not in heir.service.status.parts


def test_one_of_two_nodes_leaves_and_the_other_goes_on() -> None:
    table = Table(2)
    table.run(4.0)
    master = table.await_master()
    assert master.service.propose(master.service.status.term, submitted())
    table.run(0.2)
    left = result_of(master.service.leave())
    assert table.run_until(lambda: left) < 2.0
    table.stand_up(master.name)
    heir = table.await_master()
    assert heir is not master
    entries = result_of(heir.service.get_frontier())
    table.run(0.3)
    assert [entry.submitted for entry in entries[0]] == [submitted()]


def test_proposals_made_while_being_told_something_are_taken() -> None:
    """The master proposes from inside `committed` and `mastership_changed`."""
    table = Table(1)
    seat = table.seats[NodeId("0" * 16)]
    table.stand_up(seat.name)
    second = submitted(JobId("film-2"))

    class Eager(list[tuple[int, Record]]):
        def append(self, told: tuple[int, Record]) -> None:
            super().append(told)
            if len(self) == 1:
                assert seat.service.propose(told[0], second)

    seat.committed = Eager()
    table.sit_down(seat.name)
    table.await_master()
    assert seat.service.propose(seat.service.status.term, submitted())
    table.run(0.1)
    assert [record for _, record in seat.committed] == [submitted(), second]


def test_what_no_leader_can_have_said_is_the_peers_fault() -> None:
    table = Table(1)
    node = table.await_master().service
    route = Route("c" * 16, 1, NodeId("0" * 16))
    entry = Entry(7, 9, EntryKind.NOOP, b"")
    with pytest.raises(RemoteError):
        node.receive(NodeId("f" * 16), AppendEntries(route, 9, 2, 1, (entry,), 0))


def test_a_heartbeat_between_three_idle_nodes_writes_nothing() -> None:
    table = Table(3)
    table.run_until(lambda: table.voters() == 3)
    table.run(1.0)
    before = [seat.runtime.store.commits for seat in table.seats.values()]
    table.run(3.0)
    assert [seat.runtime.store.commits for seat in table.seats.values()] == before


def test_a_state_of_another_kind_is_refused_in_one_line() -> None:
    store = MemoryStore(Clock())
    store.pairs[b"raft/term"] = b"nonsense"
    with pytest.raises(UserError, match="move the state directory away"):
        RaftStore(store).load()


def test_a_missing_voter_is_named_by_everybody_with_its_time() -> None:
    table = Table(3)
    table.run_until(lambda: table.voters() == 3)
    table.run(0.5)
    master = table.await_master()
    lost = next(name for name in table.seats if name != master.name)
    gone_at = table.clock.seconds()
    table.stand_up(lost)
    table.run(2 * TIMING.election_s_min)
    for seat in table.seats.values():
        if seat.node is not None:
            found = seat.service.gauges()
            (missing,) = found.missing
            assert (missing.node, missing.name, found.lacks) == (lost, f"name-{lost}", 0)
            assert (found.voters, found.healthy, found.tolerance) == (3, 2, 0)
            assert missing.since is not None
            assert abs(missing.since - gone_at) <= TIMING.heartbeat_s * 3


def test_the_last_voter_knows_after_a_restart_who_is_missing_and_how_many_must_come() -> None:
    table = Table(3)
    table.run_until(lambda: table.voters() == 3)
    table.run(0.5)
    last, *others = table.seats
    for name in others:
        table.stand_up(name)
    table.run(2 * TIMING.election_s_min)
    found = table.seats[last].service.gauges()
    assert [each.name for each in found.missing] == [f"name-{name}" for name in others]
    assert (found.healthy, found.lacks) == (1, 1)
    table.stand_up(last)
    table.sit_down(last)
    table.seats[last].service.members_changed({})  # gossip has heard of nobody yet
    found = table.seats[last].service.gauges()
    assert [(each.name, each.since) for each in found.missing] == [
        (f"name-{name}", None) for name in others
    ]
    assert found.lacks == 1


def test_nobody_is_missing_from_a_healthy_cluster_or_at_a_node_without_the_log() -> None:
    table = Table(3)
    table.run_until(lambda: table.voters() == 3)
    table.run(0.5)
    healthy = [seat.service.gauges() for seat in table.seats.values()]
    assert [(each.missing, each.lacks) for each in healthy] == [((), 0)] * 3
    stranger = Table(2).seats[NodeId(f"{1:016x}")].service.gauges()
    assert (stranger.voters, stranger.missing, stranger.lacks) == (0, (), 0)


# --- a full disk ---------------------------------------------------------------------------------


def test_a_full_disk_refuses_proposals_at_once_and_takes_them_when_there_is_space_again() -> None:
    table = Table(1)
    seat = table.await_master()
    table.run(0.1)
    store, term = seat.runtime.store, seat.service.status.term
    store.is_full = True
    store.waiting = []
    assert not seat.service.propose(term, submitted())
    assert not seat.service.set_frontier(term, JOB, frontier(0))
    table.run(10.0)
    assert seat.service.status.is_master, "alone, it has nobody to hand over to"
    assert (seat.committed, seat.crashes) == ([], [])
    store.make_space()
    assert seat.service.propose(term, submitted())
    table.run(0.1)
    assert [record for _, record in seat.committed] == [submitted()]


def test_what_was_taken_before_the_disk_was_full_is_committed_when_there_is_space() -> None:
    table = Table(1)
    seat = table.await_master()
    table.run(0.1)
    store, term = seat.runtime.store, seat.service.status.term
    store.waiting = []  # full, and nobody has noticed yet
    assert seat.service.propose(term, submitted())
    table.run(1.0)
    assert seat.committed == [], "nothing is promised that is not on the disk"
    store.is_full = True
    assert not seat.service.propose(term, submitted(JobId("film-2")))
    store.make_space()
    table.run(0.1)
    assert [record for _, record in seat.committed] == [submitted()]


def test_a_master_with_a_full_disk_hands_over_and_does_not_stand_until_there_is_space() -> None:
    table = Table(3)
    table.run_until(lambda: table.voters() == 3)
    table.run(0.5)
    full = table.await_master()
    store = full.runtime.store
    store.waiting = []
    assert full.service.propose(full.service.status.term, submitted())
    took = table.run_until(lambda: not full.service.status.is_master)
    assert took < TIMING.election_s_max + 4 * TIMING.heartbeat_s
    heir = table.await_master()
    table.run(0.5)
    term = heir.service.status.term
    assert heir.service.propose(term, submitted(JobId("film-2")))
    table.run(0.5)
    assert [record.job for _, record in heir.committed] == [JOB, JobId("film-2")]
    stood = full.service.counters.elections_started
    table.stand_up(heir.name)
    table.run(5 * TIMING.election_s_max)
    assert full.service.counters.elections_started == stood
    assert table.master() is None, "the third one alone is no majority"
    store.make_space()
    table.await_master()
    table.run(1.0)
    assert [record.job for _, record in full.committed] == [JOB, JobId("film-2")]


def test_a_voter_whose_address_changes_stays_one_without_any_change() -> None:
    table = Table(4)
    table.run_until(lambda: table.voters() == 3)
    table.run(5.0)
    master = table.await_master()
    changes = {name: seat.service.counters.config_changes for name, seat in table.seats.items()}
    peers = {peer.node: peer for peer in master.service.get_members()}
    for turn in range(3):  # its lease ends again and again; another node gets the address it had
        for place, name in enumerate(table.seats):
            address = Address(f"10.0.0.{(place + turn) % 4}", 7470)
            peers[name] = evolve(peers[name], address=address, since=table.clock.seconds())
        for seat in table.seats.values():
            seat.service.members_changed(peers)
        table.run(TIMING.voter_replace_s)
    assert table.await_master() is master
    assert changes == {
        name: seat.service.counters.config_changes for name, seat in table.seats.items()
    }
