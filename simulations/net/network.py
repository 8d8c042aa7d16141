"""The wires: which machines there are, how long a packet takes, and what is cut.

**A packet arrives late, or never, but unchanged**; in what order, its kind decides: datagrams as
they come, streams (`simulations.net.stream`) in order.
"""

from collections.abc import Callable, Iterable
from itertools import product
from typing import Any

from attrs import frozen

from simulations.kernel.prng import Stream
from simulations.kernel.world import MS, SECOND, US, Event, World

Where = tuple[str, int]

LOOPBACK = "127.0.0.1"
BROADCAST = "10.0.0.255"
EVERYBODY = ("239.255.77.7", BROADCAST)
"""What is sent to one of these goes to all machines, the sender's too: the beacon's group, and the
network's broadcast.  Each of the copies may be lost."""
LOOPBACK_NS = 15 * US
FIRST_FD = 1_000_000
"""Simulated descriptors have numbers that no real one has."""


QUEUE_NS = 500 * MS
"""A datagram that would wait longer than this for a full wire is lost."""


@frozen
class Wire:
    """How good one direction between two machines is.  A lost datagram is lost; a stream's lost
    segment is only late.  `twice_permille` concerns datagrams."""

    least_ns: int = 150 * US
    jitter_ns: int = 100 * US
    loss_permille: int = 0
    twice_permille: int = 0
    bytes_per_s: int = 0
    """0: as many as there are."""
    segment_bytes: int = 16 << 10
    """A stream's bytes come in pieces of so many at most."""
    split_permille: int = 100
    """So many pieces are split once more, at any byte: nobody may rely on where chunks end."""


class Kernel:
    """One machine's part of the network: its address, its sockets, and whether it has power.

    Sockets are `StreamSocket` and `UdpSocket` of `simulations.net.sockets`.
    """

    def __init__(self, network: "Network", name: str, ip: str) -> None:
        self.network = network
        self.name = name
        self.ip = ip
        self.alive = True
        self.parked: list[Event] | None = None
        self.listeners: dict[int, Any] = {}
        self.datagram_ports: dict[int, Any] = {}
        self.sockets: dict[int, Any] = {}
        self._next_fd = FIRST_FD
        self._next_port = 32768

    def new_fd(self, socket: object) -> int:
        """A descriptor for a new socket."""
        self._next_fd += 1
        self.sockets[self._next_fd] = socket
        return self._next_fd

    def new_port(self) -> int:
        """A port that nobody has yet."""
        self._next_port += 1
        return self._next_port


class Network:
    """All machines and all wires between them."""

    def __init__(self, world: World, wire: Wire) -> None:
        self.world = world
        self.wire = wire
        self.kernels: dict[str, Kernel] = {}
        self._cut: dict[tuple[str, str], int] = {}
        self._wires: dict[tuple[str, str], list[Wire]] = {}
        self._clogged: dict[tuple[str, str], int] = {}
        self._free_at: dict[tuple[str, str], int] = {}
        self._streams: dict[tuple[str, str], Stream] = {}
        self.lost_datagrams = 0
        self.changed_at = 0
        """When something was cut or healed last."""

    def add(self, name: str) -> Kernel:
        """Connect a machine; its address is the next free one."""
        kernel = Kernel(self, name, f"10.0.0.{len(self.kernels) + 1}")
        self.kernels[kernel.ip] = kernel
        return kernel

    # --- cuts ------------------------------------------------------------------------------------

    def cut(
        self, left: Iterable[Kernel], right: Iterable[Kernel], *, one_way: bool = False
    ) -> None:
        """Nothing gets from `left` to `right` any more, nor back unless `one_way`."""
        self._count(left, right, 1, one_way=one_way)

    def heal(
        self, left: Iterable[Kernel], right: Iterable[Kernel], *, one_way: bool = False
    ) -> None:
        """Undo one `cut`."""
        self._count(left, right, -1, one_way=one_way)

    def _count(
        self, left: Iterable[Kernel], right: Iterable[Kernel], step: int, *, one_way: bool
    ) -> None:
        self.changed_at = self.world.now
        for one, other in product(list(left), list(right)):
            self._cut[one.ip, other.ip] = self._cut.get((one.ip, other.ip), 0) + step
            if not one_way:
                self._cut[other.ip, one.ip] = self._cut.get((other.ip, one.ip), 0) + step

    def is_cut(self, source: Kernel, target: Kernel) -> bool:
        """Whether a packet from `source` to `target` is lost now."""
        return source is not target and self._cut.get((source.ip, target.ip), 0) > 0

    # --- bad wires -------------------------------------------------------------------------------

    def replace(self, ways: Iterable[tuple[Kernel, Kernel]], wire: Wire) -> Callable[[], None]:
        """These directions are like `wire` from now on, until what is returned is called."""
        keys = [(one.ip, other.ip) for one, other in ways if one is not other]
        for key in keys:
            self._wires.setdefault(key, []).append(wire)

        def undo() -> None:
            for key in keys:
                self._wires[key].remove(wire)
                self._free_at.pop(key, None)

        return undo

    def clog(self, ways: Iterable[tuple[Kernel, Kernel]], until: int) -> None:
        """Nothing arrives in these directions before `until`; then all of it does."""
        for one, other in ways:
            key = (one.ip, other.ip)
            self._clogged[key] = max(until, self._clogged.get(key, 0))

    def clogged_until(self, source: Kernel, target: Kernel) -> int:
        """Before when nothing arrives."""
        return self._clogged.get((source.ip, target.ip), 0) if self._clogged else 0

    def wire_between(self, source: Kernel, target: Kernel) -> Wire:
        """How good this direction is now."""
        worse = self._wires.get((source.ip, target.ip)) if self._wires else None
        return worse[-1] if worse else self.wire

    def is_usual(self, source: Kernel, target: Kernel) -> bool:
        """Whether nothing is wrong with this direction."""
        return (
            not self.is_cut(source, target)
            and self.wire_between(source, target) is self.wire
            and self.clogged_until(source, target) <= self.world.now
        )

    # --- packets ---------------------------------------------------------------------------------

    def stream(self, source: Kernel, target: Kernel) -> Stream:
        """The random numbers of one direction of one wire."""
        key = (source.ip, target.ip)
        if key not in self._streams:
            self._streams[key] = self.world.stream(f"link/{source.name}>{target.name}")
        return self._streams[key]

    def delay(self, source: Kernel, target: Kernel) -> int:
        """How long the next packet takes, if it is small."""
        if source is target:
            return LOOPBACK_NS
        wire = self.wire_between(source, target)
        return self.stream(source, target).tailed(wire.least_ns, wire.jitter_ns)

    def room_at(self, source: Kernel, target: Kernel, size: int) -> int:
        """When so many bytes have gone through, if they are the next to go; and they are."""
        wire = self.wire_between(source, target)
        if not wire.bytes_per_s:
            return 0
        key = (source.ip, target.ip)
        begins = max(self.world.now, self._free_at.get(key, 0))
        self._free_at[key] = begins + size * SECOND // wire.bytes_per_s
        return self._free_at[key]

    def find(self, source: Kernel, host: str) -> Kernel | None:
        """The machine that `source` reaches under an address."""
        return source if host == LOOPBACK else self.kernels.get(host)

    def datagram(self, source: Kernel, port: int, where: Where, data: bytes) -> None:
        """Send one datagram; it may be lost, or come twice."""
        if where[0] in EVERYBODY:
            for target in list(self.kernels.values()):
                self._send(source, target, (source.ip, port), where[1], data)
            return
        found = self.find(source, where[0])
        if found is not None:
            sender = where[0] if source is found else source.ip
            self._send(source, found, (sender, port), where[1], data)

    def _send(self, source: Kernel, target: Kernel, sender: Where, port: int, data: bytes) -> None:
        copies = 1
        if source is not target:
            draw, wire = self.stream(source, target), self.wire_between(source, target)
            waits_until = self._free_at.get((source.ip, target.ip), 0) if wire.bytes_per_s else 0
            if (
                self.is_cut(source, target)
                or draw.chance(wire.loss_permille)
                or waits_until > self.world.now + QUEUE_NS
            ):
                self.lost_datagrams += 1
                return
            copies += draw.chance(wire.twice_permille)
        for _ in range(copies):
            room_at = self.room_at(source, target, len(data))
            self.world.at(
                max(self.world.now, room_at) + self.delay(source, target),
                self.world.nature,
                self._deliver,
                source,
                target,
                sender,
                port,
                data,
                self.world.now,
            )

    def _deliver(
        self, source: Kernel, target: Kernel, sender: Where, port: int, data: bytes, sent: int
    ) -> None:
        if self.is_cut(source, target) or not target.alive:
            self.lost_datagrams += 1
            return
        clogged_until = self.clogged_until(source, target)
        if clogged_until > self.world.now:
            arguments = source, target, sender, port, data, sent
            self.world.at(clogged_until, self.world.nature, self._deliver, *arguments)
            return
        self.world.trace.packet(f"udp {source.name}>{target.name} sent {sent}", data)
        socket = target.datagram_ports.get(port)
        if socket is not None:
            socket.arrived(data, sender)
