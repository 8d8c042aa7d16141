"""The algebra of majorities and configurations, over all small sets of voters."""

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanoboost.consensus.membership import Configuration, Membership
from nanoboost.consensus.quorum import Ballot, agreed_index, ballot, has_majority
from nanoboost.errors import RemoteError
from nanoboost.ids import NodeId

NODES = tuple(NodeId(f"{n:016x}") for n in range(7))

some_nodes = st.sets(st.sampled_from(NODES), min_size=1, max_size=5).map(lambda s: tuple(sorted(s)))
indexes = st.dictionaries(st.sampled_from(NODES), st.integers(0, 9))
votes = st.dictionaries(st.sampled_from(NODES), st.booleans())


def quorums(configuration: Configuration) -> list[set[NodeId]]:
    return [
        set(present)
        for size in range(len(NODES) + 1)
        for present in combinations(NODES, size)
        if configuration.has_quorum(present)
    ]


@settings(max_examples=25)
@given(some_nodes, some_nodes)
def test_consecutive_configurations_cannot_decide_apart(
    old: tuple[NodeId, ...], new: tuple[NodeId, ...]
) -> None:
    before = Configuration(old)
    joint = before.changed_to(new, ())
    for one, other in ((before, joint), (joint, joint.settled())):
        for left in quorums(one):
            assert all(left & right for right in quorums(other))


@given(some_nodes, indexes)
def test_what_is_agreed_has_a_majority_and_nothing_above_it_has(
    voters: tuple[NodeId, ...], reached: dict[NodeId, int]
) -> None:
    index = agreed_index(voters, reached)
    assert index is not None
    assert has_majority(voters, [node for node in voters if reached.get(node, 0) >= index])
    assert not has_majority(voters, [node for node in voters if reached.get(node, 0) > index])


@given(some_nodes, some_nodes, indexes)
def test_a_joint_configuration_agrees_on_what_both_halves_agree_on(
    old: tuple[NodeId, ...], new: tuple[NodeId, ...], reached: dict[NodeId, int]
) -> None:
    joint = Configuration(new, old)
    halves = Configuration(new).agreed(reached), Configuration(old).agreed(reached)
    assert joint.agreed(reached) == min(halves)
    assert Configuration(old, new).agreed(reached) == joint.agreed(reached)
    assert Configuration(old, old).agreed(reached) == Configuration(old).agreed(reached)


@given(some_nodes, some_nodes, votes)
def test_an_election_is_won_by_both_halves_and_lost_by_either(
    old: tuple[NodeId, ...], new: tuple[NodeId, ...], cast: dict[NodeId, bool]
) -> None:
    result = Configuration(new, old).ballot(cast)
    granted = [node for node, is_granted in cast.items() if is_granted]
    could_come = [node for node in NODES if cast.get(node, True)]
    assert (result is Ballot.WON) == Configuration(new, old).has_quorum(granted)
    assert (result is Ballot.LOST) == (not Configuration(new, old).has_quorum(could_come))


def test_votes_of_strangers_do_not_count() -> None:
    assert ballot(NODES[:3], dict.fromkeys(NODES[3:], True)) is Ballot.PENDING
    assert ballot(NODES[:3], {**dict.fromkeys(NODES[3:], True), NODES[0]: True}) is Ballot.PENDING


def test_a_change_of_learners_alone_is_not_joint() -> None:
    start = Configuration(NODES[:3])
    assert start.changed_to(NODES[:3], NODES[3:5]) == Configuration(NODES[:3], (), NODES[3:5])
    joint = start.changed_to(NODES[:1], NODES[1:2])
    assert joint == Configuration(NODES[:1], NODES[:3], NODES[1:2])
    assert joint.part(NODES[1]) == "voter", "until the change is over"
    assert joint.settled().part(NODES[1]) == "learner"
    assert joint.settled().part(NODES[2]) == ""


def test_a_configuration_is_in_force_when_appended_and_out_of_force_when_truncated() -> None:
    membership = Membership(0, Configuration(NODES[:1]))
    membership.append(5, Configuration(NODES[:3], NODES[:1]))
    membership.append(6, Configuration(NODES[:3]))
    assert membership.effective == Configuration(NODES[:3])
    assert membership.at(5).is_joint
    membership.truncate(6)
    assert membership.effective == Configuration(NODES[:3], NODES[:1])
    membership.truncate(3)
    assert (membership.effective_index, membership.effective) == (0, Configuration(NODES[:1]))


def test_compaction_keeps_the_configuration_that_was_in_force() -> None:
    membership = Membership(0, Configuration(NODES[:1]))
    membership.append(5, Configuration(NODES[:3], NODES[:1]))
    membership.append(6, Configuration(NODES[:3]))
    membership.compact(5)
    assert membership.at(5).is_joint
    with pytest.raises(AssertionError):
        membership.at(4)


@given(some_nodes, some_nodes)
def test_a_configuration_survives_its_bytes(
    old: tuple[NodeId, ...], new: tuple[NodeId, ...]
) -> None:
    joint = Configuration(old).changed_to(new, [node for node in old if node not in new])
    assert Configuration.decode(joint.encode()) == joint


@pytest.mark.parametrize(
    "wrong",
    [
        Configuration((NODES[1], NODES[0])),
        Configuration(NODES[:2], (), NODES[1:3]),
        Configuration((), NODES[:2]),
        Configuration((NODES[0], NODES[0])),
    ],
)
def test_a_configuration_that_no_algebra_made_is_refused(wrong: Configuration) -> None:
    with pytest.raises(RemoteError):
        Configuration.decode(wrong.encode())
