"""One core, poked, once somebody leads: what it does in office, and what it makes of its leader.

Several of these are bugs that other implementations have had; the name says which rule was broken.
"""

from nanoboost.consensus.effects import (
    MastershipChanged,
    NodeGone,
    Persisted,
    Proposed,
    ReadAsked,
    Send,
)
from nanoboost.consensus.leadership import UNCOMMITTED_BYTES_MAX
from nanoboost.consensus.messages import (
    Appended,
    AppendEntries,
    Heartbeat,
    HeartbeatAnswer,
    RequestVote,
    Route,
    TimeoutNow,
    Vote,
)
from nanoboost.consensus.progress import INFLIGHT_MAX
from nanoboost.core import Woke
from tests.consensus.bench import ME, THREE, A, B, Bench, C, D
from tests.consensus.cluster import CLUSTER, TIMING

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
