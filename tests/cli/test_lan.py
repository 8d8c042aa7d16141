"""Asking the LAN with real sockets, on loopback: a node in a thread answers, or does not."""

import os
import select
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nanoboost.cli import lan as module
from nanoboost.cli.lan import BROADCAST, DIRECT, MULTICAST, ask_lan, check_founding
from nanoboost.config import NodeConfig
from nanoboost.errors import UserError
from nanoboost.gossip.beacon import BEACONS, Calling, Here, WhoIsHere
from nanoboost.gossip.discovery import BEACON_PORT, GROUP, beacon_seal
from nanoboost.gossip.seal import BOOT_BYTES
from nanoboost.ids import Address, NodeId
from nanoboost.net.credential import Credential, create
from nanoboost.runtime import Network

LOOPBACK = Network("127.0.0.1", "127.255.255.255", is_loopback=True)
NODE = NodeId("a" * 16)
WAIT_S = 1.2


class FakeNode:
    """Answers whoever asks, and calls; a thread of its own until it is closed."""

    def __init__(self, credential: Credential, *, hears_calls: bool = True, wall: float = 0.0):
        self._seal = beacon_seal(credential, os.urandom(BOOT_BYTES))
        self._wall = wall
        self._own = self._bound("127.0.0.1", 0)
        self.address = Address(*self._own.getsockname())
        self._ears = [self._own]
        if hears_calls:
            self._ears += [self._bound(GROUP, BEACON_PORT), self._bound("", BEACON_PORT)]
            member = socket.inet_aton(GROUP) + socket.inet_aton("127.0.0.1")
            self._ears[1].setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @staticmethod
    def _bound(host: str, port: int) -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind((host, port))
        return made

    def _serve(self) -> None:
        while not self._stop.is_set():
            for each in select.select(self._ears, [], [], 0.02)[0]:
                datagram, source = each.recvfrom(2048)
                message = self._seal.open(datagram)
                if message is not None and isinstance(BEACONS.decode(message), WhoIsHere):
                    here = Here(NODE, "fake", self.address, self._wall or time.time())
                    self._own.sendto(self._seal.close(BEACONS.encode(here)), source)

    def call(self) -> None:
        """Call out, once, by both ways."""
        said = self._seal.close(BEACONS.encode(Calling(NODE, "fake", self.address, False)))
        self._own.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        loopback = socket.inet_aton("127.0.0.1")
        self._own.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, loopback)
        for host in (GROUP, "127.255.255.255"):
            self._own.sendto(said, (host, BEACON_PORT))

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join()
        for each in self._ears:
            each.close()


@pytest.fixture
def ours(tmp_path: Path) -> Credential:
    return create(str(tmp_path / "ours.pem"))


@pytest.fixture
def theirs(tmp_path: Path) -> Credential:
    return create(str(tmp_path / "theirs.pem"))


@pytest.fixture
def node(ours: Credential) -> Iterator[FakeNode]:
    made = FakeNode(ours)
    yield made
    made.close()


def later(what: object, *calls: float) -> None:
    assert callable(what)
    for delay_s in calls:
        threading.Timer(delay_s, what).start()


def test_a_node_answers_by_every_way(ours: Credential, node: FakeNode) -> None:
    heard = ask_lan(ours, [LOOPBACK], WAIT_S, [node.address])
    assert {each.way for each in heard.replies} == {MULTICAST, BROADCAST, DIRECT}
    assert {each.here.node for each in heard.replies} == {NODE}
    assert {each.source for each in heard.replies} == {node.address}
    assert all(abs(each.ahead_s) < 1.0 for each in heard.replies)
    assert not heard.is_deaf


def test_it_is_over_once_enough_is_heard(ours: Credential, node: FakeNode) -> None:
    began = time.monotonic()
    ask_lan(ours, [LOOPBACK], 30.0, enough=lambda lan: bool(lan.replies))
    assert time.monotonic() - began < 15.0


def test_the_calls_of_others_are_heard_by_way(ours: Credential, node: FakeNode) -> None:
    later(node.call, 0.3)
    heard = ask_lan(ours, [LOOPBACK], WAIT_S)
    assert set(heard.calls) == {MULTICAST, BROADCAST}
    assert {said.node for calls in heard.calls.values() for _, said in calls} == {NODE}


def test_who_hears_no_calls_answers_what_is_for_it_alone(ours: Credential) -> None:
    node = FakeNode(ours, hears_calls=False)
    try:
        heard = ask_lan(ours, [LOOPBACK], WAIT_S, [node.address])
    finally:
        node.close()
    assert {each.way for each in heard.replies} == {DIRECT}


def test_a_port_that_nobody_answers(ours: Credential) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        heard = ask_lan(ours, [], 0.5, [Address(*silent.getsockname())])
    assert heard.replies == []


def test_another_credential_is_a_strangers_and_answers_nothing(
    ours: Credential, theirs: Credential
) -> None:
    stranger = FakeNode(theirs)
    try:
        later(stranger.call, 0.3)
        heard = ask_lan(ours, [LOOPBACK], WAIT_S, [stranger.address])
    finally:
        stranger.close()
    assert (heard.replies, heard.calls) == ([], {})
    assert heard.strangers == {"127.0.0.1": None}


def test_a_clock_that_never_was_set_is_seen(ours: Credential) -> None:
    node = FakeNode(ours, wall=1.0)
    try:
        heard = ask_lan(ours, [], 0.6, [node.address])
    finally:
        node.close()
    assert {round(each.ahead_s / 1e8) for each in heard.replies} == {-round(time.time() / 1e8)}


# --- founding ------------------------------------------------------------------------------------


def config(tmp_path: Path, **changes: object) -> NodeConfig:
    settings = {"name": "x", "state_dir": str(tmp_path / "state"), "nas_dir": "/nas"}
    return NodeConfig(**{**settings, "listen": Address("0.0.0.0", 0), **changes})  # type: ignore[arg-type]


def test_no_second_cluster_is_founded(
    ours: Credential,
    theirs: Credential,
    node: FakeNode,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """(Loopback stands for the LAN.)"""
    lan = Network("127.0.0.1", "127.255.255.255", is_loopback=False)
    monkeypatch.setattr(module, "networks", lambda: (lan,))
    with pytest.raises(UserError, match=f"fake at {node.address} is a node .*--join auto"):
        check_founding(config(tmp_path), ours)
    check_founding(config(tmp_path), theirs)
    check_founding(config(tmp_path, seeds=(node.address,)), ours)
    check_founding(config(tmp_path, waits=True), ours)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "node.db").touch()
    check_founding(config(tmp_path), ours)


def test_nobody_is_asked_on_loopback(
    ours: Credential, node: FakeNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "networks", lambda: (LOOPBACK,))
    check_founding(config(tmp_path, listen=Address("127.0.0.1", 0)), ours)
