"""Membership cores in virtual time, with nothing between them but delay, loss and stalled machines.

No reactor, no sockets: one heap of what is to happen, so that minutes of 200 nodes take seconds.
**Messages travel as objects, and are counted as the sealed bytes that they would be.**
"""

import heapq
from collections.abc import Callable
from random import Random
from typing import Any

from attrs import define, field

from nanoboost.config import GossipTiming
from nanoboost.core import Woke
from nanoboost.gossip.effects import (
    Answered,
    AskStream,
    Effect,
    Event,
    JoinAsked,
    LeaveAsked,
    LeaveFinished,
    MemberEvent,
    Received,
    SaveGeneration,
    SendDatagram,
    SyncAsked,
    Unanswered,
)
from nanoboost.gossip.members import Description, Incarnation, Member, Meta, Rumor, State
from nanoboost.gossip.messages import DATAGRAMS, SEAL_BYTES, Datagram, StreamPong, Sync, Synced
from nanoboost.gossip.swim import Swim
from nanoboost.ids import Address, NodeId

DELAY_S = (0.0002, 0.001)
"""One way, on a cable."""
STREAM_ROUND_TRIPS = 2
"""One for TCP's handshake, one for the question and its answer."""
SOCKET_BUFFER = 2000
"""Datagrams that the kernel keeps for a process that does not read (2 MB)."""
META = Meta(4, 4096, 1.0, 4)
WOKE = Woke()


def node_id(number: int) -> NodeId:
    """The id of node `number`."""
    return NodeId(f"{number + 1:016x}")


def number_of(node: NodeId) -> int:
    """The other way round."""
    return int(node, 16) - 1


def address_of(number: int) -> Address:
    """Where node `number` listens."""
    return Address(f"10.0.{number >> 8}.{number & 255}", 7470)


@define(eq=False)
class Station:
    """A machine with one member on it."""

    number: int = field()
    address: Address = field()
    swim: Swim = field()
    is_running: bool = field(default=True)
    is_plugged_in: bool = field(default=True)
    """A machine without the process refuses TCP; one that is unplugged is silent."""
    is_stalled: bool = field(default=False)
    """It reads nothing and sends nothing."""
    has_stalled_timers: bool = field(default=False)
    """As well as that, it stands still from its next send on, as a process of one thread does."""
    unread: list[Event] = field(factory=list)
    """What the kernel keeps for it meanwhile."""
    unsent: list[Effect] = field(factory=list)
    """What it was about to send when it came to stand."""
    wakes_at: float = field(default=float("inf"))
    sent: int = field(default=0)
    received: int = field(default=0)
    open_tickets: set[int] = field(factory=set)


Watch = Callable[[float, int, MemberEvent], None]


class Network:
    """The cable, the clock, and what is counted.

    `streams`: whether TCP works (the SWIM paper has none; a question to number 0, the coordinator,
    is answered anyway).  `watch` hears of every change that a member announces.
    """

    def __init__(
        self,
        seed: int,
        timing: GossipTiming,
        *,
        loss: float = 0.0,
        streams: bool = True,
        watch: Watch = lambda now, observer, event: None,
    ) -> None:
        self.now = 0.0
        self.seed = seed
        self.timing = timing
        self.stations: dict[int, Station] = {}
        self.datagrams = 0
        self.bytes = 0
        self.questions = 0
        self.events = 0
        self.loss = loss
        self.drops: Callable[[int, int], bool] | None = None
        """Whether a packet from the first to the second is lost for a reason of its own."""
        self.is_cut: Callable[[int, int], bool] = lambda a, b: False
        """Whether nothing comes from the first to the second, over TCP neither."""
        self.screen: Callable[[Station, Datagram], bool] | None = None
        """Whether an arriving datagram may be read (a protocol with fewer messages than ours)."""
        self._watch = watch
        self._streams = streams
        self._random = Random(f"network/{seed}").random
        self._heap: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._order = 0
        self._station_by_address: dict[Address, Station] = {}

    # --- machines --------------------------------------------------------------------------------

    def start(self, number: int, seeds: tuple[int, ...] = (0,)) -> Station:
        """Start a member that finds the others through `seeds`."""
        address = address_of(number)
        incarnation = Incarnation(1, 0)
        described = Description(f"node-{number}", address, META)
        own = Member(node_id(number), incarnation, State.ALIVE, self.now, described)
        swim = Swim(own, self.timing, Random(f"{self.seed}/{number}"), self.now)
        station = Station(number, address, swim)
        self.stations[number] = self._station_by_address[address] = station
        others = tuple(address_of(each) for each in seeds if each != number)
        self.step(station, JoinAsked(others, ()))
        return station

    def start_settled(self, n: int, rest_s: float) -> None:
        """Start `n` members who know one another already, and let `rest_s` pass: rumors of the
        acquaintance are dropped, as if they were told long ago."""
        for number in range(n):
            self.start(number, ())
        own = [
            Rumor(State.ALIVE, m.node, m.incarnation, description=m.description)
            for station in self.stations.values()
            for m in station.swim.members
        ]
        for station in self.stations.values():
            self.step(station, SyncAsked(tuple(own)))
            for rumor in own:
                station.swim._view.rumors.forget(rumor.node)
        self.run(rest_s)

    def leave(self, number: int) -> None:
        """Say goodbye."""
        self.step(self.stations[number], LeaveAsked())

    def crash(self, number: int, *, unplug: bool = True) -> None:
        """The process ends without a word; `unplug`: the whole machine is gone."""
        self.stations[number].is_running = False
        self.stations[number].is_plugged_in = not unplug

    def stall(self, number: int, *, timers: bool) -> None:
        """It blocks just before each send and just after each receive; `timers`: and does nothing
        else meanwhile."""
        self.stations[number].is_stalled = True
        self.stations[number].has_stalled_timers = timers

    def resume(self, number: int) -> None:
        """It goes on: with what it was about to send, then with whatever it should have done
        meanwhile, then with what has come."""
        station = self.stations[number]
        station.is_stalled = False
        unsent, station.unsent = station.unsent, []
        for effect in unsent:
            self._perform(station, effect)
        self.step(station, WOKE)
        unread, station.unread = station.unread, []
        for event in unread:
            self.step(station, event)

    # --- time ------------------------------------------------------------------------------------

    def at(self, when: float, call: Callable[..., object], *arguments: Any) -> None:
        """Let `call(*arguments)` happen at `when`."""
        self._order += 1
        heapq.heappush(self._heap, (when, self._order, call, arguments))

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        heap, pop = self._heap, heapq.heappop
        while heap and heap[0][0] <= end:
            self.now, _, call, arguments = pop(heap)
            self.events += 1
            call(*arguments)
        self.now = end

    def step(self, station: Station, event: Event | Woke) -> None:
        """One step of a member."""
        if not station.is_running:
            return
        if station.is_stalled:
            if not isinstance(event, Woke):
                if len(station.unread) < SOCKET_BUFFER:
                    station.unread.append(event)
                return
            if station.unsent and station.has_stalled_timers:
                return
        for effect in station.swim.step(self.now, event):
            if station.is_stalled and type(effect) in (SendDatagram, AskStream):
                station.unsent.append(effect)
            else:
                self._perform(station, effect)
        deadline = station.swim.deadline()
        if deadline is not None and deadline < station.wakes_at:
            station.wakes_at = deadline
            self.at(deadline, self._woken, station, deadline)

    def _woken(self, station: Station, when: float) -> None:
        if when != station.wakes_at:
            return  # an earlier wake was set since, and has come
        station.wakes_at = float("inf")
        deadline = station.swim.deadline()
        if deadline is not None and deadline > when:
            station.wakes_at = deadline
            self.at(deadline, self._woken, station, deadline)
        else:
            self.step(station, WOKE)

    # --- effects ---------------------------------------------------------------------------------

    def _perform(self, station: Station, effect: Effect) -> None:
        if type(effect) is SendDatagram:
            self._send(station, effect)
        elif type(effect) is AskStream:
            station.open_tickets.add(effect.ticket)
            self.at(self.now + effect.timeout_s, self._give_up, station, effect.ticket, False)
            self._ask(station, effect)
        elif type(effect) is LeaveFinished:
            station.is_running = False
        elif type(effect) is not SaveGeneration:
            self._watch(self.now, station.number, effect)  # type: ignore[arg-type]

    def _delay_s(self) -> float:
        return DELAY_S[0] + (DELAY_S[1] - DELAY_S[0]) * self._random()

    def _send(self, station: Station, effect: SendDatagram) -> None:
        self.datagrams += 1
        station.sent += 1
        self.bytes += SEAL_BYTES + len(DATAGRAMS.encode(effect.message))
        is_lost = self._random() < self.loss
        when = self.now + self._delay_s()
        to = self._station_by_address.get(effect.address)
        if to is None or is_lost or (self.drops and self.drops(station.number, to.number)):
            return
        if (
            to.is_plugged_in
            and station.is_plugged_in
            and not self.is_cut(station.number, to.number)
        ):
            self.at(when, self._arrive, to, Received(station.address, effect.message))

    def _arrive(self, to: Station, received: Received) -> None:
        to.received += 1
        if self.screen is None or self.screen(to, received.message):
            self.step(to, received)

    # --- questions over TCP ----------------------------------------------------------------------

    def _ask(self, station: Station, effect: AskStream) -> None:
        self.questions += 1
        to = self._station_by_address.get(effect.address)
        if to is None or not to.is_plugged_in or not station.is_plugged_in:
            return
        if not self._streams and (to.number or not isinstance(effect.question, Sync)):
            return
        if self.is_cut(station.number, to.number) or self.is_cut(to.number, station.number):
            return
        when = self.now + 2 * STREAM_ROUND_TRIPS * self._delay_s()
        if not to.is_running:
            self.at(when, self._give_up, station, effect.ticket, True)
        else:
            self.at(when, self._asked, station, to, effect)

    def _asked(self, station: Station, to: Station, effect: AskStream) -> None:
        if to.is_stalled:
            # It is accepted by the kernel, and read when the process comes to it.
            self.at(self.now + 0.05, self._asked, station, to, effect)
            return
        if not to.is_running or effect.ticket not in station.open_tickets:
            return
        answer: Synced | StreamPong = StreamPong(node_id(to.number))
        if isinstance(effect.question, Sync):
            self.step(to, SyncAsked(effect.question.rows))
            answer = to.swim.answer(effect.question)
        station.open_tickets.discard(effect.ticket)
        self.step(station, Answered(effect.ticket, node_id(to.number), answer))

    def _give_up(self, station: Station, ticket: int, refused: bool) -> None:
        if ticket in station.open_tickets:
            station.open_tickets.discard(ticket)
            self.step(station, Unanswered(ticket, refused))
