"""A machine's two clocks: one that only goes forward, and one that people set.

**The monotonic one may run fast or slow but never jumps**; the wall clock jumps whenever somebody,
or a time server, sets it.
"""

from simulations.kernel.world import SECOND, World

EPOCH_S = 1_800_000_000
MILLION = 1_000_000


class HostClock:
    """Both clocks of one machine.  `ppm`: how many microseconds a second it is ahead."""

    def __init__(self, world: World, ppm: int = 0) -> None:
        self._world = world
        self.ppm = ppm
        self._since = 0
        self._then = 0
        self._step_s = 0.0

    def ns(self) -> int:
        """Monotonic time, in the machine's own nanoseconds."""
        passed = self._world.now - self._since
        return self._then + passed + passed * self.ppm // MILLION

    def seconds(self) -> float:
        """Monotonic time."""
        return (self.ns() if self.ppm or self._since else self._world.now) / SECOND

    def wall(self) -> float:
        """Seconds since the epoch, as this machine believes."""
        return EPOCH_S + self._step_s + self.seconds()

    def truly(self, delay_ns: int) -> int:
        """How long so many of the machine's nanoseconds last: never less."""
        if not self.ppm:
            return delay_ns
        return -(-delay_ns * MILLION // (MILLION + self.ppm))

    def drift(self, ppm: int) -> None:
        """Run fast or slow from now on."""
        self._then, self._since = self.ns(), self._world.now
        self.ppm = ppm

    def step(self, by_s: float) -> None:
        """Set the wall clock forward or back."""
        self._step_s += by_s
