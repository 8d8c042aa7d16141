"""Virtual time: integer nanoseconds and a heap of what is still to happen.

**Events happen in order of time, and first come first served among equals.**  Each belongs to an
owner (a machine, one incarnation of a node); what a dead owner still had to do never happens.
"""

import heapq
from collections.abc import Callable
from typing import Any, Protocol

from attrs import define, field

from simulations.kernel.prng import Stream
from simulations.kernel.trace import Trace

US = 1_000
MS = 1_000_000
SECOND = 1_000_000_000

AT_ONE_INSTANT_MAX = 50_000
"""More events than this without time going on is a loop that would never end."""


class Owner(Protocol):
    """Whose events they are.  One that is stopped for a while is not alive, and `parked` is a list:
    what it should do meanwhile waits there.  One whose processor is slow is busy with each event
    for `event_ns`, and up to `busy_until` the next one waits."""

    name: str
    alive: bool
    parked: "list[Event] | None"
    event_ns: int
    busy_until: int


@define(eq=False)
class Nature:
    """The owner of what no machine does: links, faults, checkers."""

    name: str = "world"
    alive: bool = True
    parked: "list[Event] | None" = None
    event_ns: int = 0
    busy_until: int = 0


class Zeno(AssertionError):
    """Time has stopped: events make events at the same instant, without end."""


@define(eq=False)
class Event:
    """Something that is still to happen; `cancel` it, or let it."""

    at: int = field()
    owner: Owner = field()
    call: Callable[..., object] | None = field()
    arguments: tuple[Any, ...] = field()

    def cancel(self) -> None:
        """It shall not happen."""
        self.call = None
        self.arguments = ()


class World:
    """The clock and the order of events.  `seed` determines all that happens."""

    def __init__(self, seed: int, *, keep_trace: bool = False) -> None:
        self.seed = seed
        self.now = 0
        self.events = 0
        self.nature = Nature()
        self.lateness = self.stream("timers")
        self.current: Owner = self.nature
        """Whose event is happening; log records are stamped with it."""
        self.trace = Trace(keep=keep_trace)
        self.stopped = False
        self._heap: list[tuple[int, int, Event]] = []
        self._order = 0

    def stream(self, name: str) -> Stream:
        """The random numbers that belong to `name`."""
        return Stream(self.seed, name)

    def at(self, when: int, owner: Owner, call: Callable[..., object], *arguments: Any) -> Event:
        """Let `call(*arguments)` happen at `when`, unless `owner` is dead by then."""
        if when < self.now:
            when = self.now
        event = Event(when, owner, call, arguments)
        self._order += 1
        heapq.heappush(self._heap, (when, self._order, event))
        return event

    def after(
        self, delay: int, owner: Owner, call: Callable[..., object], *arguments: Any
    ) -> Event:
        """Let it happen `delay` nanoseconds from now."""
        return self.at(self.now + delay, owner, call, *arguments)

    def unpark(self, events: "list[Event]") -> None:
        """Let all this happen now, in this order."""
        for event in events:
            event.at = self.now
            self._order += 1
            heapq.heappush(self._heap, (self.now, self._order, event))

    def stop(self) -> None:
        """End the run after the present event."""
        self.stopped = True

    def run(self, until: int) -> None:
        """Let everything happen up to and including `until`, or up to `stop`."""
        at_this_instant = 0
        heap, note, pop = self._heap, self.trace.note, heapq.heappop
        while heap and not self.stopped and heap[0][0] <= until:
            when, order, event = pop(heap)
            call, owner = event.call, event.owner
            if call is None or not owner.alive:
                if call is not None and owner.parked is not None:
                    owner.parked.append(event)
                continue
            if owner.event_ns:
                if when < owner.busy_until:
                    heapq.heappush(heap, (owner.busy_until, order, event))
                    continue
                owner.busy_until = when + owner.event_ns
            at_this_instant = at_this_instant + 1 if when == self.now else 0
            if at_this_instant > AT_ONE_INSTANT_MAX:
                raise Zeno(f"{owner.name} is busy without end at {self.now} ns: {call}")
            self.now = when
            self.events += 1
            label = getattr(call, "__qualname__", None) or type(call).__name__
            note(f"{when} {order} {owner.name} {label}")
            event.call = None  # it has happened: cancelling it now is too late
            self.current = owner
            try:
                call(*event.arguments)
            finally:
                self.current = self.nature
        if not self.stopped:
            self.now = max(self.now, until)
