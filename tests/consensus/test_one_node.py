"""One core, poked: what it says, what it writes first, and what it refuses.

Several of these are bugs that other implementations have had; the name says which rule was broken.
"""

from nanoboost.consensus.effects import Apply, ForeignLog, Persist, Persisted, Proposed
from nanoboost.consensus.membership import Configuration
from nanoboost.consensus.messages import (
    Appended,
    AppendEntries,
    AppendRefused,
    HardState,
    Heartbeat,
    HeartbeatAnswer,
    RequestVote,
    Route,
    Vote,
)
from nanoboost.consensus.state import Role
from nanoboost.ids import NodeId
from tests.consensus.bench import ME, THREE, A, B, Bench, C, D, E, noop, record, voters
from tests.consensus.cluster import CLUSTER, TIMING

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
