"""The wires: which machines there are, how long a packet takes, and what is cut.

**A packet arrives late, or never, but unchanged**; in what order, its kind decides: datagrams as
they come, streams (`simulations.net.stream`) in order.
"""

from collections.abc import Callable, Iterable
from itertools import product
from typing import Any

from attrs import define, field, frozen

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
        self.event_ns = 0
        self.busy_until = 0
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


@define(eq=False)
class Way:
    """One direction between two machines, and what is wrong with it now."""

    network: "Network" = field()
    source: Kernel = field()
    target: Kernel = field()
    draw: Stream = field()
    """Its random numbers."""
    cuts: int = field(default=0)
    """So many cuts go through it; a packet is lost if there is one."""
    clogged_until: int = field(default=0)
    """Before then nothing arrives."""
    worse: list[Wire] = field(factory=list)
    """What it is like instead of the usual wire; the last counts."""
    _free_at: int = field(default=0)

    @property
    def wire(self) -> Wire:
        """How good it is now."""
        return self.worse[-1] if self.worse else self.network.wire

    @property
    def is_usual(self) -> bool:
        """Whether nothing is wrong with it."""
        is_clogged = self.clogged_until > self.network.world.now
        return not self.cuts and self.wire is self.network.wire and not is_clogged

    def delay(self) -> int:
        """How long the next packet takes, if it is small."""
        if self.source is self.target:
            return LOOPBACK_NS
        wire = self.wire
        return self.draw.tailed(wire.least_ns, wire.jitter_ns)

    def room_at(self, size: int) -> int:
        """When so many bytes have gone through, if they are the next to go; and they are."""
        wire = self.wire
        if not wire.bytes_per_s:
            return 0
        begins = max(self.network.world.now, self._free_at)
        self._free_at = begins + size * SECOND // wire.bytes_per_s
        return self._free_at

    @property
    def is_overfull(self) -> bool:
        """Whether a datagram would have to wait too long."""
        waits_until = self._free_at if self.wire.bytes_per_s else 0
        return waits_until > self.network.world.now + QUEUE_NS

    def drain(self) -> None:
        """Nothing waits any more."""
        self._free_at = 0


class Network:
    """All machines and all wires between them."""

    def __init__(self, world: World, wire: Wire) -> None:
        self.world = world
        self.wire = wire
        self.kernels: dict[str, Kernel] = {}
        self._ways: dict[tuple[str, str], Way] = {}
        self.lost_datagrams = 0
        self.changed_at = 0
        """When something was cut or healed last."""

    def add(self, name: str) -> Kernel:
        """Connect a machine; its address is the next free one."""
        kernel = Kernel(self, name, f"10.0.0.{len(self.kernels) + 1}")
        self.kernels[kernel.ip] = kernel
        return kernel

    def way(self, source: Kernel, target: Kernel) -> Way:
        """The direction from one to the other."""
        key = (source.ip, target.ip)
        if key not in self._ways:
            draw = self.world.stream(f"link/{source.name}>{target.name}")
            self._ways[key] = Way(self, source, target, draw)
        return self._ways[key]

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
            if one is not other:
                self.way(one, other).cuts += step
                if not one_way:
                    self.way(other, one).cuts += step

    def is_cut(self, source: Kernel, target: Kernel) -> bool:
        """Whether a packet from `source` to `target` is lost now."""
        return self.way(source, target).cuts > 0

    # --- bad wires -------------------------------------------------------------------------------

    def replace(self, ways: Iterable[tuple[Kernel, Kernel]], wire: Wire) -> Callable[[], None]:
        """These directions are like `wire` from now on, until what is returned is called."""
        replaced = [self.way(one, other) for one, other in ways if one is not other]
        for way in replaced:
            way.worse.append(wire)

        def undo() -> None:
            for way in replaced:
                way.worse.remove(wire)
                way.drain()

        return undo

    def clog(self, ways: Iterable[tuple[Kernel, Kernel]], until: int) -> None:
        """Nothing arrives in these directions before `until`; then all of it does."""
        for one, other in ways:
            way = self.way(one, other)
            way.clogged_until = max(until, way.clogged_until)

    def is_usual(self, source: Kernel, target: Kernel) -> bool:
        """Whether nothing is wrong with this direction."""
        return self.way(source, target).is_usual

    # --- packets ---------------------------------------------------------------------------------

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
        way, copies = self.way(source, target), 1
        if source is not target:
            wire = way.wire
            if way.cuts or way.draw.chance(wire.loss_permille) or way.is_overfull:
                self.lost_datagrams += 1
                return
            copies += way.draw.chance(wire.twice_permille)
        for _ in range(copies):
            room_at = way.room_at(len(data))
            self.world.at(
                max(self.world.now, room_at) + way.delay(),
                self.world.nature,
                self._deliver,
                way,
                sender,
                port,
                data,
                self.world.now,
            )

    def _deliver(self, way: Way, sender: Where, port: int, data: bytes, sent: int) -> None:
        if way.cuts or not way.target.alive:
            self.lost_datagrams += 1
            return
        if way.clogged_until > self.world.now:
            arguments = way, sender, port, data, sent
            self.world.at(way.clogged_until, self.world.nature, self._deliver, *arguments)
            return
        self.world.trace.packet(f"udp {way.source.name}>{way.target.name} sent {sent}", data)
        socket = way.target.datagram_ports.get(port)
        if socket is not None:
            socket.arrived(data, sender)
