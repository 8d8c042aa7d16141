"""What `nanoboost status` says about what the cluster survives, and about who is missing."""

import json

import pytest

from nanoboost.cli.tables import show_counters, show_status, survival
from nanoboost.ids import NodeId
from nanoboost.wire.codec import evolve
from nanoboost.wire.messages import MissingVoter, NodeReport, StatusReport
from nanoboost.wire.operating import CountersReport, Measure

ONE, TWO, THREE, FOUR = (NodeId(digit * 16) for digit in "1234")


def member(node: NodeId, state: str = "alive", part: str = "voter") -> NodeReport:
    return NodeReport(node, f"node-{node[0]}", "10.0.0.1", 7470, state, part, 1, 0, 1.0, (), "")


def gone(node: NodeId, seconds: float, name: str = "three") -> MissingVoter:
    return MissingVoter(node, name, seconds)


HEALTHY = StatusReport(
    1, "c" * 16, ONE, ONE, 4, 1, "/nas", tuple(map(member, (ONE, TWO, THREE))), (), 3
)
ONE_GONE = evolve(
    HEALTHY,
    survives=0,
    nodes=(member(ONE), member(TWO), member(THREE, "dead")),
    missing=(gone(THREE, 200.0),),
)
LOST = evolve(
    ONE_GONE,
    master=NodeId(""),
    lacks=1,
    log_term=4,
    log_index=57,
    nodes=(member(ONE), member(TWO, "dead"), member(THREE, "dead")),
    missing=(gone(TWO, 4.0, "two"), gone(THREE, 7300.0)),
)


def test_a_healthy_cluster_says_how_many_may_go() -> None:
    assert survival(HEALTHY) == "Survives the loss of: 1 node."
    assert survival(evolve(HEALTHY, survives=2, voters=5)) == "Survives the loss of: 2 nodes."


def test_a_small_cluster_says_what_is_missing_to_survive() -> None:
    alone = evolve(HEALTHY, survives=0, voters=1, nodes=(member(ONE),))
    assert survival(alone) == (
        "Survives the loss of: 0 nodes.  Three nodes survive the loss of any one."
    )
    growing = evolve(HEALTHY, survives=0, voters=1)
    assert "they become voters in a moment" in survival(growing)


def test_a_missing_voter_is_named_with_its_time_and_the_remedy() -> None:
    assert survival(ONE_GONE).splitlines() == [
        "Survives the loss of: 0 nodes.",
        "Missing voters: 1 of 3: three (for 3 min).",
        "Start it again (nanoboost up), or add a node (nanoboost up --join): it takes the place of "
        "whoever stays away.",
    ]
    with_learner = evolve(ONE_GONE, nodes=(*ONE_GONE.nodes, member(FOUR, part="learner")))
    assert "or wait: another node takes the place" in survival(with_learner)


def test_a_lost_quorum_names_all_that_are_missing_and_how_many_must_come_back() -> None:
    assert survival(LOST).splitlines() == [
        "No master: more than half of the voters are missing.  What runs is finished and kept; "
        "nothing new starts.",
        "Missing voters: 2 of 3: two (for 4 s), three (for 2 h).",
        "Start 1 of them again (nanoboost up).  If that can never be: stop the node that knows "
        "most, nanoboost recover there, then start it.",
        "The log of node-1 ends in term 4 at entry 57; a later term, then a later entry, knows "
        "more.",
    ]


def test_who_is_unknown_is_called_by_its_id_and_who_was_never_seen_has_no_time() -> None:
    report = evolve(LOST, missing=(gone(TWO, -1.0, ""), gone(THREE, 86400 * 3.0)))
    assert f"node {TWO} (since before this node started), three (for 3 d)" in survival(report)


def test_an_election_is_no_loss() -> None:
    assert survival(evolve(HEALTHY, master=NodeId(""))) == "No master: an election is running."


def test_a_node_without_the_log_says_that_it_cannot_tell() -> None:
    report = evolve(HEALTHY, master=NodeId(""), voters=0)
    assert "has no copy of the log: ask another one" in survival(report)


def test_counters_are_shown_with_the_names_of_the_nodes_or_as_one_object(
    capsys: pytest.CaptureFixture[str],
) -> None:
    measures = (Measure("elections_won", 2.0), Measure(f"peers.{TWO}.lag", 0.5))
    report = CountersReport(1, ONE, measures)
    show_counters(report, {ONE: "one", TWO: "two"}, as_json=False)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        ["counted", "by", "one,", "since", "its", "start"],
        ["elections_won", "2"],
        ["peers.two.lag", "0.5"],
    ]
    show_counters(report, {}, as_json=True)
    assert json.loads(capsys.readouterr().out) == {
        "node": ONE,
        "measures": {"elections_won": 2.0, f"peers.{TWO}.lag": 0.5},
    }


def test_programs_get_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    show_status(LOST, as_json=True)
    told = capsys.readouterr().out
    assert '"lacks": 1' in told
    assert '{"node": "2222222222222222", "name": "two", "gone_s": 4.0}' in told
