"""One node goes on alone, in a later generation, and fences off who is left of the earlier one."""

from random import Random
from typing import Any

import pytest

from nanoboost.consensus.autopilot import PeerView
from nanoboost.consensus.effects import (
    Outdated,
    PeersChanged,
    Persist,
    Persisted,
    Received,
    Restore,
    Send,
)
from nanoboost.consensus.membership import Configuration
from nanoboost.consensus.messages import (
    DURABLE,
    AppendEntries,
    Entry,
    EntryKind,
    Fenced,
    HardState,
    Heartbeat,
    RequestVote,
    Route,
)
from nanoboost.consensus.raft import Raft
from nanoboost.consensus.recovery import TERM_STEP, jobs_of, recover
from nanoboost.consensus.registry import Registry
from nanoboost.consensus.state import NOTHING, Stored
from nanoboost.core import Woke
from nanoboost.errors import UserError
from nanoboost.ids import JobId, NodeId
from nanoboost.wire.codec import encode_value
from nanoboost.wire.messages import JobState
from nanoboost.wire.records import RECORDS, JobEnded, JobSubmitted, Record
from tests.consensus.cluster import CLUSTER, TIMING

A, B, C = (NodeId(letter * 16) for letter in "abc")
JOB = JobId("film-1")
SUBMITTED = JobSubmitted(JOB, "Film", "a" * 64, "b" * 64, 0, 3)
ENDED = JobEnded(JOB, JobState.CANCELLED, "")


def lost_side(*records: Record, generation: int = 1) -> Stored:
    """What lies on a disk of three voters: a configuration, and records nobody knows committed."""
    entries = [Entry(1, 1, EntryKind.CONFIGURATION, Configuration((A, B, C)).encode())]
    for index, record in enumerate(records, 2):
        entries.append(Entry(index, 2, EntryKind.RECORD, RECORDS.encode(record)))
    return Stored(HardState(2, B, A, generation), None, tuple(entries))


def recovered(stored: Stored) -> Stored:
    """What lies there after the recovery."""
    persist = recover(A, stored)
    assert persist.hard_state is not None
    assert (persist.entries, persist.first) == ((), persist.last + 1), "the log is all snapshot"
    return Stored(persist.hard_state, persist.snapshot, ())


class Bench:
    """A node A with what lay on its disk."""

    def __init__(self, stored: Stored) -> None:
        self.now = 100.0
        self.raft = Raft(A, CLUSTER, TIMING, Random(1), self.now, stored, is_founder=False)

    def poke(self, event: Any) -> list[Any]:
        """The effects; what is to be written is durable at once."""
        effects = list(self.raft.step(self.now, event))
        for effect in effects:
            if isinstance(effect, Persist):
                effects += self.poke(Persisted(effect.token))
        return effects

    def hear(self, sender: NodeId, message: Any) -> list[Any]:
        return self.poke(Received(sender, message))


def route(generation: int, founder: NodeId = A) -> Route:
    return Route(CLUSTER, generation, A, founder)


def test_the_whole_log_counts_and_nothing_of_the_others_is_waited_for() -> None:
    bench = Bench(recovered(lost_side(SUBMITTED, ENDED)))
    effects = bench.poke(Woke())
    (restore,) = [each for each in effects if isinstance(each, Restore)]
    registry = Registry()
    registry.restore(restore.snapshot.data)
    (entry,) = registry.entries()
    assert (entry.submitted, entry.state) == (SUBMITTED, JobState.CANCELLED)
    state = bench.raft.state
    assert state.is_leader, "alone, it needs nobody's vote"
    assert state.configuration == Configuration((A,))
    assert (state.generation, state.founder) == (2, A)
    assert state.term > TERM_STEP, "no attempt of the lost side can have the same name"
    assert state.has_committed_in_term


def test_a_snapshot_and_the_log_behind_it_are_taken_together_and_again() -> None:
    once = recovered(lost_side(SUBMITTED))
    assert once.snapshot is not None
    later = Entry(once.snapshot.index + 1, 5, EntryKind.RECORD, RECORDS.encode(ENDED))
    again = recovered(Stored(once.hard_state, once.snapshot, (later,)))
    assert [entry.state for entry in jobs_of(again)] == [JobState.CANCELLED]
    assert again.hard_state.generation == 3


def test_a_node_that_has_nothing_is_not_recovered() -> None:
    with pytest.raises(UserError, match="nothing of the cluster"):
        recover(A, NOTHING)


def test_who_is_of_an_older_generation_is_told_and_changes_nothing() -> None:
    bench = Bench(recovered(lost_side(SUBMITTED)))
    bench.poke(Woke())
    term = bench.raft.state.term
    for message in (
        RequestVote(route(1), term + 5, 99, term, False, True),
        AppendEntries(route(1), term + 5, 2, 2, (), 2),
    ):
        assert bench.hear(B, message) == [Send(B, Fenced(Route(CLUSTER, 2, B, A)))]
    assert (bench.raft.state.term, bench.raft.state.is_leader) == (term, True)


def test_a_node_with_a_log_of_the_lost_side_says_so_and_keeps_it() -> None:
    bench = Bench(lost_side(SUBMITTED))
    bench.poke(Woke())
    effects = bench.hear(B, Heartbeat(route(2), TERM_STEP, 0, 0))
    assert effects == [Send(B, Fenced(Route(CLUSTER, 1, B, A))), Outdated(B, 2)]
    assert (bench.raft.state.generation, bench.raft.state.term) == (1, 2)
    assert bench.hear(B, Fenced(route(2))) == [Outdated(B, 2)], "never answered"


def test_a_node_without_a_log_learns_the_generation_from_a_leader_only() -> None:
    bench = Bench(NOTHING)
    bench.poke(Woke())
    vote = RequestVote(route(2), 9, 5, 9, False, True)
    bench.hear(B, vote)
    assert bench.raft.state.generation == 1
    bench.hear(B, AppendEntries(route(2), 9, 0, 0, (), 0))
    assert (bench.raft.state.generation, bench.raft.state.founder) == (2, A)
    assert bench.hear(C, AppendEntries(route(1), 99, 0, 0, (), 0)) == [
        Send(C, Fenced(Route(CLUSTER, 2, C, A)))
    ]


def test_the_generation_is_written_before_anything_is_promised_in_it() -> None:
    bench = Bench(NOTHING)
    bench.poke(Woke())
    append = AppendEntries(route(2), 9, 0, 0, (), 0)
    effects = bench.raft.step(bench.now, Received(B, append))
    (persist,) = [each for each in effects if isinstance(each, Persist)]
    assert persist.hard_state == HardState(9, NodeId(""), A, 2)
    assert not [each for each in effects if isinstance(each, Send)]


def test_a_fenced_node_takes_no_learners_place() -> None:
    bench = Bench(recovered(lost_side(SUBMITTED)))
    bench.poke(Woke())
    bench.hear(B, Fenced(route(1)))
    bench.poke(PeersChanged({n: PeerView(n, "alive", 0.0, True) for n in (B, C)}))
    bench.now += TIMING.heartbeat_s
    bench.poke(Woke())
    assert bench.raft.state.configuration == Configuration((A,), (), (C,))


def test_a_hard_state_of_before_generations_is_of_the_first() -> None:
    old = encode_value([92, 7, B, A])
    assert DURABLE.decode(old) == HardState(7, B, A, 1)
