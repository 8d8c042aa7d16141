"""TLS with real credentials, in memory: members come in, strangers do not, either way round."""

import os
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL
from twisted.internet.address import IPv4Address
from twisted.internet.protocol import Factory

from nanoboost.errors import UserError
from nanoboost.ids import NodeId
from nanoboost.net import session as limits
from nanoboost.net.client import connect
from nanoboost.net.credential import Credential, Identity, _self_signed, create, load, replace
from nanoboost.net.dial import dial
from nanoboost.net.port import GREETINGS_PER_HOST_MAX, Port
from nanoboost.net.session import Owner, Session
from nanoboost.net.tls import PinnedTls, _use
from nanoboost.wire.frame import pack
from nanoboost.wire.messages import PROTOCOL_VERSION, Hello
from tests.net.network import (
    CATALOG,
    PORT,
    A,
    B,
    Half,
    Network,
    Plain,
    Raw,
    Say,
    Told,
    an_end,
    at,
    outcome,
)


@cache
def credential(name: str) -> Credential:
    """A credential in memory; the same one for the same name."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _self_signed(key)
    only = Identity(key, certificate)
    return Credential("cluster.pem", (only,), frozenset({only.fingerprint}))


@pytest.fixture
def told(network: Network) -> Told:
    """What node A is told, which listens at PORT with our credential."""
    return listen(network, credential("ours"))


def listen(network: Network, holds: Credential) -> Told:
    told = Told()
    owner = Owner(told.hear_opened, told.hear, told.hear_closed)
    end = an_end(network, A, PinnedTls(holds, network))
    network.port = Port(end, owner)  # type: ignore[attr-defined]
    end.server_endpoint(at(PORT)).listen(network.port)  # type: ignore[attr-defined]
    return told


def dialled(network: Network, security: Any, told: Told | None = None) -> Any:
    """The session that node B opens with A, or why there is none."""
    told = told or Told()
    result = outcome(dial(an_end(network, B, security), at(PORT), A, told.hear, told.hear_closed))
    network.settle()
    return result[0] if result else None


def reason(found: Any) -> str:
    assert not isinstance(found, Session)
    return limits.why(found)


class Stranger(PinnedTls):
    """TLS as an attacker would set it up: believes everybody."""

    def __init__(self, network: Network, holds: Credential | None, *, newest: int = 0) -> None:
        super().__init__(holds or credential("ours"), network)
        self.cluster = credential("ours").cluster
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_verify(SSL.VERIFY_NONE, lambda *_: True)
        if holds is not None:
            _use(context, holds)
        if newest:
            context.set_max_proto_version(newest)
        self._connections._context = context


# --- members -------------------------------------------------------------------------------------


def test_members_talk_and_nothing_is_in_the_clear(network: Network, told: Told) -> None:
    session = dialled(network, PinnedTls(credential("ours"), network))
    assert isinstance(session, Session)
    session.send(Say("the recipe"))
    network.settle()
    assert told.received == [(B, Say("the recipe"))]
    assert all(b"recipe" not in half.written for half in network.halves)


def test_large_messages_and_many_of_them(network: Network, told: Told) -> None:
    session = dialled(network, PinnedTls(credential("ours"), network))
    said = [Say(str(number) + "x" * 200_000) for number in range(10)]
    for each in said:
        session.send(each)
    network.settle()
    assert [message for _, message in told.received] == said


def test_a_polite_end_flushes_what_was_said(network: Network, told: Told) -> None:
    session = dialled(network, PinnedTls(credential("ours"), network))
    session.send(Say("last"))
    session.close()
    network.settle()
    assert told.received == [(B, Say("last"))]
    assert len(told.closed) == 1
    assert network.getDelayedCalls() == []


def test_a_slow_reader_is_dropped_under_tls_too(network: Network, told: Told) -> None:
    session = dialled(network, PinnedTls(credential("ours"), network))
    network.halves[0].stuck = True
    for _ in range(20):
        session.send(Say("x" * 900_000))
        network.settle()
    assert session.state is limits.State.CLOSED
    assert network.halves[0].closed


def test_a_second_credential_can_be_accepted_too(network: Network) -> None:
    """While a new credential is brought in, both are."""
    old, new = credential("ours"), credential("new")
    both = old.accepted | new.accepted
    told = listen(network, evolve(old, accepted=both))
    security = PinnedTls(evolve(new, accepted=both), network)
    security.cluster = old.cluster
    assert isinstance(dialled(network, security), Session)
    assert len(told.opened) == 1


def test_the_credential_is_changed_while_it_is_used(network: Network, tmp_path: Path) -> None:
    """Step by step at the one end, then at the other; then the old one is a stranger's."""
    here = create(str(tmp_path / "here.pem"))
    shutil.copy(here.path, tmp_path / "there.pem")
    there = load(str(tmp_path / "there.pem"))
    securities = [PinnedTls(here, network), PinnedTls(there, network)]
    told = Told()
    end = an_end(network, A, securities[0])
    port: Any = Port(end, Owner(told.hear_opened, told.hear, told.hear_closed))
    listening: Any = end.server_endpoint(at(PORT))
    listening.listen(port)
    prepared = here.with_successor()
    for step in (prepared, prepared.promoted(), prepared.promoted().settled()):
        for security in securities:
            security.rekey(step.pem())
            assert isinstance(dialled(network, securities[1]), Session)
    assert {load(str(tmp_path / name)).fingerprints for name in ("here.pem", "there.pem")} == {
        (prepared.fingerprints[1],)
    }
    assert securities[0].datagram_keys() == securities[1].datagram_keys()
    assert not isinstance(dialled(network, PinnedTls(there, network)), Session)


def test_a_step_that_cannot_be_written_is_not_taken(network: Network, tmp_path: Path) -> None:
    found = create(str(tmp_path / "cluster.pem"))
    security = PinnedTls(found, network)
    os.unlink(found.path)
    with pytest.raises(UserError, match="cannot be written"):
        security.rekey(found.with_successor().pem())
    assert security.fingerprints == found.fingerprints


def test_what_another_process_has_changed_is_taken_up(network: Network, tmp_path: Path) -> None:
    found = create(str(tmp_path / "cluster.pem"))
    security = PinnedTls(found, network)
    new = found.with_successor().promoted()
    replace(new)
    security.refresh()
    assert security.fingerprints == new.fingerprints
    os.unlink(found.path)
    security.refresh()
    create(found.path)
    security.refresh()
    assert security.fingerprints == new.fingerprints, "of no file, nor of another cluster"


# --- strangers -----------------------------------------------------------------------------------


def test_a_strangers_certificate_is_refused_by_us(network: Network, told: Told) -> None:
    """The stranger believes us; we do not believe him, and he hears nothing."""
    found = dialled(network, Stranger(network, credential("stranger")))
    assert "unknown ca" in reason(found) or "certificate" in reason(found)
    assert told == Told()


def test_a_strangers_certificate_is_refused_by_a_dialling_member(network: Network) -> None:
    told = listen(network, credential("ours"))
    network.ports.clear()
    stranger = Stranger(network, credential("stranger"))
    heard: list[bytes] = []
    protocol = Raw()
    protocol.dataReceived = heard.append  # type: ignore[method-assign,assignment]
    factory = stranger.factory(Factory.forProtocol(lambda: protocol), is_client=False)
    network.listenTCP(PORT, factory)
    found = dialled(network, PinnedTls(credential("ours"), network))
    assert "certificate verify failed" in reason(found)
    assert heard == [], "not even the Hello was said to him"
    assert told == Told()


def test_without_a_certificate_nobody_comes_in(network: Network, told: Told) -> None:
    found = dialled(network, Stranger(network, None))
    assert "certificate required" in reason(found)
    assert told == Told()


def test_tls_1_2_is_refused_even_with_the_credential(network: Network, told: Told) -> None:
    found = dialled(network, Stranger(network, credential("ours"), newest=SSL.TLS1_2_VERSION))
    assert "protocol version" in reason(found)
    assert told == Told()


def test_the_control_the_strangers_tls_works_with_the_credential(
    network: Network, told: Told
) -> None:
    assert isinstance(dialled(network, Stranger(network, credential("ours"))), Session)


PLAIN = {
    "a frame": pack(CATALOG.encode(Hello(PROTOCOL_VERSION, "0" * 16, B, A))),
    "HTTP": b"GET / HTTP/1.1\r\nHost: here\r\n\r\n",
    "noise": bytes(range(256)),
    "half a greeting": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}


@pytest.mark.parametrize("data", PLAIN.values(), ids=PLAIN)
def test_without_tls_nobody_comes_in(network: Network, told: Told, data: bytes) -> None:
    stranger = network.raw(PORT)
    assert stranger.transport is not None
    stranger.transport.write(data)
    network.advance(limits.HELLO_S)
    assert stranger.lost is not None
    assert len(stranger.heard) < 10, "at most an alert"
    assert told == Told()


def test_a_stranger_who_stays_silent_is_dropped(network: Network, told: Told) -> None:
    stranger = network.raw(PORT)
    network.advance(limits.HELLO_S - 0.1)
    assert stranger.lost is None
    network.advance(0.1)
    assert stranger.lost is not None


def test_a_member_who_stays_silent_is_dropped(network: Network, told: Told) -> None:
    silent = Raw()
    tls = PinnedTls(credential("ours"), network).factory(
        Factory.forProtocol(lambda: silent), is_client=True
    )
    network.join(
        tls.buildProtocol(IPv4Address("TCP", "127.0.0.1", PORT)), network.ports[PORT], PORT
    )
    network.advance(limits.HELLO_S)
    assert silent.lost is not None
    assert told == Told()


def test_too_many_handshakes_are_hung_up_on_before_tls(network: Network, told: Told) -> None:
    network.source = "192.168.1.66"
    strangers = [network.raw(PORT) for _ in range(GREETINGS_PER_HOST_MAX + 5)]
    network.settle()
    assert [each.lost is None for each in strangers].count(True) == GREETINGS_PER_HOST_MAX


# --- what the user is told -----------------------------------------------------------------------


def complaint(network: Network, security: Any) -> str:
    result = outcome(connect(network, security, CATALOG, at(PORT), 3.0))
    network.settle()
    (failure,) = result
    failure.trap(UserError)
    return str(failure.value)


def test_the_user_with_another_credential_is_told(network: Network, told: Told) -> None:
    text = complaint(network, PinnedTls(credential("other"), network))
    assert text.startswith("127.0.0.1:7470 holds another cluster's credential: copy cluster.pem")


def test_the_user_who_asks_something_else_is_told(network: Network) -> None:
    network.listenTCP(PORT, Factory.forProtocol(lambda: Talker(b"220 mail.example ESMTP\r\n")))
    text = complaint(network, PinnedTls(credential("ours"), network))
    assert text.startswith("127.0.0.1:7470 is not a NanoBoost node (TLS: ")


class Talker(Raw):
    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._data = data

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(self._data)


def test_relayed_tls_back_to_the_dialler_gets_nowhere(network: Network, told: Told) -> None:
    """Without any key, an attacker leads A's connection to B back to A: TLS accepts, Hello not."""

    class Relay(Raw):
        def connectionMade(self) -> None:
            self.far = network.raw(PORT)
            self.far.dataReceived = self.transport.write  # type: ignore[method-assign,union-attr]

        def dataReceived(self, data: bytes) -> None:
            self.far.transport.write(data)  # type: ignore[union-attr]

    network.listenTCP(1, Factory.forProtocol(Relay))
    end = an_end(network, A, PinnedTls(credential("ours"), network))
    result = outcome(dial(end, at(1), B, told.hear, told.hear_closed))
    network.settle()
    assert "this peer is this node itself" in reason(result[0])
    assert told == Told()


def test_files_make_the_same_cluster(tmp_path: Path, network: Network) -> None:
    made = create(str(tmp_path / "cluster.pem"))
    told = listen(network, made)
    assert isinstance(dialled(network, PinnedTls(made, network)), Session)
    assert told.opened[0].peer == NodeId(B)
    assert Plain.cluster != made.cluster
    assert isinstance(network.halves[0], Half)
