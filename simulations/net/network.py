"""The wires: which machines there are, how long a packet takes, and what is cut.

**A packet arrives late, or never, but unchanged**; in what order, its kind decides: datagrams as
they come, streams (`simulations.net.stream`) in order.
"""

from collections.abc import Iterable
from itertools import product
from typing import Any

from attrs import frozen

from simulations.kernel.prng import Stream
from simulations.kernel.world import US, World

Where = tuple[str, int]

LOOPBACK = "127.0.0.1"
LOOPBACK_NS = 15 * US
FIRST_FD = 1_000_000
"""Simulated descriptors have numbers that no real one has."""


@frozen
class Wire:
    """How good the network is.  Loss concerns datagrams; a stream's lost segment is only late."""

    least_ns: int = 150 * US
    jitter_ns: int = 100 * US
    loss_permille: int = 0
    twice_permille: int = 0


class Kernel:
    """One machine's part of the network: its address, its sockets, and whether it has power.

    Sockets are `StreamSocket` and `UdpSocket` of `simulations.net.sockets`.
    """

    def __init__(self, network: "Network", name: str, ip: str) -> None:
        self.network = network
        self.name = name
        self.ip = ip
        self.alive = True
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
        self._streams: dict[tuple[str, str], Stream] = {}
        self.lost_datagrams = 0

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
        for one, other in product(list(left), list(right)):
            self._cut[one.ip, other.ip] = self._cut.get((one.ip, other.ip), 0) + step
            if not one_way:
                self._cut[other.ip, one.ip] = self._cut.get((other.ip, one.ip), 0) + step

    def is_cut(self, source: Kernel, target: Kernel) -> bool:
        """Whether a packet from `source` to `target` is lost now."""
        return source is not target and self._cut.get((source.ip, target.ip), 0) > 0

    # --- packets ---------------------------------------------------------------------------------

    def stream(self, source: Kernel, target: Kernel) -> Stream:
        """The random numbers of one direction of one wire."""
        key = (source.ip, target.ip)
        if key not in self._streams:
            self._streams[key] = self.world.stream(f"link/{source.name}>{target.name}")
        return self._streams[key]

    def delay(self, source: Kernel, target: Kernel) -> int:
        """How long the next packet takes."""
        if source is target:
            return LOOPBACK_NS
        return self.stream(source, target).tailed(self.wire.least_ns, self.wire.jitter_ns)

    def find(self, source: Kernel, host: str) -> Kernel | None:
        """The machine that `source` reaches under an address."""
        return source if host == LOOPBACK else self.kernels.get(host)

    def datagram(self, source: Kernel, port: int, where: Where, data: bytes) -> None:
        """Send one datagram; it may be lost, or come twice."""
        target = self.find(source, where[0])
        if target is None:
            return
        copies = 1
        if source is not target:
            draw = self.stream(source, target)
            if self.is_cut(source, target) or draw.chance(self.wire.loss_permille):
                self.lost_datagrams += 1
                return
            copies += draw.chance(self.wire.twice_permille)
        for _ in range(copies):
            self.world.after(
                self.delay(source, target),
                self.world.nature,
                self._deliver,
                source,
                target,
                (where[0] if source is target else source.ip, port),
                where[1],
                data,
            )

    def _deliver(
        self, source: Kernel, target: Kernel, sender: Where, port: int, data: bytes
    ) -> None:
        if self.is_cut(source, target) or not target.alive:
            self.lost_datagrams += 1
            return
        self.world.trace.packet(f"udp {source.name}>{target.name}", data)
        socket = target.datagram_ports.get(port)
        if socket is not None:
            socket.arrived(data, sender)
