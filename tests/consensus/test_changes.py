"""Several nodes while their configuration changes: who votes, who is left out, who leaves."""

from typing import Any

from nanoboost.consensus.autopilot import PeerView
from nanoboost.consensus.effects import LeaveAsked, PeersChanged
from nanoboost.consensus.membership import Change
from nanoboost.consensus.messages import AppendEntries, RequestVote, Vote
from tests.consensus.cluster import TIMING, Cluster
from tests.consensus.voters import A, B, C, D, E, others, three


def states(cluster: Cluster) -> list[Any]:
    return [cluster.nodes[name].core.state for name in cluster.up]


def test_one_voter_becomes_three_in_one_change_although_one_newcomer_dies() -> None:
    """etcd#3505: at two voters a dead newcomer stops everything for ever."""
    cluster = Cluster(3)
    cluster.become([A], [B, C])
    cluster.crash(C)
    cluster.change([A, B, C])
    cluster.run(1.0)
    assert cluster.nodes[A].core.state.configuration.voters == (A, B, C)
    assert not cluster.nodes[A].core.state.configuration.is_joint
    cluster.commit()


def test_a_change_needs_an_entry_of_the_leaders_term_first() -> None:
    """The single-server bug of 2015."""
    cluster = three()
    cluster.crash(cluster.await_leader())
    cluster.drop = lambda sender, to, message: isinstance(message, AppendEntries)
    cluster.run_until(cluster.leader)
    leader = cluster.leader()
    assert leader is not None
    state = cluster.nodes[leader].core.state
    before = state.membership.effective_index
    cluster.change([leader])
    assert state.membership.effective_index == before


def test_a_change_that_was_decided_on_an_older_configuration_is_dropped() -> None:
    cluster = three()
    leader = cluster.await_leader()
    state = cluster.nodes[leader].core.state
    stale = Change((leader,), (), state.membership.effective_index - 1)
    assert not cluster.nodes[leader].core._reconfiguration.change(cluster.now, stale)
    fresh = Change((leader,), (), state.membership.effective_index)
    assert cluster.nodes[leader].core._reconfiguration.change(cluster.now, fresh)
    assert not cluster.nodes[leader].core._reconfiguration.change(
        cluster.now, Change((leader,), (), state.membership.effective_index)
    ), "one at a time"


def test_a_new_leader_finishes_the_change_that_it_inherits() -> None:
    """etcd#12136: stuck in a joint configuration."""
    cluster = Cluster(5)
    leader = cluster.become([A, B, C])
    cluster.drop = lambda sender, to, message: to == leader
    cluster.change([A, B, C, D, E])
    cluster.run(0.02)
    cluster.crash(leader)
    cluster.drop = lambda sender, to, message: False
    assert any(state.configuration.is_joint for state in states(cluster))
    cluster.await_leader()
    cluster.run(2.0)
    heir = cluster.await_leader()
    configuration = cluster.nodes[heir].core.state.configuration
    assert (configuration.voters, configuration.is_joint) == ((A, B, C, D, E), False)


def test_a_leader_that_is_left_out_leads_to_the_end_and_hands_over() -> None:
    cluster = Cluster(4)
    leader = cluster.become([A, B, C], [D])
    rest = [name for name in cluster.nodes if name != leader]
    start = cluster.now
    cluster.change(rest)
    cluster.run_until(lambda: cluster.leader() in rest)
    assert cluster.now - start < 0.2
    heir = cluster.await_leader()
    assert cluster.nodes[heir].core.state.configuration.voters == tuple(rest)
    cluster.commit()


def test_who_is_left_out_and_restarts_may_have_to_carry_its_own_removal_through() -> None:
    """A storm found it: the only new voter lacks the entry that makes it alone, and the nodes that
    have it do not know, after a restart, that the joint configuration before it is committed."""
    cluster = three()
    leader = cluster.await_leader()
    heir, other = others(cluster, leader)
    state = cluster.nodes[leader].core.state
    cluster.change([heir], [other])
    joint_index = state.membership.effective_index
    cluster.drop = lambda sender, to, message: (
        to == heir
        and isinstance(message, AppendEntries)
        and any(entry.index > joint_index for entry in message.entries)
    )
    cluster.run_until(lambda: not state.configuration.is_joint)
    cluster.run(0.05)
    assert cluster.nodes[heir].core.state.log.last_index == joint_index
    cluster.crash(leader)
    cluster.crash(other)
    cluster.drop = lambda sender, to, message: False
    cluster.start(leader)
    cluster.start(other)
    cluster.run(5.0)
    assert cluster.leader() == heir
    cluster.commit()


def test_who_was_left_out_disturbs_nobody() -> None:
    """hashicorp/raft#524, and TestRaft_FollowerRemovalNoElection."""
    cluster = Cluster(4)
    leader = cluster.become([A, B, C], [D])
    gone = next(name for name in (A, B, C) if name != leader)
    cluster.partition([gone], [name for name in cluster.nodes if name != gone])
    cluster.become([name for name in cluster.nodes if name != gone])
    term = cluster.nodes[leader].core.state.term
    cluster.heal()
    cluster.run(5.0)
    assert cluster.leader() == leader
    assert cluster.nodes[leader].core.state.term == term
    assert cluster.nodes[gone].core.state.term <= term
    asked = [each for _, _, each in cluster.sent if isinstance(each, RequestVote)]
    assert any(each.is_pre for each in asked)

    peers = {name: PeerView(name, "alive", cluster.now, False) for name in cluster.nodes}
    cluster.poke(leader, PeersChanged(peers))
    cluster.run(1.0)
    cluster.sent.clear()
    cluster.run(5.0)
    assert not any(isinstance(message, RequestVote | Vote) for _, _, message in cluster.sent)
    assert cluster.nodes[gone].core.state.leader == leader, "it hears who leads"


def test_a_node_that_leaves_is_taken_out_and_told() -> None:
    cluster = Cluster(4)
    leader = cluster.become([A, B, C], [D])
    cluster.gossip(cluster.nodes)
    cluster.run(0.5)
    leaver = next(name for name in (A, B, C) if name != leader)
    start = cluster.now
    cluster.poke(leaver, LeaveAsked())
    cluster.run_until(lambda: cluster.nodes[leaver].has_left)
    assert cluster.now - start < 1.0
    configuration = cluster.nodes[leader].core.state.configuration
    assert configuration.part(leaver) == ""
    assert len(configuration.voters) == 3


def test_leaving_takes_no_longer_than_it_may_when_nobody_answers() -> None:
    cluster = three()
    leaver = cluster.await_leader()
    for name in others(cluster, leaver):
        cluster.crash(name)
    start = cluster.now
    cluster.poke(leaver, LeaveAsked())
    cluster.run_until(lambda: cluster.nodes[leaver].has_left)
    assert 4.9 < cluster.now - start < 5.1


def test_the_autopilot_brings_nodes_in_and_replaces_the_dead() -> None:
    cluster = Cluster(4)
    cluster.await_leader()
    cluster.gossip(cluster.nodes)
    cluster.run(8.0)
    leader = cluster.await_leader()
    state = cluster.nodes[leader].core.state
    assert len(state.configuration.voters) == 3
    assert len(state.configuration.learners) == 1
    dead = next(name for name in state.configuration.voters if name != leader)
    cluster.crash(dead)
    cluster.gossip(cluster.up, [dead])
    cluster.run(TIMING.voter_replace_s - 1.0)
    assert dead in state.configuration.voters
    cluster.run(2.0)
    assert state.configuration.voters == tuple(sorted(others(cluster, dead)))
    assert {len(each.voters) for node in cluster.nodes.values() for each in node.settled} == {1, 3}
