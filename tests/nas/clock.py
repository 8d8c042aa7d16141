"""Time that passes only while somebody sleeps; things happen at given moments of it."""

from collections.abc import Callable
from typing import Any

from nanoboost.nas.walk import Pace


class SleepClock:
    """Counts what was slept and the signs of life."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []
        self.ticks = 0
        self._happenings: list[tuple[float, Callable[[], Any]]] = []

    def at(self, moment: float, happening: Callable[[], Any]) -> None:
        """Let something happen once `moment` is reached."""
        self._happenings.append((moment, happening))

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        due = [each for each in self._happenings if each[0] <= self.now]
        for happening in due:
            self._happenings.remove(happening)
            happening[1]()

    def _tick(self) -> None:
        self.ticks += 1

    @property
    def pace(self) -> Pace:
        return Pace(self.sleep, lambda: self.now, self._tick)
