"""The options of a node: names become numbers, and what cannot be is told before anything runs."""

import socket
import sys
from pathlib import Path

import pytest
from twisted.python.usage import UsageError

from nanoboost import tap
from nanoboost.cli.local import LocalCluster
from nanoboost.errors import UserError
from nanoboost.ids import Address
from nanoboost.runtime import Network


@pytest.fixture
def cluster(tmp_path: Path) -> LocalCluster:
    return LocalCluster(tmp_path)


def parsed(cluster: LocalCluster, *options: str) -> tap.Options:
    found = tap.Options()
    required = f"--nas={cluster.nas}", f"--credential={cluster.credential}"
    found.parseOptions([*required, f"--state={cluster.state('x')}", *options])
    return found


def test_names_become_numbers(cluster: LocalCluster) -> None:
    config = parsed(
        cluster, "--listen=localhost:0", "--advertise=localhost", "--join=localhost:9"
    ).config
    assert config.listen == Address("127.0.0.1", 0)
    assert config.advertise_host == "127.0.0.1"
    assert config.seeds == (Address("127.0.0.1", 9),)


@pytest.mark.parametrize(
    ("found", "number"), [(("::1", "127.0.0.1"), "127.0.0.1"), (("::1", "::2"), "::1")]
)
def test_a_name_with_both_kinds_of_numbers_means_ipv4(
    cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch, found: tuple[str, ...], number: str
) -> None:
    def answer(_host: str, port: int, **_hints: object) -> list[object]:
        kinds = {host: socket.AF_INET6 if ":" in host else socket.AF_INET for host in found}
        return [(kind, socket.SOCK_STREAM, 6, "", (host, port)) for host, kind in kinds.items()]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    config = parsed(cluster, "--listen=127.0.0.1:0", "--advertise=pi", "--join=pi:9").config
    assert config.seeds == (Address(number, 9),)
    assert config.advertise_host == number


@pytest.mark.parametrize("option", ["--listen", "--advertise", "--join"])
def test_a_name_that_nobody_knows_is_told(
    cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    numbers = socket.getaddrinfo

    def only_numbers(host: str, *rest: object, **hints: int) -> object:
        if host == "nowhere":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return numbers(host, *rest, **hints)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", only_numbers)
    with pytest.raises(UsageError, match=r"^nowhere: Name or service not known"):
        parsed(cluster, "--listen=127.0.0.1:0", f"{option}=nowhere")


def test_a_look_at_the_nas_that_fails_is_told_by_its_last_line(
    cluster: LocalCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho first >&2\necho 'ImportError: no cbor2' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    with pytest.raises(UserError, match=r"cannot be looked at: ImportError: no cbor2$"):
        tap.check_nas(str(cluster.nas), "c" * 16)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_port_that_another_has_is_found_before_the_node_starts(
    cluster: LocalCluster, kind: socket.SocketKind
) -> None:
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        with pytest.raises(UsageError, match="in use"):
            parsed(cluster, f"--listen=127.0.0.1:{taken.getsockname()[1]}")


# --- finding the cluster -------------------------------------------------------------------------


def test_join_auto_names_nobody_and_founds_nothing(cluster: LocalCluster) -> None:
    config = parsed(cluster, "--listen=127.0.0.1:0", "--join=auto").config
    assert (config.seeds, config.waits) == ((), True)
    both = parsed(cluster, "--listen=127.0.0.1:0", "--join=auto", "--join=127.0.0.1:9").config
    assert (both.seeds, both.waits) == ((Address("127.0.0.1", 9),), True)
    assert not parsed(cluster, "--listen=127.0.0.1:0").config.waits


class NoRoute:
    """A socket on a machine without a default route."""

    def __init__(self, *_kind: object) -> None:
        pass

    def __enter__(self) -> "NoRoute":
        return self

    def __exit__(self, *_exception: object) -> None:
        pass

    def connect(self, _where: object) -> None:
        raise OSError(101, "Network is unreachable")


def test_without_a_route_it_is_the_address_of_the_lan(monkeypatch: pytest.MonkeyPatch) -> None:
    around = [
        Network("127.0.0.1", "127.255.255.255", is_loopback=True),
        Network("192.168.1.7", "192.168.1.255", is_loopback=False),
    ]
    monkeypatch.setattr("nanoboost.tap.socket.socket", NoRoute)
    monkeypatch.setattr(tap, "networks", lambda: tuple(around))
    anywhere = Address("0.0.0.0", 7470)
    assert tap._own_host(anywhere) == "192.168.1.7"
    del around[1]
    assert tap._own_host(anywhere) == "127.0.0.1"
    assert tap._own_host(Address("10.0.0.1", 7470)) == "10.0.0.1"


def test_a_node_that_nobody_could_reach_joins_nothing(
    cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Pi that boots faster than its Wi-Fi would tell others to find it at their own loopback."""
    monkeypatch.setattr(tap, "_own_host", lambda _: "127.0.0.1")
    with pytest.raises(UsageError, match="on no network yet"):
        parsed(cluster, "--listen=0.0.0.0:0", "--join=auto")
    assert parsed(cluster, "--listen=0.0.0.0:0", "--join=auto", "--advertise=10.0.0.1").config
    assert parsed(cluster, "--listen=127.0.0.1:0", "--join=auto").config
