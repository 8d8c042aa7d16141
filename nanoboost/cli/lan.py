"""Asking the LAN from outside a node: who of the cluster is here, and which ways to it are open.

Blocking, for a second or two: only for commands, before anything else runs.  **Nobody is believed
who cannot unseal the question**; whoever calls out and is not understood is counted as a stranger.
"""

import contextlib
import os
import select
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from nanoboost.config import NodeConfig
from nanoboost.errors import RemoteError, UserError
from nanoboost.gossip.beacon import BEACONS, Calling, Here, WhoIsHere
from nanoboost.gossip.discovery import ANYWHERE, BEACON_PORT, GROUP, Keys, beacon_seal
from nanoboost.gossip.seal import BEACON_MAGIC, BOOT_BYTES
from nanoboost.ids import Address
from nanoboost.net.credential import Credential
from nanoboost.runtime import Network
from nanoboost.world.host import networks

MULTICAST, BROADCAST, DIRECT = "multicast", "broadcast", "direct"
FOUNDING_S = 1.0
"""How long a node listens for the cluster before it founds one."""
ASK_AGAIN_S = (0.0, 0.35, 0.8)
"""Datagrams get lost, and nodes answer nobody twice within 0.3 s."""


@frozen
class Reply:
    """`here` came from `source` to a question that went out by `way`; its clock is ahead by
    `ahead_s` seconds."""

    here: Here
    source: Address
    way: str
    ahead_s: float


@define
class Lan:
    """What was heard."""

    replies: list[Reply] = field(factory=list)
    calls: dict[str, list[tuple[Address, Calling]]] = field(factory=dict)
    """By way, the calls that came in."""
    strangers: dict[str, None] = field(factory=dict)
    """Hosts whose nodes call out and are not understood: of other clusters."""
    is_deaf: bool = field(default=False)
    """The beacon's port could not be had, so no call could come in."""


def networks_of(listen_host: str) -> list[Network]:
    """Where a node that listens on `listen_host` can be called, this machine itself aside."""
    return [
        each
        for each in networks()
        if not each.is_loopback and listen_host in (*ANYWHERE, each.address)
    ]


def check_founding(config: NodeConfig, credential: Credential) -> None:
    """Raise `UserError` if the node would found a cluster where there is one of this credential.

    Two clusters of one credential can never be made one.  Takes a second, once in a node's life; on
    loopback nobody asks, for there all nodes belong to whoever starts them.
    """
    if config.seeds or config.waits or (Path(config.state_dir) / "node.db").exists():
        return
    around = networks_of(config.listen.host)
    for reply in ask_lan(credential, around, FOUNDING_S, enough=_is_answered).replies:
        raise UserError(
            f"{reply.here.name} at {reply.here.address} is a node of this cluster already, and "
            "without --join this one would found another: say --join auto"
        )


def _is_answered(lan: Lan) -> bool:
    return bool(lan.replies)


def ask_lan(
    keys: Keys,
    around: Sequence[Network],
    wait_s: float,
    hosts: Sequence[Address] = (),
    enough: Callable[[Lan], bool] = lambda lan: False,
) -> Lan:
    """Ask everybody on the networks `around`, and those at `hosts` directly; listen for `wait_s`
    seconds, or until that is `enough`."""
    lan = Lan()
    if not around and not hosts:
        return lan
    with contextlib.ExitStack() as stack:
        asking = {
            way: stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            for way in (MULTICAST, BROADCAST, DIRECT)
        }
        listening = {stack.enter_context(each): way for each, way in _ears(around, lan)}
        seals = {each: beacon_seal(keys, os.urandom(BOOT_BYTES)) for each in listening}
        seals |= {each: beacon_seal(keys, os.urandom(BOOT_BYTES)) for each in asking.values()}
        ways = listening | {each: way for way, each in asking.items()}
        began = time.monotonic()
        for again_s, until_s in zip(ASK_AGAIN_S, (*ASK_AGAIN_S[1:], wait_s), strict=True):
            if again_s >= wait_s or enough(lan):
                break
            _ask(asking, seals, around, hosts)
            end = began + min(until_s, wait_s)
            while (left := end - time.monotonic()) > 0 and not enough(lan):
                for each in select.select(list(seals), [], [], left)[0]:
                    datagram, source = each.recvfrom(2048)
                    _hear(lan, seals[each], datagram, Address(source[0], source[1]), ways[each])
    return lan


def _ask(
    asking: dict[str, socket.socket],
    seals: dict[socket.socket, Any],
    around: Sequence[Network],
    hosts: Sequence[Address],
) -> None:
    question = BEACONS.encode(WhoIsHere())
    to: dict[str, list[tuple[Network | None, tuple[str, int]]]] = {
        MULTICAST: [(network, (GROUP, BEACON_PORT)) for network in around],
        BROADCAST: [(network, (network.broadcast, BEACON_PORT)) for network in around],
        DIRECT: [(None, (each.host, each.port)) for each in hosts if ":" not in each.host],
    }
    for way, each in asking.items():
        each.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        each.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
        for network, where in to[way]:
            with contextlib.suppress(OSError):  # no route: nobody will answer, which is the finding
                if network is not None:
                    own = socket.inet_aton(network.address)
                    each.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, own)
                each.sendto(seals[each].close(question), where)


def _ears(around: Sequence[Network], lan: Lan) -> Iterator[tuple[socket.socket, str]]:
    """Sockets that hear calls, one for each way.  (Linux alone lets one bind to a group's address,
    and so tells the ways apart.)"""
    wanted = [(GROUP, MULTICAST), *((each.broadcast, BROADCAST) for each in around)]
    for host, way in wanted if sys.platform == "linux" else [("", MULTICAST)]:
        ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            ear.bind((host, BEACON_PORT))
        except OSError:
            ear.close()
            lan.is_deaf = True
            continue
        for network in around if way == MULTICAST else ():
            with contextlib.suppress(OSError):
                group = socket.inet_aton(GROUP) + socket.inet_aton(network.address)
                ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
        yield ear, way


def _hear(lan: Lan, seal: Any, datagram: bytes, source: Address, way: str) -> None:
    strangers = seal.strangers
    message = seal.open(datagram)
    if message is None:
        if seal.strangers > strangers and datagram.startswith(BEACON_MAGIC):
            lan.strangers[source.host] = None
        return
    try:
        said = BEACONS.decode(message)
    except RemoteError:
        return
    if isinstance(said, Here):
        lan.replies.append(Reply(said, source, way, said.wall - time.time()))
    elif isinstance(said, Calling):
        lan.calls.setdefault(way, []).append((source, said))
