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
    """Whose events they are."""

    name: str
    alive: bool


@define(eq=False)
class Nature:
    """The owner of what no machine does: links, faults, checkers."""

    name: str = "world"
    alive: bool = True


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
        event = Event(max(when, self.now), owner, call, arguments)
        self._order += 1
        heapq.heappush(self._heap, (event.at, self._order, event))
        return event

    def after(
        self, delay: int, owner: Owner, call: Callable[..., object], *arguments: Any
    ) -> Event:
        """Let it happen `delay` nanoseconds from now."""
        return self.at(self.now + delay, owner, call, *arguments)

    def stop(self) -> None:
        """End the run after the present event."""
        self.stopped = True

    def run(self, until: int) -> None:
        """Let everything happen up to and including `until`, or up to `stop`."""
        at_this_instant = 0
        while self._heap and not self.stopped and self._heap[0][0] <= until:
            when, order, event = heapq.heappop(self._heap)
            call = event.call
            if call is None or not event.owner.alive:
                continue
            at_this_instant = at_this_instant + 1 if when == self.now else 0
            if at_this_instant > AT_ONE_INSTANT_MAX:
                raise Zeno(f"{event.owner.name} is busy without end at {self.now} ns: {call}")
            self.now = when
            self.events += 1
            self.trace.note(f"{when} {order} {event.owner.name} {_label(call)}")
            event.call = None  # it has happened: cancelling it now is too late
            self.current = event.owner
            try:
                call(*event.arguments)
            finally:
                self.current = self.nature
        if not self.stopped:
            self.now = max(self.now, until)


def _label(call: Callable[..., object]) -> str:
    return str(getattr(call, "__qualname__", type(call).__name__))
