"""How soon does everybody know, and what does it cost?  `python benchmarks/gossip.py` measures the
gossip of 50, 100 and 200 nodes in one process, each with a UDP and a TCP port of its own on
loopback, and datagrams sealed as always.

Beside our numbers stand memberlist's (its LAN profile, N members in one process, no encryption),
measured on a machine like this one.  A *silent crash* loses all that goes in or out and leaves TCP
unanswered; a *process crash* closes the ports, so that the host refuses.
"""

import argparse
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from math import inf
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import deferLater, react

from nanoboost.config import GOSSIP
from nanoboost.gossip.effects import MemberDown, MemberEvent, MemberLeft, MemberUp
from nanoboost.gossip.members import Meta
from nanoboost.gossip.messages import STREAM, StreamPing, Sync
from nanoboost.gossip.service import Gossip
from nanoboost.ids import Address, NodeId
from nanoboost.net.credential import create
from nanoboost.net.mesh import Mesh
from nanoboost.net.tls import PinnedTls
from nanoboost.runtime import Host, Runtime
from nanoboost.wire.codec import Catalog
from nanoboost.wire.messages import SESSION
from nanoboost.world.real import monotonic

LIMIT_S = 100.0
SIZES = (50, 100, 200)
TARGETS = {
    "mass join": {50: None, 100: 3.0, 200: 6.0},
    "join": dict.fromkeys(SIZES, 0.7),
    "silent crash": {50: 5.0, 100: None, 200: None},
    "process crash": dict.fromkeys(SIZES, 1.5),
    "leave": dict.fromkeys(SIZES, 0.8),
}
MEMBERLIST = {
    "mass join": {50: "1.19", 100: "2.55 (1.9-2.6)", 200: "6.05; 1 of 3 not in 100 s"},
    "join": {50: "0.61-0.79", 100: "0.53-0.76", 200: "0.68-0.80"},
    "silent crash": {50: "8.28-9.19", 100: "10.18-11.96", 200: "10.80-11.23"},
    "process crash": dict.fromkeys(SIZES, "not measured"),
    "leave": {50: "0.61", 100: "0.85", 200: "4.23"},
}
"""Seconds until all have noticed."""


class Memory:
    """A disk that is durable at once."""

    def __init__(self) -> None:
        self._value_by_key: dict[bytes, bytes] = {}

    def load(self, prefix: bytes) -> list[tuple[bytes, bytes]]:
        """All pairs under `prefix`."""
        pairs = self._value_by_key.items()
        return sorted((key, value) for key, value in pairs if key.startswith(prefix))

    def commit(self, writes: Sequence[tuple[bytes, bytes | None]]) -> "Deferred[None]":
        """Put them."""
        for key, value in writes:
            assert value is not None
            self._value_by_key[key] = value
        return succeed(None)

    def close(self) -> "Deferred[None]":
        """Nothing to release."""
        return succeed(None)


class Plain:
    """The cluster's datagram key, and TCP as it is: what TLS costs is not gossip's, and memberlist
    was measured without any encryption."""

    cluster = "c0ffee0123456789"

    def wrap_server(self, endpoint: Any) -> Any:
        """As it is."""
        return endpoint

    def wrap_client(self, endpoint: Any) -> Any:
        """As it is."""
        return endpoint

    def datagram_keys(self) -> tuple[bytes, ...]:
        """Any key will do."""
        return (bytes(range(32)),)


class Tap:
    """A reactor as one member sees it: its datagrams are counted, or lost once it is `dead`."""

    def __init__(self, reactor: Any, traffic: "Traffic") -> None:
        self._reactor = reactor
        self._traffic = traffic
        self.is_dead = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenUDP(self, port: int, protocol: Any, interface: str = "") -> Any:
        """Twisted's name for it."""
        received = protocol.datagramReceived

        def let_in(datagram: bytes, addr: Any) -> None:
            if not self.is_dead:
                received(datagram, addr)

        protocol.datagramReceived = let_in
        opened = self._reactor.listenUDP(port, protocol, interface=interface, maxPacketSize=2048)
        send = opened.write

        def let_out(datagram: bytes, addr: Any = None) -> Any:
            if self.is_dead:
                return None
            self._traffic.packets += 1
            self._traffic.bytes += len(datagram)
            return send(datagram, addr)

        opened.write = let_out
        return opened


@define
class Traffic:
    """What all members have sent."""

    packets: int = 0
    bytes: int = 0


@define(eq=False)
class Member:
    """One node's gossip and mesh."""

    number: int
    node: NodeId
    tap: Tap
    mesh: Mesh
    gossip: Gossip
    sees: dict[NodeId, None] = field(factory=dict)

    def answer(self, session: Any, question: Any) -> None:
        """The dead leave their callers waiting."""
        if not self.tap.is_dead:
            self.gossip.answer(session, question)

    def ask(self, address: Address, question: Any, timeout_s: float) -> "Deferred[Any]":
        """The dead ask nobody."""
        return Deferred() if self.tap.is_dead else self.mesh.ask(address, question, timeout_s)

    async def end(self) -> None:
        """The process ends without a word: its ports are closed."""
        await self.gossip.stopService()
        await self.mesh.stopService()


class Cluster:
    """The members; `wait` until something is seen by all."""

    def __init__(self, reactor: Any, security: Plain | PinnedTls) -> None:
        self.reactor = reactor
        self.traffic = Traffic()
        self.members: dict[NodeId, Member] = {}
        self._started = 0
        self.pairs = 0
        """How often one member sees another."""
        self._security = security
        self._waiting: tuple[Callable[[], bool], Deferred[bool]] | None = None
        self._noticed: dict[tuple[type, NodeId], int] = {}

    def start(self, seeds: Sequence[Address]) -> Member:
        """One more member."""
        self._started += 1
        number = self._started
        node = NodeId(f"{number:016x}")
        tap = Tap(self.reactor, self.traffic)
        runtime = Runtime(
            reactor=tap,
            wall=time.time,
            store=Memory(),
            security=self._security,
            host=Host("loopback", 4, 4096, 1.0),
            python=(sys.executable, "-I"),
            environment={},
            kill_group=lambda pid: None,
            scratch_dir="",
            seed=time.monotonic_ns(),
        )
        mesh = Mesh(runtime, Catalog((*SESSION, *STREAM)), node, Address("127.0.0.1", 0))
        member = Member(number, node, tap, mesh, None)  # type: ignore[arg-type]
        member.gossip = Gossip(
            node,
            f"node-{number}",
            Meta(4, 4096, 1.0, 4),
            GOSSIP["lan"],
            runtime,
            member.ask,
            lambda event: self._changed(member, event),
            lambda address: None,
            lambda failure: failure.raiseException(),
        )
        mesh.serve((Sync, StreamPing), member.answer)
        mesh.listen()
        mesh.startService()
        member.gossip.open(mesh.address, "127.0.0.1")
        self.members[node] = member
        member.gossip.join(tuple(seeds))
        member.gossip.startService()
        return member

    def _changed(self, member: Member, event: MemberEvent) -> None:
        about = event.member.node
        kind = type(event)
        if kind is MemberUp:
            member.sees[about] = None
        elif kind is MemberDown or kind is MemberLeft:
            member.sees.pop(about, None)
        else:
            return
        self.pairs += 1 if kind is MemberUp else -1
        self._noticed[kind, about] = self._noticed.get((kind, about), 0) + 1
        if self._waiting is not None and self._waiting[0]():
            done = self._waiting[1]
            self._waiting = None
            self.reactor.callLater(0, done.callback, True)

    def noticed(self, kind: type, about: NodeId) -> int:
        """How many have announced that."""
        return self._noticed.get((kind, about), 0)

    def whole(self) -> bool:
        """Whether everybody sees everybody."""
        count = len(self.members)
        return self.pairs == count * (count - 1)

    async def wait(self, is_so: Callable[[], bool]) -> float:
        """Until `is_so`; the seconds that it took, or infinity if `LIMIT_S` was not enough."""
        begun = self.reactor.seconds()
        if not is_so():
            done: Deferred[bool] = Deferred()
            limit = self.reactor.callLater(LIMIT_S, done.callback, False)
            self._waiting = is_so, done
            if not await done:
                self._waiting = None
                return inf
            limit.cancel()
        return self.reactor.seconds() - begun

    async def stop(self) -> None:
        """End all."""
        for member in self.members.values():
            await member.end()


# --- what is measured ----------------------------------------------------------------------------


@define
class Measured:
    """Seconds until all have noticed, by what there was to notice; and what quiet costs, for each
    member and second."""

    n: int
    seconds: dict[str, list[float]] = field(factory=lambda: {name: [] for name in MEMBERLIST})
    packets: float = 0.0
    bytes: float = 0.0
    cpu_ms: float = 0.0
    mib: float = 0.0


async def crowd(reactor: Any, security: Plain | PinnedTls, n: int) -> tuple[Cluster, float]:
    """A founder, then all others at once; the seconds until everybody sees everybody."""
    cluster = Cluster(reactor, security)
    seed = cluster.start(()).mesh.address
    await deferLater(reactor, 0.5)
    begun = reactor.seconds()
    for _ in range(n - 1):
        cluster.start((seed,))
    await cluster.wait(cluster.whole)
    return cluster, reactor.seconds() - begun if cluster.whole() else inf


async def quiet(cluster: Cluster, measured: Measured, seconds: float) -> None:
    """What it costs when nothing happens."""
    # The last news of the crowd is told to its end, and whoever was overworked and doubts itself
    # finds that it need not.
    await deferLater(cluster.reactor, 20.0)
    while any(member.gossip.health for member in cluster.members.values()):
        await deferLater(cluster.reactor, 1.0)
    packets, size = cluster.traffic.packets, cluster.traffic.bytes
    cpu, begun = time.process_time(), cluster.reactor.seconds()
    await deferLater(cluster.reactor, seconds)
    share = (cluster.reactor.seconds() - begun) * len(cluster.members)
    measured.packets = (cluster.traffic.packets - packets) / share
    measured.bytes = (cluster.traffic.bytes - size) / share
    measured.cpu_ms = 1000 * (time.process_time() - cpu) / share
    measured.mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def changes(cluster: Cluster, measured: Measured, trials: int) -> None:
    """One comes; one leaves; one falls silent; one process ends; again and again."""
    for _ in range(trials):
        others = len(cluster.members)
        seed = next(iter(cluster.members.values())).mesh.address

        def all_know(kind: type, about: NodeId, others: int = others) -> Callable[[], bool]:
            return lambda: cluster.noticed(kind, about) >= others

        for name, kind in (
            ("leave", MemberLeft),
            ("silent crash", MemberDown),
            ("process crash", MemberDown),
        ):
            begun = cluster.reactor.seconds()
            member = cluster.start((seed,))
            await cluster.wait(all_know(MemberUp, member.node))
            measured.seconds["join"].append(cluster.reactor.seconds() - begun)
            await deferLater(cluster.reactor, 2.0)
            begun = cluster.reactor.seconds()
            if name == "leave":
                member.gossip.leave()
            elif name == "silent crash":
                member.tap.is_dead = True
            else:
                await member.end()
            took = await cluster.wait(all_know(kind, member.node))
            measured.seconds[name].append(cluster.reactor.seconds() - begun if took < inf else inf)
            member.tap.is_dead = True
            await member.end()
            del cluster.members[member.node]
            await deferLater(cluster.reactor, 1.0)


async def measure(reactor: Any, security: Plain | PinnedTls, n: int, options: Any) -> Measured:
    """Everything at one size."""
    measured = Measured(n)
    for trial in range(options.crowds):
        cluster, took = await crowd(reactor, security, n)
        measured.seconds["mass join"].append(took)
        print(f"N={n}: mass join {trial + 1}: {took:.2f} s", file=sys.stderr, flush=True)
        if trial == options.crowds - 1:
            await quiet(cluster, measured, options.quiet)
            await changes(cluster, measured, options.trials)
        await cluster.stop()
    return measured


def printed(measured: Measured) -> list[str]:
    """The lines of one size."""
    n, lines = measured.n, []
    for name, seconds in measured.seconds.items():
        target = TARGETS[name].get(n)
        worst = max(seconds)
        verdict = "" if target is None else "met" if worst < target else "MISSED"
        bar = "" if target is None else f"< {target:g} s"
        lines.append(
            f"| {n} | {name} | {len(seconds)} | {statistics.median(seconds):.2f} | {worst:.2f} "
            f"| {MEMBERLIST[name].get(n, '')} | {bar} | {verdict} |"
        )
    for name, ours, unit, theirs, limit in (
        ("idle, sent", measured.packets, "packets/s", "2.00", 4.5),
        ("idle, sent", measured.bytes, "B/s", "83", 300.0),
        ("idle, CPU", measured.cpu_ms, "ms/s", "0.44", 2.0),
    ):
        verdict = "met" if ours <= limit else "MISSED"
        lines.append(
            f"| {n} | {name} | 1 | {ours:.2f} {unit} | | {theirs} | <= {limit:g} | {verdict} |"
        )
    return lines


HEAD = """\
| N | what | trials | median s | worst s | memberlist | target | |
|--:|---|--:|--:|--:|---|---|---|"""


async def run(reactor: Any, options: Any) -> None:
    """Measure and print."""
    security: Plain | PinnedTls = Plain()
    if options.tls:
        with tempfile.TemporaryDirectory() as directory:
            security = PinnedTls(create(str(Path(directory) / "credential.pem")), reactor)
    print(HEAD, flush=True)
    for n in options.sizes or SIZES:
        print("\n".join(printed(await measure(reactor, security, n, options))), flush=True)


def main() -> None:
    """Take the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("sizes", type=int, nargs="*", help="how many nodes (50 100 200)")
    parser.add_argument("--crowds", type=int, default=3, help="mass joins at each size")
    parser.add_argument("--trials", type=int, default=3, help="changes of each kind")
    parser.add_argument("--quiet", type=float, default=10.0, help="seconds of quiet")
    parser.add_argument("--tls", action="store_true", help="TCP as between real nodes")
    options = parser.parse_args()
    from twisted.internet import reactor as installed  # noqa: TID251 - a process of its own

    reactor = monotonic(installed)
    react(lambda _: Deferred.fromCoroutine(run(reactor, options)), (), reactor)


if __name__ == "__main__":
    main()
