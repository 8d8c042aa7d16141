"""The doctor at real nodes on loopback: all well, and each thing wrong that can be provoked."""

import contextlib
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.selectreactor import SelectReactor
from twisted.python.failure import Failure

from nanoboost.cli import doctor as module
from nanoboost.cli.diagnosis import Finding
from nanoboost.cli.doctor import examine
from nanoboost.cli.local import LocalCluster
from nanoboost.net.credential import create
from nanoboost.world.real import monotonic

pytestmark = pytest.mark.slow

AUTO = "--join=auto"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """Two nodes that are well."""
    with LocalCluster(tmp_path_factory.mktemp("pair"), profile="lan") as cluster:
        cluster.start("one")
        cluster.start("two", AUTO)
        cluster.wait(lambda: learners(cluster), "both to be members", 60.0)
        yield cluster


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    """One node."""
    with LocalCluster(tmp_path, profile="lan") as cluster:
        cluster.start("one")
        cluster.wait(cluster.master, "a master", 10.0)
        yield cluster


def learners(cluster: LocalCluster, others: int = 1) -> bool:
    """Whether so many others are members, as learners or voters."""
    members = [
        {*each["voters"].split(), *each["learners"].split()}
        for each in cluster.records("one", "voters")
    ]
    return bool(members) and len(members[-1]) == 1 + others


def findings(
    cluster: LocalCluster, *, node: str | None = None, credential: Path | None = None
) -> list[Finding]:
    """What the doctor says, called on a machine with the credential alone."""
    reactor = monotonic(SelectReactor())
    told: list[Finding] = []
    failures: list[Failure] = []

    def begin() -> None:
        examination = examine(
            reactor,
            str(credential or cluster.credential),
            node or str(cluster.address("one")),
            str(cluster.directory / "nowhere"),
            None,
            told.append,
        )
        doing = Deferred.fromCoroutine(examination)
        doing.addErrback(failures.append).addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(begin)
    reactor.run(installSignalHandlers=False)
    for failure in failures:
        failure.raiseException()
    return told


def wrong(told: list[Finding]) -> dict[str, str]:
    return {each.check: each.text for each in told if each.is_wrong}


def test_nothing_is_wrong(pair: LocalCluster) -> None:
    told = findings(pair)
    assert wrong(told) == {}
    told = [each for each in told if not each.may_be_meant]  # other clusters of this machine
    assert [each.check for each in told] == [
        "credential", "this machine", "calls", "node", "node", "names", "clocks", "members", "work"
    ]  # fmt: skip
    assert "both ways; answered by 2 nodes" in told[2].text


def test_as_a_user_calls_it(pair: LocalCluster) -> None:
    where = [f"--credential={pair.credential}", f"--state={pair.state('two')}"]
    done = subprocess.run(
        pair.command("doctor", *where), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert f"node at {pair.address('two')}" in done.stdout
    assert "is the cluster's NAS" in done.stdout
    assert "wrong" not in done.stdout
    os.chmod(pair.credential, 0o644)
    try:
        done = subprocess.run(
            pair.command("doctor", *where, "--json"), capture_output=True, text=True, check=False
        )
    finally:
        os.chmod(pair.credential, 0o600)
    assert done.returncode == 1
    assert "can be read by others" in done.stdout


def test_the_credential_is_another_clusters(pair: LocalCluster, tmp_path: Path) -> None:
    create(str(tmp_path / "other.pem"))
    found = wrong(findings(pair, credential=tmp_path / "other.pem"))
    assert "holds another cluster's credential" in found["node"]
    assert "calls" in found


def test_calls_do_not_get_through(pair: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "networks", tuple)
    found = wrong(findings(pair))
    assert list(found) == ["calls"]
    assert "neither multicast nor broadcast" in found["calls"]


def test_udp_is_blocked(pair: LocalCluster) -> None:
    """TCP is led to the node, and nobody answers at the same UDP port."""
    with relay(pair.address("one").port, socket.SOCK_STREAM) as port:
        found = wrong(findings(pair, node=f"127.0.0.1:{port}"))
    assert found["node"].endswith(f"127.0.0.1:{port}: TCP answers, UDP does not")


def test_tcp_is_blocked(pair: LocalCluster) -> None:
    with relay(pair.address("one").port, socket.SOCK_DGRAM) as port:
        found = wrong(findings(pair, node=f"127.0.0.1:{port}"))
    assert "UDP answers, TCP does not (nobody listens" in found["node"]


def test_nobody_listens_there(pair: LocalCluster) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    found = wrong(findings(pair, node=f"localhost:{port}"))
    assert found["node"].endswith(f":{port}: nobody listens: is a node running there?")


def test_nodes_with_one_name_a_lost_nas_a_killed_one_and_one_that_sleeps(
    cluster: LocalCluster,
) -> None:
    own = cluster.directory / "mount"
    shutil.copytree(cluster.nas, own)
    two = cluster.start("two", AUTO, "--name=one", f"--nas={own}")
    three = cluster.start("three", AUTO)
    cluster.wait(lambda: learners(cluster, 2), "all to be members", 40.0)
    shutil.rmtree(own)
    for _ in range(20):
        found = wrong(findings(cluster))
        if "work" in found:
            break
    assert found["work"].startswith("one gets no work: ")
    assert found["names"].startswith("2 nodes are called one: at 127.0.0.1:")
    cluster.kill("two")
    cluster.freeze("three")
    told = sorted(each.text for each in findings(cluster) if each.check == "node" and each.is_wrong)
    assert [text.partition(": ")[0] for text in told] == [f"one at {two}", f"three at {three}"]
    assert "nobody listens" in told[0]
    assert "does not answer" in told[1]


def test_two_clusters_were_founded_with_one_credential(cluster: LocalCluster) -> None:
    other = LocalCluster(cluster.directory / "else", profile="lan")
    with other:
        shutil.copy(cluster.credential, other.credential)
        other.start("two", f"--nas={cluster.nas}")
        other.wait(other.master, "a master", 10.0)
        found = wrong(findings(cluster))
    assert "follow different masters: two clusters" in found["members"]


@contextlib.contextmanager
def relay(port: int, kind: socket.SocketKind) -> Iterator[int]:
    """A port that leads to another, for TCP or UDP alone."""
    with socket.socket(socket.AF_INET, kind) as ear:
        ear.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            ear.listen()
        serve = _relay_streams if kind == socket.SOCK_STREAM else _relay_datagrams
        threading.Thread(target=serve, args=(ear, port), daemon=True).start()
        yield ear.getsockname()[1]


def _relay_streams(ear: socket.socket, port: int) -> None:
    def carry(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    with contextlib.suppress(OSError):
        while True:
            here, _ = ear.accept()
            there = socket.create_connection(("127.0.0.1", port))
            for ends in ((here, there), (there, here)):
                threading.Thread(target=carry, args=ends, daemon=True).start()


def _relay_datagrams(ear: socket.socket, port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as there, contextlib.suppress(OSError):
        while True:
            data, source = ear.recvfrom(2048)
            there.sendto(data, ("127.0.0.1", port))
            ear.sendto(there.recv(2048), source)
