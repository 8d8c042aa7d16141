"""How long a suspect has to refute: from `max` down to `min` as members confirm (Lifeguard IV-B).

**Only distinct accusers count**: neither the first accuser again nor a repetition shortens it.
"""

from math import floor, log, log10

from attrs import frozen

from nanoboost.config import GossipTiming
from nanoboost.ids import NodeId

REFUSED_DIVISOR = 4
"""A host that is there and refuses the port has no process to hear of the suspicion: only a restart
could refute it, so a quarter of the shortest time is enough."""


@frozen
class SuspicionBounds:
    """The shortest and the longest time in seconds, and the confirmations between them."""

    min_s: float
    max_s: float
    confirmations: int

    def timeout_s(self, confirmed: int) -> float:
        """How long a suspicion with `confirmed` confirmations lasts from its start, seconds."""
        if self.confirmations < 1:
            return self.min_s
        share = log(confirmed + 1) / log(self.confirmations + 1)
        timeout = self.max_s - (self.max_s - self.min_s) * share
        return max(self.min_s, floor(timeout * 1000 + 1e-9) / 1000)


def bounds(timing: GossipTiming, live: int) -> SuspicionBounds:
    """The bounds in a cluster of `live` members: a rumor needs about log(live) rounds to reach all.

    With too few members to confirm, the shortest time holds from the start.
    """
    scale = max(1.0, floor(log10(max(1, live)) * 1000) / 1000)
    min_s = timing.suspicion_mult * scale * timing.probe_interval_s
    confirmations = timing.suspicion_confirmations
    if live - 2 < confirmations:
        confirmations = 0
    return SuspicionBounds(min_s, timing.suspicion_max_mult * min_s, confirmations)


class Suspicion:
    """One suspicion about one incarnation of one member."""

    def __init__(self, started: float, accuser: NodeId, limits: SuspicionBounds) -> None:
        self._started = started
        self._accusers = {accuser: None}  # an ordered set
        self._limits = limits
        self._condemned = False

    @property
    def deadline(self) -> float:
        """When the member is to be held dead, monotonic seconds."""
        if self._condemned:
            return self._started + self._limits.min_s / REFUSED_DIVISOR
        return self._started + self._limits.timeout_s(len(self._accusers) - 1)

    def confirm(self, accuser: NodeId) -> bool:
        """Count an accuser; False if that is no news (known, or enough of them)."""
        if accuser in self._accusers or len(self._accusers) > self._limits.confirmations:
            return False
        self._accusers[accuser] = None
        return True

    def condemn(self) -> None:
        """Its host has said that no process is there."""
        self._condemned = True

    def shift(self, seconds: float) -> None:
        """Give it as much more time as we were asleep."""
        self._started += seconds
