"""Asking the cluster: patience while it may answer, one line at once when it never will."""

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from nanoboost.cli.cluster import PATIENCE_S, Cluster, Unreachable
from nanoboost.cli.finding import nas_here
from nanoboost.errors import UserError
from nanoboost.ids import Address, JobId, NodeId
from nanoboost.net.credential import create, load
from nanoboost.net.tls import PinnedTls
from nanoboost.wire.codec import evolve
from nanoboost.wire.messages import Cancel, Cancelled, GetJob, NodeReport, StatusReport

JOB = JobId("film-1")
REPORT = StatusReport(1, "c" * 16, NodeId("1" * 16), NodeId(""), 1, 0, "/no/nas", (), ())

failure_of = SynchronousTestCase().failureResultOf


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cluster(clock: Clock, tmp_path: Path) -> Cluster:
    """A cluster of which no node is known."""
    create(str(tmp_path / "cluster.pem"))
    return Cluster(clock, PinnedTls(load(str(tmp_path / "cluster.pem")), clock), [])


def ask(cluster: Cluster) -> "Deferred[Any]":
    return Deferred.fromCoroutine(cluster.ask(lambda request: Cancel(request, JOB), Cancelled))


def test_patience_ends(cluster: Cluster, clock: Clock) -> None:
    asked = ask(cluster)
    clock.pump([0.1] * int(PATIENCE_S * 10 - 1))
    assert not asked.called
    clock.pump([0.1] * 3)
    assert "does not answer" in failure_of(asked, Unreachable).getErrorMessage()


def test_an_abandoned_cluster_is_not_waited_for(cluster: Cluster, clock: Clock) -> None:
    asked = ask(cluster)
    cluster.abandon("the disk is full")
    clock.advance(0.1)
    assert failure_of(asked, UserError).getErrorMessage() == "the disk is full"


def test_an_answer_to_another_question_is_one_line(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def odd(_question: object) -> GetJob:
        return GetJob(1, JOB)

    monkeypatch.setattr(cluster, "ask_here", odd)
    assert "GetJob" in failure_of(ask(cluster), UserError).getErrorMessage()


def test_a_question_that_cannot_be_put_is_told_at_once(cluster: Cluster) -> None:
    def question(_request: int) -> Any:
        raise UserError("no job 'x'")

    asked = Deferred.fromCoroutine(cluster.ask(question, Cancelled))
    assert failure_of(asked, UserError).getErrorMessage() == "no job 'x'"


def test_the_right_answer_is_given(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = Cancelled(1, JOB, "cancelled")

    async def right(_question: object) -> Cancelled:
        return answer

    monkeypatch.setattr(cluster, "ask_here", right)
    assert SynchronousTestCase().successResultOf(ask(cluster)) is answer


def test_the_nas_is_where_the_user_says_or_where_the_node_has_it(tmp_path: Path) -> None:
    assert nas_here(str(tmp_path), REPORT) == tmp_path
    assert nas_here(None, evolve(REPORT, nas=str(tmp_path))) == tmp_path


def test_a_nas_that_is_elsewhere_on_this_machine_must_be_named() -> None:
    with pytest.raises(UserError, match=f"/no/nas, where node {REPORT.node} .*: say --nas DIR"):
        nas_here(None, REPORT)
    with pytest.raises(UserError, match=r"^/no/such is no directory"):
        nas_here("/no/such", REPORT)


def test_while_there_is_no_master_a_node_that_knows_the_voters_is_asked(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def node(digit: str, port: int, state: str) -> NodeReport:
        name = NodeId(digit * 16)
        return NodeReport(name, digit, "10.0.0.1", port, state, "", 1, 0, 1.0, (), "")

    agent, dead, voter, other = (
        node("1", 1, "alive"),
        node("2", 2, "dead"),
        node("3", 3, "alive"),
        node("4", 4, "alive"),
    )
    nodes = (agent, dead, voter, other)
    at = [agent]

    async def answer(_question: object) -> StatusReport:
        voters = 0 if at[0] is agent else 3
        return evolve(REPORT, node=at[0].node, nodes=nodes, voters=voters)

    async def connect(address: Address) -> None:
        at[0] = nodes[address.port - 1]

    monkeypatch.setattr(cluster, "ask_here", answer)
    monkeypatch.setattr(cluster, "_connect", connect)
    found: list[StatusReport] = []
    Deferred.fromCoroutine(cluster.status()).addCallback(found.append)
    assert [report.node for report in found] == [voter.node]
