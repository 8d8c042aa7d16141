"""TCP, as far as a program can see it: two pipes that keep order, whatever the wires do.

**One queue and one timer a direction**: what was sent first arrives first.  A segment that is lost
is sent again when the retransmission timer fires, whose delay doubles up to two minutes; so a
connection stays dead for long after a cut is healed, as real ones do.  A machine without power
answers nothing; one that has power but knows no such connection answers with a reset.
"""

from collections import deque
from typing import TYPE_CHECKING

from attrs import define, field

from simulations.kernel.world import MS, SECOND, US, Event
from simulations.net.network import Kernel

if TYPE_CHECKING:
    from simulations.net.sockets import StreamSocket

RTO_NS = 200 * MS
SYN_RTO_NS = SECOND
RTO_NS_MAX = 120 * SECOND
UNACKNOWLEDGED_BYTES_MAX = 64 << 10
HEADER_BYTES = 66
"""Ethernet's, IP's and TCP's: what a segment weighs beside its bytes."""

SYN, SYN_ACK, ACK, DATA, FIN, RESET = "syn", "synack", "ack", "data", "fin", "rst"


@define(eq=False)
class Segment:
    """Something on its way: not at the other end before `due`."""

    kind: str = field()
    data: bytes = field()
    due: int = field()
    sent: int = field()


class Pipe:
    """One direction of a connection, from `source` to `target` (None: the SYN has not come yet)."""

    def __init__(
        self, source: "StreamSocket", target: "StreamSocket | None", at: Kernel, port: int
    ) -> None:
        self.source = source
        self.target = target
        self.to = at
        self.port = port
        self.queued_bytes = 0
        self._world = source.kernel.network.world
        self._way = source.kernel.network.way(source.kernel, at)
        self._back = source.kernel.network.way(at, source.kernel)
        self._segments: deque[Segment] = deque()
        self._timer: Event | None = None
        self._rto = SYN_RTO_NS if target is None else RTO_NS
        self._unacknowledged = 0
        self._stalled = False
        self._orphaned = False

    # --- sending ---------------------------------------------------------------------------------

    def send(self, kind: str, data: bytes = b"") -> None:
        """One more segment, behind all others."""
        now = self._world.now
        for piece in self._pieces(data) if data else (b"",):
            due = now + self._way.delay()
            if self._segments:
                due = max(due, self._segments[-1].due)
            self._segments.append(Segment(kind, piece, due, now))
        self.queued_bytes += len(data)
        self._arm()

    def abort(self) -> None:
        """The sender is gone: what is on the wire arrives, then a reset; nothing is repeated."""
        if not self._orphaned:
            self._orphaned = True
            self.send(RESET)

    def give_up(self) -> None:
        """The sender has no power: nothing is sent any more."""
        self._segments.clear()
        self.queued_bytes = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _pieces(self, data: bytes) -> list[bytes]:
        draw, wire = self._way.draw, self._way.wire
        pieces = []
        for start in range(0, len(data), wire.segment_bytes):
            piece = data[start : start + wire.segment_bytes]
            if len(piece) > 1 and draw.chance(wire.split_permille):
                where = draw.between(1, len(piece) - 1)
                pieces += [piece[:where], piece[where:]]
            else:
                pieces.append(piece)
        return pieces

    # --- arriving --------------------------------------------------------------------------------

    def room(self) -> None:
        """The receiver has read something."""
        if self._stalled:
            self._stalled = False
            self._arm()

    def _arm(self) -> None:
        if self._timer is None and self._segments and not self._stalled:
            first = self._segments[0]
            size = len(first.data) + HEADER_BYTES
            due = max(first.due, self._way.room_at(size))
            self._timer = self._world.at(due, self._world.nature, self._arrive)

    def _arrive(self) -> None:
        """The first segment is due."""
        self._timer = None
        if self._way.clogged_until > self._world.now:
            clogged_until = self._way.clogged_until
            self._timer = self._world.at(clogged_until, self._world.nature, self._arrive)
            return
        if self._is_lost():
            if self._orphaned:
                self.give_up()
                return
            self._timer = self._world.after(self._rto, self._world.nature, self._arrive)
            self._rto = min(RTO_NS_MAX, self._rto * 2)
            return
        target = self.target
        if target is not None and self._segments[0].kind == DATA and not target.has_room:
            self._stalled = True
            return
        self._rto = RTO_NS
        segment = self._segments.popleft()
        self.queued_bytes -= len(segment.data)
        self._acknowledge(len(segment.data))
        way = f"{self.source.kernel.name}>{self.to.name}"
        self._world.trace.packet(f"tcp {way} {segment.kind} sent {segment.sent}", segment.data)
        self._deliver(segment)
        self._arm()

    def _is_lost(self) -> bool:
        if self._back.cuts and self._unacknowledged >= UNACKNOWLEDGED_BYTES_MAX:
            return True  # nothing new may be sent before the old is acknowledged
        if self._way.cuts or not self.to.alive:
            return True
        loss_permille = self._way.wire.loss_permille
        is_loopback = self.source.kernel is self.to
        return loss_permille > 0 and not is_loopback and self._way.draw.chance(loss_permille)

    def _acknowledge(self, size: int) -> None:
        if self._back.cuts:
            self._unacknowledged += size
        else:
            self._unacknowledged = 0
            self.source.sent_some()

    def _deliver(self, segment: Segment) -> None:
        if segment.kind == SYN:
            self._knock()
        elif self.target is None or self.target.is_gone:
            if segment.kind != RESET:
                self._refuse(self.source, f"{segment.kind} for nobody")
        else:
            self.target.arrived(segment.kind, segment.data)

    def _knock(self) -> None:
        """A SYN has come: somebody listens here, or not."""
        listener = self.to.listeners.get(self.port)
        self.target = listener.knocked(self) if listener is not None else None
        if self.target is None:
            self._refuse(self.source, "nobody listens")

    def _refuse(self, socket: "StreamSocket", why: str) -> None:
        """Answer with a reset, which may be lost."""
        self.give_up()
        delay = max(self._back.delay(), US)
        self._world.after(delay, self._world.nature, self._refused, socket, why)

    def _refused(self, socket: "StreamSocket", why: str) -> None:
        if not self._back.cuts and socket.kernel.alive:
            self._world.trace.note(f"tcp {self.to.name}>{socket.kernel.name} reset: {why}")
            socket.arrived(RESET, b"")
