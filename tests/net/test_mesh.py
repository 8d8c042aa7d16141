"""The mesh: who may say what to whom, questions, and the end."""

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from nanoboost.errors import LocalError, RemoteError, UserError
from nanoboost.ids import Address, NodeId
from nanoboost.net.dial import ANYBODY, NobodyThere, dial
from nanoboost.net.mesh import KNOCKS_S, Mesh
from nanoboost.wire.frame import pack
from nanoboost.wire.messages import GetStatus, MasterHere, NotMaster
from tests.net.network import (
    CATALOG,
    HERE,
    A,
    B,
    C,
    Network,
    Say,
    Told,
    a_runtime,
    an_end,
    at,
    outcome,
)


class One:
    """A node's mesh, and what it was told."""

    def __init__(self, network: Network, node: NodeId) -> None:
        self.mesh = Mesh(a_runtime(network), CATALOG, node, Address(HERE, 0))
        self.heard: list[tuple[NodeId, Any]] = []
        self.asked: list[Any] = []
        self.refused: list[NodeId] = []
        self.mesh.subscribe((Say,), self._hear)
        self.mesh.serve((GetStatus,), self._answer)
        self.mesh.on_refused(self.refused.append)
        self.met: list[NodeId] = []
        self.mesh.on_met(self.met.append)
        self.mesh.listen()
        self.mesh.startService()

    def _hear(self, sender: NodeId, message: Any) -> None:
        if message.text == "wrong":
            raise RemoteError("wrong")
        self.heard.append((sender, message.text))

    def _answer(self, session: Any, question: Any) -> None:
        self.asked.append(session)
        if question.request:
            session.send(NotMaster(question.request, session.peer, 0))


@pytest.fixture
def pair(network: Network) -> tuple[One, One]:
    """Nodes A and B, which know each other."""
    a, b = One(network, A), One(network, B)
    a.mesh.learn(B, b.mesh.address)
    b.mesh.learn(A, a.mesh.address)
    return a, b


def test_whoever_opens_a_session_is_met(network: Network, pair: tuple[One, One]) -> None:
    a, b = pair
    a.mesh.send(B, Say("to b"))
    network.settle()
    assert (a.met, b.met) == ([], [A])


def test_messages_go_both_ways_each_over_its_own_link(
    network: Network, pair: tuple[One, One]
) -> None:
    a, b = pair
    a.mesh.send(B, Say("to b"))
    b.mesh.send(A, Say("to a"))
    network.settle()
    assert (a.heard, b.heard) == ([(B, "to a")], [(A, "to b")])
    assert len(network.dialled) == 2


def test_what_is_said_to_an_unknown_node_is_lost(network: Network, pair: tuple[One, One]) -> None:
    pair[0].mesh.send(C, Say("anybody?"))
    network.settle()
    assert network.dialled == []


def test_what_is_said_to_ourselves_comes_later_and_in_order(
    network: Network, pair: tuple[One, One]
) -> None:
    a, _ = pair
    a.mesh.send(A, Say("one"))
    a.mesh.send(A, Say("two"))
    assert a.heard == []
    network.settle()
    assert a.heard == [(A, "one"), (A, "two")]
    with pytest.raises(LocalError, match="MasterHere has no receiver"):
        a.mesh.send(A, MasterHere(1))


def test_a_receiver_that_raises_does_not_silence_us(
    network: Network, pair: tuple[One, One]
) -> None:
    a, _ = pair
    a.mesh.send(A, Say("wrong"))
    a.mesh.send(A, Say("next"))
    with pytest.raises(RemoteError):
        network.settle()
    network.settle()
    a.mesh.send(A, Say("later"))
    network.settle()
    assert a.heard == [(A, "next"), (A, "later")]


def test_what_nobody_receives_drops_the_one_who_says_it(
    network: Network, pair: tuple[One, One]
) -> None:
    a, b = pair
    a.mesh.send(B, MasterHere(1))
    a.mesh.send(B, Say("never heard"))
    network.settle()
    assert b.heard == []
    assert all(half.closed for half in network.halves)


def test_a_client_may_ask_but_not_speak_as_a_node(network: Network, pair: tuple[One, One]) -> None:
    a, _ = pair
    told = Told()
    client = an_end(network, NodeId(""))
    result = outcome(dial(client, a.mesh.address, ANYBODY, told.hear, told.hear_closed))
    network.settle()
    result[0].send(GetStatus(5))
    network.settle()
    assert told.received == [(A, NotMaster(5, "", 0))]
    result[0].send(Say("I am the master"))
    network.settle()
    assert a.heard == []
    assert len(told.closed) == 1


def test_a_class_has_one_receiver(network: Network) -> None:
    a = One(network, A)
    with pytest.raises(LocalError, match="Say already has a receiver"):
        a.mesh.subscribe((Say,), lambda sender, message: None)
    with pytest.raises(LocalError, match="Say already has a receiver"):
        a.mesh.serve((Say,), lambda session, question: None)


def test_a_refused_connection_is_told(network: Network, pair: tuple[One, One]) -> None:
    a, b = pair
    del network.ports[b.mesh.address.port]
    a.mesh.send(B, Say("are you there?"))
    network.settle()
    assert a.refused == [B]


def test_an_address_that_another_node_has_taken_over_gets_nothing(
    network: Network, pair: tuple[One, One]
) -> None:
    a, b = pair
    squatter = One(network, C)
    network.ports[b.mesh.address.port] = network.ports.pop(squatter.mesh.address.port)
    a.mesh.send(B, Say("for b alone"))
    network.settle()
    assert squatter.heard == []
    assert b.heard == []


def test_a_node_whose_address_changed_is_reached_under_the_same_name(
    network: Network, pair: tuple[One, One]
) -> None:
    a, b = pair
    a.mesh.send(B, Say("one"))
    network.settle()
    port = b.mesh.address.port + 1000
    network.ports[port] = network.ports.pop(b.mesh.address.port)
    a.mesh.learn(B, at(port))
    a.mesh.send(B, Say("two"))
    network.settle()
    assert b.heard == [(A, "one"), (A, "two")]


def test_all_prove_anew_who_they_are_and_nothing_is_lost(
    network: Network, pair: tuple[One, One]
) -> None:
    a, b = pair
    a.mesh.send(B, Say("one"))
    b.mesh.send(A, Say("two"))
    network.settle()
    before = list(a.mesh._end.sessions)
    assert len(before) == 2
    a.mesh.renew()
    a.mesh.send(B, Say("three"))
    network.settle()
    network.advance(1.0)
    b.mesh.send(A, Say("four"))
    network.settle()
    network.advance(1.0)
    assert b.heard == [(A, "one"), (A, "three")]
    assert a.heard == [(B, "two"), (B, "four")]
    assert not set(before) & set(a.mesh._end.sessions)


def test_a_node_that_was_forgotten_gets_nothing_more(
    network: Network, pair: tuple[One, One]
) -> None:
    a, b = pair
    a.mesh.send(B, Say("one"))
    network.settle()
    a.mesh.forget(B)
    a.mesh.forget(C)
    a.mesh.send(B, Say("two"))
    network.settle()
    assert b.heard == [(A, "one")]
    assert all(half.closed for half in network.halves)


# --- questions -----------------------------------------------------------------------------------


def test_an_answer_comes_with_the_node_that_gave_it(
    network: Network, pair: tuple[One, One]
) -> None:
    a, b = pair
    answer = outcome(a.mesh.ask(b.mesh.address, GetStatus(3), 1.0))
    network.settle()
    assert answer == [(B, NotMaster(3, A, 0))]
    assert all(half.closed for half in network.halves), "its session served one question"
    assert network.getDelayedCalls() == []


def failed(result: list[Any], kind: type[RemoteError] = RemoteError) -> str:
    (failure,) = result
    assert type(failure.value) is kind
    return str(failure.value)


def test_nobody_there(network: Network, pair: tuple[One, One]) -> None:
    answer = outcome(pair[0].mesh.ask(at(9), GetStatus(3), 1.0))
    network.settle()
    assert failed(answer, NobodyThere).startswith("127.0.0.1:9: Connection was refused")


def test_no_answer(network: Network, pair: tuple[One, One]) -> None:
    a, b = pair
    answer = outcome(a.mesh.ask(b.mesh.address, GetStatus(0), 1.0))
    network.advance(0.9)
    assert answer == []
    network.advance(0.1)
    assert failed(answer) == f"{b.mesh.address}: no answer within 1 s"
    assert all(half.closed for half in network.halves)
    assert network.getDelayedCalls() == []


def test_no_connection(network: Network, pair: tuple[One, One]) -> None:
    network.silent = True
    answer = outcome(pair[0].mesh.ask(at(9), GetStatus(1), 1.0))
    network.advance(1.0)
    assert len(answer) == 1
    assert failed(answer)
    assert network.getDelayedCalls() == []


def test_a_connection_that_does_not_come_is_waited_for_less_long_than_an_answer(
    network: Network, pair: tuple[One, One]
) -> None:
    network.silent = True
    answer = outcome(pair[0].mesh.ask(at(9), GetStatus(1), 5.0))
    network.advance(KNOCKS_S)
    assert failed(answer)
    assert network.getDelayedCalls() == []


def test_a_question_to_ourselves_by_address_is_refused(
    network: Network, pair: tuple[One, One]
) -> None:
    a, _ = pair
    answer = outcome(a.mesh.ask(a.mesh.address, GetStatus(1), 1.0))
    network.settle()
    assert "is this node itself" in failed(answer)


def test_the_connection_breaks_before_the_answer(network: Network, pair: tuple[One, One]) -> None:
    a, b = pair
    answer = outcome(a.mesh.ask(b.mesh.address, GetStatus(0), 5.0))
    network.settle()
    network.drop_all()
    assert failed(answer).startswith(str(b.mesh.address))
    assert network.getDelayedCalls() == []


@pytest.mark.parametrize("silent", [True, False])
def test_a_question_can_be_taken_back(
    network: Network, pair: tuple[One, One], silent: bool
) -> None:
    a, b = pair
    network.silent = silent
    answer = a.mesh.ask(b.mesh.address, GetStatus(0), 5.0)
    result = outcome(answer)
    network.settle()
    answer.cancel()
    network.settle()
    assert len(result) == 1
    assert all(half.closed for half in network.halves)
    assert network.getDelayedCalls() == []


# --- beginning and end ---------------------------------------------------------------------------


def test_a_port_that_is_taken_is_named(network: Network) -> None:
    first = One(network, A)
    second = Mesh(a_runtime(network), CATALOG, B, first.mesh.address)
    with pytest.raises(UserError, match=r"port 40001 is in use on 127\.0\.0\.1: stop the program"):
        second.listen()


def test_at_the_end_nothing_is_left(network: Network, pair: tuple[One, One]) -> None:
    a, b = pair
    a.mesh.send(B, Say("one"))
    b.mesh.send(A, Say("two"))
    network.settle()
    a.mesh.send(A, Say("to myself"))
    stopped: Deferred[None] = a.mesh.stopService()
    result = outcome(stopped)
    assert result == []
    network.settle()
    assert result == [None]
    a.mesh.learn(C, at(1))
    a.mesh.send(C, Say("late"))
    outcome(b.mesh.stopService())
    network.settle()
    assert a.heard == [(B, "two")]
    assert network.getDelayedCalls() == []
    assert network.ports == {}


def test_a_peer_that_does_not_read_cannot_keep_us_from_ending(
    network: Network, pair: tuple[One, One]
) -> None:
    a, _ = pair
    a.mesh.send(B, Say("one"))
    network.settle()
    for half in network.halves:
        half.stuck = True
    result = outcome(a.mesh.stopService())
    network.advance(2.0)
    assert result == [None]


def test_garbage_from_one_node_leaves_the_others_alone(
    network: Network, pair: tuple[One, One]
) -> None:
    a, b = pair
    network.raw(a.mesh.address.port).transport.write(pack(b"\xff"))  # type: ignore[union-attr]
    b.mesh.send(A, Say("fine"))
    network.settle()
    assert a.heard == [(B, "fine")]
