"""The autopilot's rules, one row each."""

from collections.abc import Iterable, Mapping

import pytest
from attrs import evolve

from nanoboost.config import PROFILES
from nanoboost.consensus.autopilot import (
    Contact,
    PeerView,
    Situation,
    desired_change,
    target_voters,
)
from nanoboost.consensus.membership import Change, Configuration
from nanoboost.ids import Address, NodeId

TIMING = PROFILES["lan"].consensus
NOW = 10_000.0
A, B, C, D, E, F, G = (NodeId(digit * 16) for digit in "1234567")
LONG = 5_000.0


def nodes(found: Iterable[NodeId]) -> tuple[NodeId, ...]:
    return tuple(sorted(found))


def situation(
    voters: Iterable[NodeId],
    learners: Iterable[NodeId] = (),
    strangers: Iterable[NodeId] = (),
    dead: Mapping[NodeId, float] | None = None,
    departing: Iterable[NodeId] = (),
) -> Situation:
    """Everybody alive for long and heard just now, but the `dead`, for so many seconds."""
    dead = dead or {}
    configuration = Configuration(nodes(voters), (), nodes(learners))
    peers = {
        node: PeerView(node, "dead" if node in dead else "alive", NOW - dead.get(node, LONG), True)
        for node in (*configuration.members, *strangers)
    }
    contacts = {
        node: Contact(100, True, NOW - dead.get(node, 0.01))
        for node in configuration.members
        if node != A
    }
    return Situation(A, configuration, 7, 100, peers, contacts, tuple(departing), NOW - LONG)


def desired(found: Situation) -> tuple[tuple[NodeId, ...], tuple[NodeId, ...]] | None:
    change = desired_change(NOW, TIMING, found)
    if change is None:
        return None
    assert change == Change(change.voters, change.learners, 7), "for the configuration looked at"
    return change.voters, change.learners


@pytest.mark.parametrize(
    ("count", "voters"), [(1, 1), (2, 1), (3, 3), (4, 3), (6, 3), (7, 5), (30, 5)]
)
def test_the_target_is_odd(count: int, voters: int) -> None:
    assert target_voters(count) == voters


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (situation([A]), None),
        (situation([A], [B]), None),
        (situation([A, B, C]), None),
        (situation([A, B, C], [D, E]), None),
        # learners: two stand by
        (situation([A], [], [B, C, D]), ((A,), nodes([B, C]))),
        (situation([A, B, C], [D], [E, F]), (nodes([A, B, C]), nodes([D, E]))),
        (situation([A, B, C], [D, E], [F]), None),
        # grow in one change, once enough are ready
        (situation([A], [B, C]), (nodes([A, B, C]), ())),
        (situation([A, B, C], [D, E], [F, G]), (nodes([A, B, C, D, E]), ())),
        (situation([A, B, C], [D], [E, F, G]), (nodes([A, B, C]), nodes([D, E]))),
        # a dead voter is replaced after a while, and not before
        (situation([A, B, C], [D], dead={C: 29.0}), None),
        (situation([A, B, C], [D], dead={C: 31.0}), (nodes([A, B, D]), ())),
        (situation([A, B, C, D, E], [F, G], dead={D: 31.0, E: 31.0}), (nodes([A, B, C, F, G]), ())),
        # without a replacement it stays much longer
        (situation([A, B, C], dead={C: 599.0}), None),
        (situation([A, B, C], dead={C: 601.0}), ((A,), (B,))),
        (situation([A, B, C, D, E], dead={D: 601.0, E: 601.0}), (nodes([A, B, C]), ())),
        # never without a quorum of both
        (situation([A, B, C], dead={B: 601.0, C: 601.0}), None),
        (situation([A, B, C], [D, E], dead={B: 601.0, C: 601.0}), None),
        (situation([A], [B, C], dead={C: 1.0}), None),
        # the dead leave the learners' places to the living
        (situation([A, B, C], [D, E], [F], dead={E: 10.0}), (nodes([A, B, C]), nodes([D, E, F]))),
        (situation([A, B, C], [D, E], dead={E: 61.0}), (nodes([A, B, C]), (D,))),
        # who leaves is replaced, or the set shrinks to an odd number
        (situation([A, B, C], [D], departing=[C]), (nodes([A, B, D]), ())),
        (situation([A, B, C], [D], departing=[A]), (nodes([B, C, D]), ())),
        (situation([A, B, C], departing=[C]), ((A,), (B,))),
        (situation([A, B, C], departing=[A]), ((C,), (B,))),
        (situation([A], [B], departing=[A]), ((B,), ())),
        (situation([A], departing=[A]), None),
        (situation([A, B, C], [D, E], departing=[D]), (nodes([A, B, C]), (E,))),
        (situation([A, B, C], [D], [E], departing=[E]), None),
    ],
)
def test_rule(
    found: Situation, expected: tuple[tuple[NodeId, ...], tuple[NodeId, ...]] | None
) -> None:
    assert desired(found) == expected


def with_peer(found: Situation, node: NodeId, state: str, for_s: float) -> Situation:
    return evolve(found, peers={**found.peers, node: PeerView(node, state, NOW - for_s, True)})


def with_contact(found: Situation, node: NodeId, contact: Contact) -> Situation:
    return evolve(found, contacts={**found.contacts, node: contact})


def test_suspicion_alone_changes_nothing() -> None:
    full = situation([A, B, C], [D, E])
    assert desired(with_peer(full, C, "suspect", LONG)) is None
    assert desired(with_peer(full, D, "suspect", LONG)) is None


def test_gossips_word_alone_removes_nobody_who_answers_raft() -> None:
    assert desired(with_peer(situation([A, B, C], [D]), C, "dead", LONG)) is None


def test_who_has_said_goodbye_is_replaced_at_once() -> None:
    found = with_peer(situation([A, B, C], [D]), C, "left", 0.0)
    assert desired(found) == (nodes([A, B, D]), ())


@pytest.mark.parametrize(
    "contact",
    [
        Contact(100, True, NOW - 1.1 * TIMING.election_s_min),
        Contact(100, False, NOW),
        Contact(30, True, NOW),
    ],
    ids=["silent", "probing", "far behind"],
)
def test_a_learner_that_is_not_ready_does_not_vote(contact: Contact) -> None:
    assert desired(with_contact(situation([A], [B, C]), C, contact)) is None


def test_who_has_just_come_must_stay_a_while() -> None:
    fresh = with_peer(situation([A], [B, C]), C, "alive", 1.9)
    assert desired(fresh) is None
    assert desired(with_peer(fresh, C, "alive", 2.1)) == (nodes([A, B, C]), ())
    stranger = situation([A], [], [B])
    assert desired(with_peer(stranger, B, "alive", 0.4)) is None
    assert desired(with_peer(stranger, B, "alive", 0.6)) == ((A,), (B,))


def test_a_leader_that_is_new_judges_nobody_dead() -> None:
    found = evolve(situation([A, B, C], [D], dead={C: 700.0}), steady_since=NOW - 1.0)
    assert desired(found) is None


def test_a_voter_that_gossip_has_never_heard_of_is_replaced_in_the_end() -> None:
    found = situation([A, B, C], [D], dead={C: LONG})
    peers = {node: peer for node, peer in found.peers.items() if node != C}
    assert desired(evolve(found, peers=peers)) == (nodes([A, B, D]), ())
    recent = evolve(found, peers=peers, steady_since=NOW - 29.0)
    assert desired(recent) is None


def test_who_is_not_eligible_holds_no_log() -> None:
    found = situation([A], [], [B])
    assert desired(evolve(found, peers={B: PeerView(B, "alive", 0.0, False)})) is None


def at_home(found: Situation, homes: Mapping[NodeId, str]) -> Situation:
    peers = {
        node: evolve(peer, name="pi3", address=Address(homes.get(node, node), 7470))
        for node, peer in found.peers.items()
    }
    return evolve(found, peers=peers)


def test_a_machine_that_was_wiped_counts_as_dead_at_once_and_comes_back_as_another() -> None:
    gone = situation([A, B, C], [D], [E], dead={C: 1.5})
    assert desired(at_home(gone, {})) == (nodes([A, B, C]), nodes([D, E]))
    wiped = at_home(situation([A, B, C], [D], dead={C: 1.5}), {C: "10.0.0.7", D: "10.0.0.7"})
    assert desired(wiped) == (nodes([A, B, D]), ())


def test_a_wiped_learner_makes_room_for_what_its_machine_has_become() -> None:
    found = situation([A, B, C], [D, E], [F], dead={E: 1.5})
    wiped = at_home(found, {E: "10.0.0.7", F: "10.0.0.7"})
    assert desired(wiped) == (nodes([A, B, C]), nodes([D, F]))


def test_a_machine_with_another_name_at_a_dead_ones_address_is_another_machine() -> None:
    found = at_home(situation([A, B, C], [D], dead={C: 1.5}), {C: "10.0.0.7", D: "10.0.0.7"})
    renamed = evolve(found.peers[D], name="studio")
    assert desired(evolve(found, peers={**found.peers, D: renamed})) is None


def test_a_home_taken_over_by_one_that_is_dead_too_or_unknown_proves_nothing() -> None:
    both = situation([A, B, C], [D], [E], dead={C: 1.5, E: 1.5})
    assert desired(at_home(both, {C: "10.0.0.7", E: "10.0.0.7"})) is None
    assert desired(situation([A, B, C], [D], dead={C: 1.5})) is None, "no homes are known"


def test_who_answers_raft_lives_on_whatever_gossip_says_of_its_home() -> None:
    found = situation([A, B, C], [D])
    moved = at_home(with_peer(found, C, "dead", 1.0), {C: "10.0.0.7", D: "10.0.0.7"})
    assert desired(moved) is None
