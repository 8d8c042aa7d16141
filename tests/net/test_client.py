"""The command line's side: answers by number, and one line for whatever goes wrong."""

from typing import Any

import pytest
from twisted.internet.protocol import Factory, Protocol

from nanoboost.errors import UserError
from nanoboost.net.client import Client, connect
from nanoboost.net.port import Port
from nanoboost.net.session import Owner, Session
from nanoboost.wire.messages import GetStatus, NotMaster, RequestRefused
from tests.net.network import CATALOG, PORT, A, Network, Plain, Say, an_end, at, outcome


class Node:
    """Node A: keeps the questions, answers when told to."""

    def __init__(self, network: Network) -> None:
        self.questions: list[tuple[Session, Any]] = []
        owner = Owner(lambda _: None, self._hear, lambda _, reason: None)
        network.listenTCP(PORT, Port(an_end(network, A), owner))

    def _hear(self, session: Session, question: Any) -> None:
        self.questions.append((session, question))

    def say(self, message: Any) -> None:
        self.questions[-1][0].send(message)


@pytest.fixture
def node(network: Network) -> Node:
    return Node(network)


@pytest.fixture
def client(network: Network, node: Node) -> Client:
    result = outcome(connect(network, Plain(), CATALOG, at(PORT), 5.0))
    network.settle()
    (made,) = result
    assert isinstance(made, Client)
    return made


def complaint(result: list[Any]) -> str:
    (failure,) = result
    failure.trap(UserError)
    return str(failure.value)


def test_each_answer_goes_to_its_question(network: Network, node: Node, client: Client) -> None:
    first = outcome(client.ask(GetStatus(1), timeout_s=5))
    second = outcome(client.ask(GetStatus(2), timeout_s=5))
    network.settle()
    node.say(NotMaster(2, "", 0))
    node.say(NotMaster(7, "nobody asked", 0))
    node.say(RequestRefused(1, "no"))
    network.settle()
    assert first == [RequestRefused(1, "no")]
    assert second == [NotMaster(2, "", 0)]
    client.close()
    network.settle()
    assert network.getDelayedCalls() == []


def test_no_answer_in_time(network: Network, node: Node, client: Client) -> None:
    answer = outcome(client.ask(GetStatus(1), timeout_s=5))
    network.advance(5)
    assert complaint(answer) == "127.0.0.1:7470 has not answered within 5 s: is it overloaded?"
    node.say(NotMaster(1, "too late", 0))
    network.settle()
    assert client.session is not None


def test_the_node_dies(network: Network, node: Node, client: Client) -> None:
    answers = [outcome(client.ask(GetStatus(number), timeout_s=5)) for number in (1, 2)]
    network.settle()
    network.drop_all()
    for answer in answers:
        assert complaint(answer).startswith("127.0.0.1:7470 has closed the connection: ")
    late = outcome(client.ask(GetStatus(3), timeout_s=5))
    assert complaint(late) == "127.0.0.1:7470 has closed the connection"
    assert network.getDelayedCalls() == []


def test_closing_fails_what_is_unanswered(network: Network, client: Client) -> None:
    answer = outcome(client.ask(GetStatus(1), timeout_s=5))
    client.close()
    client.close()
    assert complaint(answer) == "the connection with 127.0.0.1:7470 was closed"


def test_a_question_can_be_taken_back(network: Network, node: Node, client: Client) -> None:
    question = client.ask(GetStatus(1), timeout_s=5)
    result = outcome(question)
    network.settle()
    question.cancel()
    assert len(result) == 1
    node.say(NotMaster(1, "", 0))
    network.settle()
    client.close()
    network.settle()
    assert network.getDelayedCalls() == []


def test_what_is_no_answer_ends_the_session(network: Network, node: Node, client: Client) -> None:
    answer = outcome(client.ask(GetStatus(1), timeout_s=5))
    network.settle()
    node.say(Say("buy now"))
    network.settle()
    assert complaint(answer) == "127.0.0.1:7470: Say is no answer"


def test_nobody_listens(network: Network) -> None:
    result = outcome(connect(network, Plain(), CATALOG, at(PORT), 5.0))
    network.settle()
    assert complaint(result) == "nobody listens at 127.0.0.1:7470: is a node running there?"


@pytest.mark.parametrize("silent", [True, False])
def test_nobody_answers(network: Network, silent: bool) -> None:
    """The machine is off; or something else listens there and says nothing."""
    network.silent = silent
    network.listenTCP(PORT, Factory.forProtocol(Protocol))
    result = outcome(connect(network, Plain(), CATALOG, at(PORT), 3.0))
    network.advance(3)
    assert complaint(result) == ("127.0.0.1:7470 does not answer within 3 s: is the machine on?")
    network.settle()
    assert network.getDelayedCalls() == []


def test_another_cluster(network: Network, node: Node) -> None:
    class Other(Plain):
        cluster = "f" * 16

    result = outcome(connect(network, Other(), CATALOG, at(PORT), 3.0))
    network.settle()
    assert complaint(result) == ("127.0.0.1:7470: refused: 'this peer belongs to another cluster'")
