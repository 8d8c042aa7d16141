"""How far this node may trust its own view: Lifeguard's local health, and the pause guard.

**A node that was slow or asleep blames itself before it blames others.**
"""

from nanoboost.config import GossipTiming

PAUSE_PENALTY = 2


class LocalHealth:
    """A score from 0 (healthy) to one less than `stretch_max` (Lifeguard's S = 8, as memberlist
    clamps it)."""

    def __init__(self, stretch_max: int) -> None:
        self._stretch_max = stretch_max
        self.score = 0

    def adjust(self, delta: int) -> None:
        """An own probe answered: -1; each helper that failed to say even "no": +1; having to refute
        a suspicion: +1 (Lifeguard IV-A)."""
        self.score = min(self._stretch_max - 1, max(0, self.score + delta))

    @property
    def factor(self) -> int:
        """By how much the probe interval is stretched."""
        return self.score + 1


def pause_s(now: float, deadline: float | None, timing: GossipTiming) -> float:
    """For how long this process did not run although it should have, seconds; 0 if that is
    within what a busy machine does.  A laptop that slept must not wake up and convict everybody."""
    late = 0.0 if deadline is None else now - deadline
    return late if late > max(2 * timing.probe_interval_s, 1.0) else 0.0
