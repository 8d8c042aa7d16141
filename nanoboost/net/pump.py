"""Drive one core with one clock.

**Events are handled one at a time, in order of arrival; the effects of one are all performed before
the next is taken.**  The pump keeps exactly one timer, for the core's deadline.  A core that raises
has a broken invariant: Twisted would log that and limp on, so the pump stops and reports instead.

When a process has slept, Twisted reads the sockets before it looks at the timers.  A core that must
not act on what comes in before another core has noticed the pause names that one's `catch_up` as
what goes `ahead`.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from nanoboost.core import Core, Woke

EventT = TypeVar("EventT")
EffectT = TypeVar("EffectT")


class Pump(Generic[EventT, EffectT]):
    """Feeds events to a core and performs its effects.

    `clock` provides IReactorTime; `perform` does one effect and may feed events (they wait their
    turn); `crashed` is told the failure of a core or of an effect, after which the pump is dead.
    """

    def __init__(
        self,
        core: Core[EventT, EffectT],
        clock: Any,
        perform: Callable[[EffectT], None],
        crashed: Callable[[Failure], None],
        ahead: Callable[[], None] = lambda: None,
    ) -> None:
        self._core = core
        self._clock = clock
        self._perform = perform
        self._crashed = crashed
        self._ahead = ahead
        self._inbox: deque[EventT | Woke] = deque()
        self._running = False
        self._stopped = False
        self._timer: IDelayedCall | None = None  # not None: it is still to come
        self._armed_for = 0.0

    def feed(self, event: EventT | Woke) -> None:
        """Run `event`, and whatever its effects feed back, to completion."""
        if self._stopped:
            return
        if not self._running:
            self._ahead()
        self._inbox.append(event)
        if self._running:
            return  # fed by an effect: the loop below will come to it
        self._running = True
        try:
            while self._inbox:
                for effect in self._core.step(self._clock.seconds(), self._inbox.popleft()):
                    self._perform(effect)
        except Exception:
            self.stop()
            self._crashed(Failure())
            return
        finally:
            self._running = False
        self._arm()

    def catch_up(self) -> None:
        """If the core's deadline has passed, wake it now and not when the reactor comes to it."""
        deadline = self._core.deadline()
        if deadline is not None and deadline <= self._clock.seconds() and not self._running:
            self.feed(Woke())

    def start(self) -> None:
        """Arm the timer for the core's first deadline."""
        self._arm()

    def stop(self) -> None:
        """Take no more events; forget the timer."""
        self._stopped = True
        self._inbox.clear()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None

    def _arm(self) -> None:
        if self._stopped:
            return
        deadline = self._core.deadline()
        if self._timer is not None:
            if deadline == self._armed_for:
                return
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            self._armed_for = deadline
            delay = max(0.0, deadline - self._clock.seconds())
            self._timer = self._clock.callLater(delay, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self.feed(Woke())
