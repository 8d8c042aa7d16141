"""One core, poked: what it says, what it writes first, and what it refuses.

Several of these are bugs that other implementations have had; the name says which rule was broken.
"""

from random import Random
from typing import Any, TypeVar

from nanoboost.consensus.effects import (
    Apply,
    ForeignLog,
    MastershipChanged,
    NodeGone,
    Persist,
    Persisted,
    Proposed,
    ReadAsked,
    Received,
    Send,
)
from nanoboost.consensus.leadership import UNCOMMITTED_BYTES_MAX
from nanoboost.consensus.membership import Configuration
from nanoboost.consensus.messages import (
    Appended,
    AppendEntries,
    AppendRefused,
    Entry,
    EntryKind,
    HardState,
    Heartbeat,
    HeartbeatAnswer,
    Message,
    RequestVote,
    Route,
    TimeoutNow,
    Vote,
)
from nanoboost.consensus.progress import INFLIGHT_MAX
from nanoboost.consensus.raft import Raft
from nanoboost.consensus.state import NOTHING, Role, Stored
from nanoboost.core import Woke
from nanoboost.ids import NodeId
from tests.consensus.cluster import CLUSTER, TIMING

A, B, C, D, E = (NodeId(letter * 16) for letter in "abcde")
ME = Route(CLUSTER, 1, A)
T = TypeVar("T")


def noop(index: int, term: int) -> Entry:
    return Entry(index, term, EntryKind.NOOP, b"")


def record(index: int, term: int, data: bytes = b"x") -> Entry:
    return Entry(index, term, EntryKind.RECORD, data)


def voters(index: int, term: int, *nodes: NodeId, outgoing: tuple[NodeId, ...] = ()) -> Entry:
    configuration = Configuration(tuple(sorted(nodes)), outgoing)
    return Entry(index, term, EntryKind.CONFIGURATION, configuration.encode())


class Bench:
    """A node with what lay on its disk, and what it does about each poke."""

    def __init__(self, *entries: Entry, term: int = 1, vote: str = "", founder: bool = False):
        self.now = 100.0
        stored = Stored(HardState(term, NodeId(vote)), None, entries) if entries else NOTHING
        self.raft = Raft(A, CLUSTER, TIMING, Random(1), self.now, stored, is_founder=founder)
        self.effects: list[Any] = []
        self.poke(Woke())

    def poke(self, event: Any) -> "Bench":
        self.effects = list(self.raft.step(self.now, event))
        return self

    def is_a(self, role: Role) -> bool:
        return self.raft.state.role is role

    def hear(self, sender: NodeId, message: Message) -> "Bench":
        return self.poke(Received(sender, message))

    def sync(self) -> "Bench":
        """All writes that the last effects asked for are durable."""
        return self.poke(Persisted(self.of(Persist)[-1].token))

    def of(self, kind: type[T]) -> list[T]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def said(self, kind: type[T]) -> list[T]:
        return [each.message for each in self.of(Send) if isinstance(each.message, kind)]

    def wake(self) -> "Bench":
        due = self.raft.deadline()
        assert due is not None
        self.now = max(self.now, due)
        return self.poke(Woke())

    def wake_until(self, role: Role) -> "Bench":
        for _ in range(4):
            if not self.is_a(role):
                self.wake()
        assert self.is_a(role)
        return self

    def elected(self) -> "Bench":
        """Leader of {A, B, C}, by the vote of B."""
        self.wake_until(Role.PRE_CANDIDATE)
        term = self.raft.state.term + 1
        self.hear(B, Vote(ME, term, True, True))
        self.sync()
        self.hear(B, Vote(ME, term, True, False))
        assert self.raft.state.is_leader
        return self


THREE = (voters(1, 1, A, B, C),)


# --- promises and the disk -----------------------------------------------------------------------


def test_a_vote_is_said_only_when_it_is_durable() -> None:
    bench = Bench(*THREE)
    bench.hear(B, RequestVote(ME, 5, 1, 1, False, False))
    assert bench.said(Vote) == []
    assert bench.of(Persist)[0].hard_state == HardState(5, B)
    assert bench.sync().said(Vote) == [Vote(Route(CLUSTER, 1, B), 5, True, False)]


def test_one_vote_a_term_also_after_a_restart() -> None:
    bench = Bench(*THREE, term=5, vote=B)
    bench.hear(C, RequestVote(ME, 5, 9, 5, False, False))
    assert bench.said(Vote) == [Vote(Route(CLUSTER, 1, C), 5, False, False)]


def test_a_candidate_asks_only_when_its_own_vote_is_durable() -> None:
    bench = Bench(*THREE).wake_until(Role.PRE_CANDIDATE)
    bench.hear(B, Vote(ME, 2, True, True))
    assert bench.is_a(Role.CANDIDATE)
    assert bench.said(RequestVote) == []
    assert [each.is_pre for each in bench.sync().said(RequestVote)] == [False, False]


def test_entries_are_acknowledged_only_when_they_are_durable() -> None:
    bench = Bench(*THREE)
    bench.hear(B, AppendEntries(ME, 1, 1, 1, (record(2, 1),), 0))
    assert bench.said(Appended) == []
    assert [each.index for each in bench.sync().said(Appended)] == [2]


def test_a_node_alone_applies_nothing_before_it_is_durable() -> None:
    """etcd#14370."""
    bench = Bench(founder=True)
    while not bench.raft.state.has_committed_in_term:
        bench.sync()
    bench.poke(Proposed(bench.raft.state.term, b"x"))
    assert bench.of(Apply) == []
    (applied,) = bench.sync().of(Apply)
    assert [entry.data for entry in applied.entries] == [b"x"]


def test_a_leader_counts_itself_only_when_its_own_disk_has_it() -> None:
    bench = Bench(*THREE).elected()
    write = bench.of(Persist)[-1].token
    bench.hear(B, Appended(ME, 2, 2))
    assert bench.raft.state.log.commit == 0, "one of three has it"
    bench.poke(Persisted(write))
    assert bench.raft.state.log.commit == 2


def test_a_late_completion_does_not_attest_what_has_replaced_its_entries() -> None:
    """The ABA race of asynchronous storage writes (etcd)."""
    bench = Bench(*THREE)
    bench.hear(B, AppendEntries(ME, 1, 1, 1, (record(2, 1), record(3, 1)), 0))
    first = bench.of(Persist)[0].token
    bench.hear(C, AppendEntries(ME, 2, 1, 1, (record(2, 2),), 0))
    bench.hear(B, AppendEntries(ME, 3, 1, 1, (record(2, 1), record(3, 3)), 0))
    last = bench.of(Persist)[0].token
    bench.poke(Persisted(first))
    assert bench.raft.state.log.durable == 1
    assert [(each.term, each.index) for each in bench.said(Appended)] == [(1, 3)], "B's, long ago"
    bench.poke(Persisted(last))
    assert bench.raft.state.log.durable == 3


def test_a_follower_applies_nothing_before_it_is_durable() -> None:
    bench = Bench(*THREE)
    bench.hear(B, AppendEntries(ME, 1, 1, 1, (record(2, 1),), 2))
    assert [entry.index for each in bench.of(Apply) for entry in each.entries] == [1]
    (applied,) = bench.sync().of(Apply)
    assert [entry.index for entry in applied.entries] == [2]


def test_a_node_without_a_log_keeps_to_the_first_one_for_good() -> None:
    bench = Bench()
    bench.hear(B, Heartbeat(Route(CLUSTER, 1, A, B), 3, 0, 0))
    assert bench.of(Persist)[0].hard_state == HardState(3, NodeId(""), B)
    bench.sync()
    assert bench.said(HeartbeatAnswer)[0].route.founder == B
    bench.hear(C, Heartbeat(Route(CLUSTER, 1, A, C), 9, 0, 0))
    assert bench.of(ForeignLog)
    assert bench.raft.state.term == 3


def test_two_nodes_that_both_founded_the_cluster_never_mix_their_logs() -> None:
    """nomad#5917 was a silent split; here neither is harmed, and both say what is wrong."""
    bench = Bench(founder=True)
    while not bench.raft.state.has_committed_in_term:
        bench.sync()
    term = bench.raft.state.term
    foreign = Route(CLUSTER, 1, A, B)
    for message in (
        Heartbeat(foreign, term, 0, 0),
        Heartbeat(foreign, term + 9, 0, 0),
        AppendEntries(foreign, term + 9, 1, 1, (noop(2, term + 9),), 2),
        RequestVote(foreign, term + 9, 99, 99, False, True),
    ):
        assert bench.hear(B, message).effects == [ForeignLog(B)]
    assert bench.raft.state.is_leader
    assert bench.raft.state.term == term


# --- the log -------------------------------------------------------------------------------------


def test_a_late_short_append_cuts_nothing_off() -> None:
    """PySyncObj truncates a suffix that agrees."""
    bench = Bench(*THREE, record(2, 1), record(3, 1), record(4, 1))
    bench.hear(B, AppendEntries(ME, 1, 1, 1, (record(2, 1),), 0))
    assert bench.raft.state.log.last_index == 4
    assert [each.index for each in bench.said(Appended)] == [2], "only what was shown to agree"


def test_commit_reaches_no_further_than_what_was_shown_to_agree() -> None:
    bench = Bench(*THREE, record(2, 1), record(3, 1), record(4, 1))
    bench.hear(B, AppendEntries(ME, 2, 1, 1, (record(2, 1),), 4))
    assert bench.raft.state.log.commit == 2


def test_a_heartbeat_commits_no_more_than_the_member_has() -> None:
    bench = Bench(*THREE).elected()
    bench.poke(Persisted(99))
    bench.hear(B, Appended(ME, 2, 2))
    assert bench.raft.state.log.commit == 2
    commits = {each.route.to: each.commit for each in bench.wake().said(Heartbeat)}
    assert commits == {B: 2, C: 0}


def test_an_entry_of_an_earlier_term_is_not_committed_by_counting() -> None:
    """Figure 8 of the paper."""
    bench = Bench(*THREE, record(2, 2), term=3).elected()
    bench.poke(Persisted(99))
    bench.hear(B, Appended(ME, 4, 2))
    assert bench.raft.state.log.commit == 0
    bench.hear(B, Appended(ME, 4, 3))
    assert bench.raft.state.log.commit == 3


def test_a_log_is_repaired_a_term_at_a_time() -> None:
    mine = [noop(n, 2) for n in range(2, 50)]
    bench = Bench(*THREE, *mine, term=2)
    bench.hear(B, AppendEntries(ME, 4, 60, 4, (), 0))
    bench.sync()
    (refusal,) = bench.said(AppendRefused)
    assert (refusal.index, refusal.hint_index, refusal.hint_term) == (60, 49, 2)
    bench.hear(B, AppendEntries(ME, 4, 49, 1, (), 0))
    (refusal,) = bench.said(AppendRefused)
    assert (refusal.hint_index, refusal.hint_term) == (1, 1), "one round trip for the whole term"


def test_a_configuration_goes_when_its_entry_is_truncated() -> None:
    """NATS TestNRGUncommittedMembershipChangeGetsTruncated."""
    bench = Bench(*THREE, voters(2, 1, A, B, C, D, E, outgoing=(A, B, C)))
    assert bench.raft.state.configuration.is_joint
    bench.hear(B, AppendEntries(ME, 2, 1, 1, (noop(2, 2),), 0))
    assert bench.raft.state.configuration == Configuration((A, B, C))


# --- elections -----------------------------------------------------------------------------------


def test_asking_whether_one_could_win_changes_no_term() -> None:
    bench = Bench(*THREE)
    for _ in range(10):
        bench.wake()
    assert bench.raft.state.term == 1
    assert bench.raft.state.vote == ""


def test_a_pre_vote_binds_nobody() -> None:
    """canonical/raft#196."""
    bench = Bench(*THREE, term=5, vote=B)
    bench.hear(C, RequestVote(ME, 6, 1, 1, True, False))
    assert bench.said(Vote)[0].is_granted
    assert (bench.raft.state.term, bench.raft.state.vote) == (5, B)
    assert bench.of(Persist) == []


def test_a_refusal_teaches_the_term() -> None:
    """canonical/raft#279: otherwise nobody is ever elected."""
    bench = Bench(*THREE).wake_until(Role.PRE_CANDIDATE)
    bench.hear(B, Vote(ME, 7, False, True))
    assert bench.raft.state.term == 7
    assert bench.is_a(Role.FOLLOWER)


def test_votes_are_counted_by_who_cast_them_and_by_kind() -> None:
    bench = Bench(voters(1, 1, A, B, C, D, E)).wake_until(Role.PRE_CANDIDATE)
    for _ in range(3):
        bench.hear(B, Vote(ME, 2, True, True))
    assert bench.is_a(Role.PRE_CANDIDATE), "one voter is one vote"
    bench.hear(C, Vote(ME, 2, True, True))
    assert bench.is_a(Role.CANDIDATE)
    bench.sync()
    bench.hear(D, Vote(ME, 2, True, True))
    bench.hear(E, Vote(ME, 2, True, True))
    assert bench.is_a(Role.CANDIDATE), "a pre-vote is no vote"


def test_who_hears_a_leader_deposes_it_for_nobody() -> None:
    bench = Bench(*THREE)
    bench.hear(B, Heartbeat(ME, 1, 0, 0))
    bench.hear(C, RequestVote(ME, 9, 99, 9, False, False))
    assert bench.said(Vote) == [Vote(Route(CLUSTER, 1, C), 1, False, False)]
    assert bench.raft.state.term == 1
    bench.hear(C, RequestVote(ME, 9, 99, 9, False, True))
    assert bench.sync().said(Vote)[0].is_granted, "unless the leader itself wants to go"


def test_a_log_that_lacks_something_gets_no_vote() -> None:
    bench = Bench(*THREE, record(2, 3), term=3)
    bench.hear(B, RequestVote(ME, 4, 9, 2, False, False))
    assert [each.is_granted for each in bench.sync().said(Vote)] == [False]


def test_a_node_that_knows_of_nobody_never_stands_and_still_votes() -> None:
    """A voter may not know yet that it is one (etcd: campaign_learner_must_vote)."""
    bench = Bench()
    assert bench.raft.deadline() is None or bench.wake().raft.deadline() is None
    bench.hear(B, RequestVote(ME, 4, 9, 2, False, False))
    assert bench.sync().said(Vote)[0].is_granted


def test_who_has_a_stalled_disk_does_not_stand() -> None:
    bench = Bench(*THREE)
    bench.hear(B, AppendEntries(ME, 1, 1, 1, (record(2, 1),), 0))
    token = bench.of(Persist)[0].token
    bench.now += TIMING.election_s_max * 0.9
    bench.wake_until(Role.PRE_CANDIDATE)
    bench.now += TIMING.election_s_max
    bench.wake().wake()
    assert bench.is_a(Role.FOLLOWER)
    bench.poke(Persisted(token)).wake_until(Role.PRE_CANDIDATE)


# --- leading -------------------------------------------------------------------------------------


def test_a_leader_that_nobody_answers_steps_down() -> None:
    bench = Bench(*THREE).elected()
    bench.poke(Persisted(99))
    end = bench.now + TIMING.election_s_min + 2 * TIMING.heartbeat_s
    while bench.raft.state.is_leader:
        bench.wake()
        assert bench.now < end
    assert bench.raft.state.leader is None


def test_a_leader_whose_disk_stalls_hands_over_while_its_heartbeats_are_answered() -> None:
    """hashicorp/raft#503: heartbeats hide the disk."""
    bench = Bench(*THREE).elected()
    end = bench.now + TIMING.election_s_max + 2 * TIMING.heartbeat_s
    while bench.raft.state.is_leader:
        assert bench.now < end
        bench.wake()
        for node in (B, C):
            if bench.raft.state.is_leader:
                bench.hear(node, HeartbeatAnswer(ME, 2, 0))
    assert len(bench.said(TimeoutNow)) == 1


def test_an_idle_member_is_asked_for_an_answer_at_every_second_heartbeat() -> None:
    bench = Bench(*THREE).elected()
    bench.poke(Persisted(99))
    last = bench.raft.state.log.last_index
    for node in (B, C):
        bench.hear(node, Appended(ME, 2, last))
    asked = []
    for _ in range(4):
        bench.wake()
        asked.append([beat.is_question for beat in bench.said(Heartbeat)])
        for node in (B, C):
            bench.hear(node, HeartbeatAnswer(ME, 2, 0))
    assert sorted(asked) == [[False, False]] * 2 + [[True, True]] * 2
    assert asked[0] != asked[1]
    bench.poke(ReadAsked(1))
    assert [beat.is_question for beat in bench.said(Heartbeat)] == [True, True], "a read waits"


def test_a_heartbeat_that_asks_nothing_is_not_answered_unless_its_term_is_over() -> None:
    bench = Bench(*THREE)
    assert not bench.hear(B, Heartbeat(ME, 1, 0, 0, False)).said(HeartbeatAnswer)
    assert bench.raft.state.leader == B
    assert bench.hear(B, Heartbeat(ME, 1, 0, 0)).said(HeartbeatAnswer)
    (answer,) = bench.hear(C, Heartbeat(ME, 0, 0, 0, False)).said(HeartbeatAnswer)
    assert answer.term == 1


def test_a_short_pause_of_the_process_is_not_held_against_anybody() -> None:
    bench = Bench(*THREE).elected()
    bench.now += TIMING.heartbeat_s + 0.9 * TIMING.election_s_min
    bench.poke(Woke())
    assert bench.raft.state.is_leader, "the answers may lie in the sockets"
    follower = Bench(*THREE)
    follower.hear(B, Heartbeat(ME, 1, 0, 0))
    follower.now += 5.0
    follower.poke(Woke())
    assert follower.raft.state.leader == B


def test_a_leader_that_slept_is_none_before_it_believes_anything() -> None:
    """The answers of before its sleep are read first; they prove nothing about now."""
    bench = Bench(*THREE).elected()
    bench.now += TIMING.heartbeat_s + 1.1 * TIMING.election_s_min
    bench.hear(B, HeartbeatAnswer(ME, 2, 0))
    assert not bench.raft.state.is_leader
    assert MastershipChanged(2, None, False) in bench.effects


def test_a_sole_voter_that_slept_leads_on() -> None:
    bench = Bench(founder=True)
    bench.poke(Persisted(1)).poke(Persisted(9))
    assert bench.raft.state.is_leader
    bench.now += 60.0
    assert bench.poke(Woke()).raft.state.is_leader


def test_a_leader_whose_process_is_gone_is_not_waited_for() -> None:
    bench = Bench(*THREE)
    bench.hear(B, Heartbeat(ME, 1, 0, 0))
    bench.poke(NodeGone(C))
    assert bench.raft.state.leader == B, "another's end is nothing to it"
    bench.poke(NodeGone(B))
    assert bench.raft.state.leader is None
    due = bench.raft.deadline()
    assert due is not None
    assert due <= bench.now + TIMING.election_s_min / 2
    bench.now = due
    requests = bench.poke(Woke()).said(RequestVote)
    assert [request.is_pre for request in requests] == [True, True], "and yet it only asks"


def test_a_follower_that_knows_of_the_leader_s_end_protects_it_no_more() -> None:
    bench = Bench(*THREE)
    bench.hear(B, Heartbeat(ME, 1, 0, 0))
    asked = RequestVote(ME, 2, 9, 1, True, False)
    (refusal,) = bench.hear(C, asked).said(Vote)
    assert not refusal.is_granted
    bench.poke(NodeGone(B))
    (vote,) = bench.hear(C, asked).said(Vote)
    assert vote.is_granted


def test_proposals_are_refused_when_too_much_is_uncommitted() -> None:
    bench = Bench(*THREE).elected()
    piece = b"x" * (256 * 1024)
    taken = 0
    while bench.raft.may_propose(2, len(piece)):
        bench.poke(Proposed(2, piece))
        taken += 1
    assert UNCOMMITTED_BYTES_MAX - 2 * len(piece) < taken * len(piece) <= UNCOMMITTED_BYTES_MAX
    last = bench.raft.state.log.last_index
    bench.poke(Persisted(999)).hear(B, Appended(ME, 2, last))
    assert bench.raft.may_propose(2, len(piece))


def test_messages_on_their_way_to_one_member_are_bounded() -> None:
    bench = Bench(*THREE).elected()
    bench.poke(Persisted(99))
    bench.hear(B, Appended(ME, 2, 2))
    sent = 0
    for _ in range(2 * INFLIGHT_MAX):
        sent += len(bench.poke(Proposed(2, b"x")).said(AppendEntries))
    assert sent == INFLIGHT_MAX, "C is still being probed, and B does not answer"
    (entries,) = bench.hear(B, Appended(ME, 2, 3)).said(AppendEntries)
    assert len(entries.entries) == INFLIGHT_MAX, "what waited goes in one message"


def test_an_answer_of_another_term_is_nothing() -> None:
    """PySyncObj's acknowledgements carry no term."""
    bench = Bench(*THREE, term=4).elected()
    bench.poke(Persisted(99))
    bench.hear(B, Appended(ME, 4, 2))
    assert bench.raft.state.log.commit == 0


def test_a_message_for_another_node_or_cluster_is_dropped() -> None:
    """One of another generation is answered: test_recovery."""
    bench = Bench(*THREE)
    for route in (Route(CLUSTER, 1, D), Route("d" * 16, 1, A)):
        bench.hear(B, Heartbeat(route, 9, 0, 0))
        assert bench.effects == []
    assert bench.raft.state.term == 1


# --- idle ----------------------------------------------------------------------------------------


def test_heartbeats_move_no_alarm_and_write_nothing() -> None:
    bench = Bench(*THREE)
    bench.hear(B, Heartbeat(ME, 1, 0, 0))
    alarms = set()
    for _ in range(100):
        bench.now += TIMING.heartbeat_s
        alarm = bench.raft.deadline()
        assert alarm is not None
        if alarm <= bench.now:
            bench.poke(Woke())
            assert bench.effects == [], "a spurious wake changes nothing"
        bench.hear(B, Heartbeat(ME, 1, 0, 0))
        alarms.add(bench.raft.deadline())
        assert [type(effect) for effect in bench.effects] == [Send]
    assert len(alarms) <= 100 * TIMING.heartbeat_s / TIMING.election_s_min
    assert bench.raft.state.leader == B
