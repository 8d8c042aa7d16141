"""`callLater` on virtual time.

**A timer is never early, and always at least a microsecond late**: Twisted's `LoopingCall` compares
floating-point times and would otherwise fire twice for one interval.
"""

from collections.abc import Callable
from math import ceil
from typing import Any

from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from zope.interface import implementer

from simulations.kernel.world import SECOND, US, Event, Owner, World

LATE_NS_MAX = 0
"""How late a timer may be beyond that: drawn for each."""

_log = Logger()


@implementer(IDelayedCall)
class Timer:
    """One delayed call (the method names are Twisted's)."""

    def __init__(
        self,
        world: World,
        owner: Owner,
        delay_s: float,
        call: Callable[[], object],
        gone: Callable[["Timer"], None],
        truly: Callable[[int], int] = lambda delay_ns: delay_ns,
    ) -> None:
        self._world = world
        self._truly = truly
        self._owner = owner
        self._call = call
        self._gone = gone
        self._called = False
        self._cancelled = False
        self._event: Event
        self._arm(world.now + truly(ceil(delay_s * SECOND)))

    def _arm(self, due: int) -> None:
        late = self._world.lateness.below(LATE_NS_MAX) if LATE_NS_MAX else 0
        self._event = self._world.at(due + US + late, self._owner, self._fire)

    def _fire(self) -> None:
        self._called = True
        self._gone(self)
        self._call()

    def __repr__(self) -> str:
        return getattr(self._call, "__qualname__", "?")

    def getTime(self) -> float:
        """When it is due, in seconds."""
        return self._event.at / SECOND

    def cancel(self) -> None:
        """Let it not happen."""
        self._check()
        self._cancelled = True
        self._event.cancel()
        self._gone(self)

    def delay(self, secondsLater: float) -> None:
        """Let it happen later than it would."""
        self._check()
        due = self._event.at - US + self._truly(ceil(secondsLater * SECOND))
        self._event.cancel()
        self._arm(due)

    def reset(self, secondsFromNow: float) -> None:
        """Let it happen so much later than now."""
        self._check()
        self._event.cancel()
        self._arm(self._world.now + self._truly(ceil(secondsFromNow * SECOND)))

    def active(self) -> bool:
        """Whether it is still to come."""
        return not (self._called or self._cancelled)

    def _check(self) -> None:
        if self._cancelled:
            raise AlreadyCancelled
        if self._called:
            raise AlreadyCalled


def as_call(call: Callable[..., object], *arguments: Any, **named: Any) -> Callable[[], object]:
    """A call without arguments, whose name in the trace is still the one that was given.

    As in the real reactors, what it raises is logged; here every such line is a finding of the run.
    """

    def bound() -> None:
        try:
            call(*arguments, **named)
        except Exception:
            _log.failure("an exception came up to the reactor")

    bound.__qualname__ = str(getattr(call, "__qualname__", type(call).__name__))
    return bound
