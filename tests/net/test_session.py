"""Sessions: Hello, messages, and whatever a peer can do wrong.  (Time: test_signs_of_life.py.)"""

import re
from typing import cast

import pytest
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher

from nanoboost.errors import RemoteError
from nanoboost.ids import NodeId
from nanoboost.net import session as limits
from nanoboost.net.dial import ANYBODY, dial
from nanoboost.net.session import State
from nanoboost.wire.frame import FRAME_BYTES_MAX, pack
from nanoboost.wire.messages import PROTOCOL_VERSION, Hello, Keepalive, Refused
from tests.net.network import (
    CATALOG,
    CLUSTER,
    PORT,
    A,
    B,
    C,
    Network,
    Raw,
    Say,
    Told,
    an_end,
    at,
    dialled,
    halves,
    outcome,
)

GOOD = Hello(PROTOCOL_VERSION, CLUSTER, B, A)


# --- what is right -------------------------------------------------------------------------------


def test_both_ends_know_each_other_and_talk(network: Network, told: Told) -> None:
    here = Told()
    session = dialled(network, here)
    assert (session.peer, told.opened[0].peer) == (A, B)
    session.send(Say("one"))
    session.send(Say("two"))
    told.opened[0].send(Say("three"))
    network.settle()
    assert told.received == [(B, Say("one")), (B, Say("two"))]
    assert here.received == [(A, Say("three"))]


@pytest.mark.parametrize("wanted", [A, ANYBODY])
def test_a_client_has_no_name(network: Network, told: Told, wanted: NodeId) -> None:
    session = dialled(network, Told(), NodeId(""), wanted)
    assert (session.peer, told.opened[0].peer) == (A, "")


def test_messages_in_pieces_of_one_byte(network: Network, told: Told) -> None:
    stranger = network.raw(PORT)
    for byte in pack(CATALOG.encode(GOOD)) + pack(CATALOG.encode(Say("slowly"))):
        stranger.transport.write(bytes([byte]))  # type: ignore[union-attr]
    network.settle()
    assert told.received == [(B, Say("slowly"))]


def test_a_polite_end_flushes_what_was_said(network: Network, told: Told) -> None:
    here = Told()
    session = dialled(network, here)
    session.send(Say("last"))
    session.close()
    session.send(Say("too late"))
    network.settle()
    assert told.received == [(B, Say("last"))]
    assert len(told.closed) == len(here.closed) == 1
    assert network.getDelayedCalls() == []


def test_a_polite_end_is_forced_if_the_peer_does_not_read(network: Network, told: Told) -> None:
    session = dialled(network, Told())
    halves(network)[0].stuck = True
    session.send(Say("unread"))
    session.close()
    network.advance(limits.CLOSE_S - 0.1)
    assert not halves(network)[0].aborted
    network.advance(0.2)
    assert halves(network)[0].aborted
    assert network.getDelayedCalls() == []


# --- Hello ---------------------------------------------------------------------------------------

OTHER = "f" * 16
WRONG_HELLOS = {
    "another cluster": (Hello(PROTOCOL_VERSION, OTHER, B, A), "belongs to another cluster"),
    "no cluster": (Hello(PROTOCOL_VERSION, "", B, A), "belongs to another cluster"),
    "another node wanted": (Hello(PROTOCOL_VERSION, CLUSTER, B, C), "wants another node than aaaa"),
    "ourselves": (Hello(PROTOCOL_VERSION, CLUSTER, A, A), "is this node itself"),
    "no id": (Hello(PROTOCOL_VERSION, CLUSTER, NodeId("pi-1"), A), "has no proper node id"),
    "control characters": (
        Hello(PROTOCOL_VERSION, CLUSTER, NodeId("\x1b[2J" * 4), A),
        "has no proper node id",
    ),
    "a newer version": (Hello(PROTOCOL_VERSION + 1, CLUSTER, B, A), "speaks protocol 2, not 1"),
    "an older version": (Hello(0, CLUSTER, B, A), "speaks protocol 0, not 1"),
    "a negative version": (Hello(-(1 << 63), CLUSTER, B, A), "speaks protocol -9223"),
}


@pytest.mark.parametrize(("hello", "reason"), WRONG_HELLOS.values(), ids=WRONG_HELLOS)
def test_a_wrong_hello_is_refused_with_the_reason(
    network: Network, told: Told, hello: Hello, reason: str
) -> None:
    stranger = network.raw(PORT)
    stranger.say(hello, Say("let me in"))
    network.settle()
    (refused,) = stranger.messages
    assert isinstance(refused, Refused)
    assert reason in refused.reason
    assert stranger.lost is not None
    assert told == Told(), "nobody was told"


@pytest.mark.parametrize("first", [Say("hello"), Keepalive(), Refused("you")], ids=repr)
def test_nothing_is_believed_before_a_hello(network: Network, told: Told, first: object) -> None:
    stranger = network.raw(PORT)
    stranger.say(first, GOOD)
    network.settle()
    assert stranger.heard == b""
    assert stranger.lost is not None
    assert told == Told()


@pytest.mark.parametrize("again", [GOOD, Refused("no")], ids=["Hello", "Refused"])
def test_a_hello_comes_once(network: Network, told: Told, again: object) -> None:
    stranger = network.raw(PORT)
    stranger.say(GOOD, again)
    network.settle()
    assert told.why_closed == [f"{type(again).__name__} in the middle of a session"]


WRONG_ANSWERS = {
    "another node": (Hello(PROTOCOL_VERSION, CLUSTER, C, B), "is node cccc.*, not aaaa"),
    "a client": (Hello(PROTOCOL_VERSION, CLUSTER, NodeId(""), B), "is not a node"),
    "ourselves": (Hello(PROTOCOL_VERSION, CLUSTER, B, B), "is this node itself"),
    "to somebody else": (Hello(PROTOCOL_VERSION, CLUSTER, A, C), "answers somebody else"),
    "to nobody": (Hello(PROTOCOL_VERSION, CLUSTER, A, NodeId("")), "answers somebody else"),
    "another cluster": (Hello(PROTOCOL_VERSION, OTHER, A, B), "belongs to another cluster"),
    "another version": (Hello(7, CLUSTER, A, B), "speaks protocol 7"),
    "a refusal": (Refused("this peer \n\x1b[31m is \ud7ff red"), r"refused: 'this peer \\n\\x1b"),
    "something else": (Say("hi"), "Say before Hello"),
}


@pytest.mark.parametrize(("answer", "reason"), WRONG_ANSWERS.values(), ids=WRONG_ANSWERS)
def test_the_dialler_believes_nobody_either(network: Network, answer: object, reason: str) -> None:
    network.listenTCP(PORT, Factory.forProtocol(lambda: Raw((answer, Say("obey")))))
    told = Told()
    result = outcome(dial(an_end(network, B), at(PORT), A, told.hear, told.hear_closed))
    network.settle()
    (failure,) = result
    failure.trap(RemoteError)
    assert re.search(reason, str(failure.value))
    assert told == Told()
    assert network.halves[0].closed


class Relay(Protocol):
    """Carries all bytes to another port and back."""

    def __init__(self, network: Network, port: int) -> None:
        self._far = network.raw(port)
        self._far.dataReceived = self._back  # type: ignore[method-assign]

    def dataReceived(self, data: bytes) -> None:
        self._far.transport.write(data)  # type: ignore[union-attr]

    def _back(self, data: bytes) -> None:
        self.transport.write(data)  # type: ignore[union-attr]


@pytest.mark.parametrize("wanted", [B, ANYBODY])
def test_a_relay_back_to_the_dialler_gets_nowhere(
    network: Network, told: Told, wanted: NodeId
) -> None:
    """A dials B; somebody in between leads the connection back to A itself ("Selfie")."""
    network.listenTCP(1, Factory.forProtocol(lambda: Relay(network, PORT)))
    result = outcome(dial(an_end(network, A), at(1), wanted, told.hear, told.hear_closed))
    network.settle()
    assert "this peer is this node itself" in str(result[0].value)
    assert told == Told()


def test_a_relay_to_another_member_gets_nowhere(network: Network, told: Told) -> None:
    network.listenTCP(1, Factory.forProtocol(lambda: Relay(network, PORT)))
    result = outcome(dial(an_end(network, B), at(1), C, told.hear, told.hear_closed))
    network.settle()
    assert "wants another node than aaaa" in str(result[0].value)
    assert told == Told()


# --- strangers and broken peers ------------------------------------------------------------------

GARBAGE = {
    "HTTP": b"GET / HTTP/1.1\r\nHost: here\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "a frame of 0 bytes": bytes(4),
    "a frame that is too large": (FRAME_BYTES_MAX + 1).to_bytes(4, "big"),
    "a frame of 4 GiB": b"\xff" * 4,
    "no CBOR": pack(b"\xff"),
    "a CBOR tag": pack(b"\xc0\x81\x01"),
    "an unknown message": pack(b"\x81\x18\x7f"),
}


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE)
@pytest.mark.parametrize("is_open", [False, True], ids=["before Hello", "after Hello"])
def test_garbage_costs_only_that_connection(
    network: Network, told: Told, data: bytes, is_open: bool
) -> None:
    session = dialled(network, Told())
    stranger = network.raw(PORT)
    if is_open:
        stranger.say(Hello(PROTOCOL_VERSION, CLUSTER, C, A))
    assert stranger.transport is not None
    stranger.transport.write(data)
    network.settle()
    assert stranger.lost is not None
    assert len(stranger.messages) == is_open, "only the Hello was answered"
    session.send(Say("still here"))
    network.settle()
    assert told.received == [(B, Say("still here"))]


def test_a_silent_peer_is_dropped(network: Network, told: Told) -> None:
    stranger = network.raw(PORT)
    network.advance(limits.HELLO_S - 0.1)
    assert stranger.lost is None
    network.advance(0.1)
    assert stranger.lost is not None


def test_a_peer_that_never_completes_its_hello_is_dropped(network: Network, told: Told) -> None:
    stranger = network.raw(PORT)
    assert stranger.transport is not None
    stranger.transport.write(pack(CATALOG.encode(GOOD))[:-1])
    for _ in range(6):
        network.advance(limits.HELLO_S / 6)
    assert stranger.lost is not None
    assert told == Told()


def test_what_the_owner_finds_wrong_drops_the_peer(network: Network, told: Told) -> None:
    stranger = network.raw(PORT)
    stranger.say(GOOD, Say("right"), Say("wrong"), Say("never heard"))
    network.settle()
    assert told.received == [(B, Say("right"))]
    assert told.why_closed == ["wrong"]
    assert stranger.lost is not None


def test_a_slow_reader_is_dropped(network: Network, told: Told) -> None:
    session = dialled(network, Told())
    halves(network)[0].stuck = True
    large = Say("x" * (FRAME_BYTES_MAX // 2))
    for _ in range(limits.UNSENT_BYTES_MAX * 2 // FRAME_BYTES_MAX - 1):
        session.send(large)
    assert not halves(network)[0].aborted
    session.send(large)
    assert halves(network)[0].aborted
    network.settle()
    assert network.getDelayedCalls() == []


def test_a_reader_that_catches_up_is_kept(network: Network, told: Told) -> None:
    session = dialled(network, Told())
    large = Say("x" * (FRAME_BYTES_MAX // 2))
    for _ in range(3):
        halves(network)[0].stuck = True
        for _ in range(limits.UNSENT_BYTES_MAX * 2 // FRAME_BYTES_MAX - 1):
            session.send(large)
        halves(network)[0].read_again()
    network.settle()
    assert session.state is State.OPEN
    assert len(told.received) == 3 * (limits.UNSENT_BYTES_MAX * 2 // FRAME_BYTES_MAX - 1)


# --- the log -------------------------------------------------------------------------------------


def test_strangers_fill_no_log(network: Network, told: Told) -> None:
    lines: list[LogEvent] = []
    observer = cast(ILogObserver, lines.append)
    globalLogPublisher.addObserver(observer)
    try:
        for number in range(30):
            network.raw(PORT).transport.write(bytes(4))  # type: ignore[union-attr]
            network.advance(0.1 if number else 0.0)
    finally:
        globalLogPublisher.removeObserver(observer)
    ours = [line for line in lines if "dropped" in line["log_format"]]
    assert 2 <= len(ours) <= 4
    assert ours[0]["reason"] == f"frame of 0 bytes, limit {FRAME_BYTES_MAX}"
    assert ours[1]["more"].startswith(" (and ")
