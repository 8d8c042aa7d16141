"""Is that member there?  One `Probe` for each question, one `Relay` for each asked of us.

    ping ---(probe timeout)---> ping requests to k helpers, and a question over TCP at the same time
         ---(probe interval)---> an ack by any way: fine; nothing: suspect

**A probe ends once, at the instant fixed when it began.**  A helper says at 80 % of the time it was
given that it is there although the target is silent (its NACK): the fewer NACKs come, the more
likely it is that the prober itself is the one that cannot hear (Lifeguard IV-A).
"""

from collections import deque
from heapq import nlargest

from attrs import define, field

from nanoboost.config import NACK_SHARE, GossipTiming
from nanoboost.gossip.messages import BUDGET_S_MAX
from nanoboost.ids import Address, NodeId

RELAYS_MAX = 256
LATE_S = 0.05
EXCUSES_MAX = 3
ROUND_TRIPS = 100
"""So many of the latest tell how long a direct ping takes here."""
ROUND_TRIPS_MIN = 20
PING_TIMEOUT_MULT = 4


class PingTimeout:
    """How long to wait for the ack of a direct ping: `PING_TIMEOUT_MULT` times the 99th percentile
    of the latest, late ones included, between the bounds of `timing`."""

    def __init__(self, timing: GossipTiming) -> None:
        self._timing = timing
        self._latest: deque[float] = deque(maxlen=ROUND_TRIPS)

    def note(self, seconds: float) -> None:
        """A target has acknowledged by itself after so long."""
        self._latest.append(seconds)

    @property
    def seconds(self) -> float:
        """What to wait now."""
        most = self._timing.probe_timeout_s
        if len(self._latest) < ROUND_TRIPS_MIN:
            return most
        p99 = nlargest(2, self._latest)[1]
        return min(most, max(self._timing.probe_timeout_s_min, PING_TIMEOUT_MULT * p99))


@define
class Probe:
    """A question of our own.  `widen_at` is when to try the other ways (None: they are tried);
    `helpers` are those asked to ping, with whether they have said at least that they are there;
    `is_hastened`: there is a reason to ask, besides its turn."""

    sequence: int
    target: NodeId
    begun: float
    ends: float
    widen_at: float | None
    helpers: dict[NodeId, bool] = field(factory=dict)
    excuses: int = 0
    is_hastened: bool = False

    @property
    def due(self) -> float:
        """When there is something to do about it."""
        return self.ends if self.widen_at is None else self.widen_at

    def health_delta(self) -> int:
        """What failing says about ourselves: missing NACKs, or 1 if there was nobody to ask."""
        if not self.helpers:
            return 1
        return sum(not heard for heard in self.helpers.values())


class Probes:
    """The probes under way, by sequence number."""

    def __init__(self) -> None:
        self._probe_by_sequence: dict[int, Probe] = {}

    def begin(self, probe: Probe) -> None:
        """Wait for an answer to `probe`."""
        self._probe_by_sequence[probe.sequence] = probe

    def of(self, target: NodeId) -> Probe | None:
        """A probe of `target` under way."""
        return next((p for p in self._probe_by_sequence.values() if p.target == target), None)

    def get(self, sequence: int) -> Probe | None:
        """The probe of that number, if it is still under way."""
        return self._probe_by_sequence.get(sequence)

    def answered(self, sequence: int, sender: NodeId) -> Probe | None:
        """End the probe that `sender` acknowledges; None if it has no say in any."""
        probe = self._probe_by_sequence.get(sequence)
        if probe is None or (sender != probe.target and sender not in probe.helpers):
            return None
        return self._probe_by_sequence.pop(sequence)

    def nacked(self, sequence: int, sender: NodeId) -> None:
        """The helper `sender` is there."""
        probe = self._probe_by_sequence.get(sequence)
        if probe is not None and sender in probe.helpers:
            probe.helpers[sender] = True

    def end(self, probe: Probe) -> None:
        """Forget a probe."""
        self._probe_by_sequence.pop(probe.sequence, None)

    def end_all(self) -> None:
        """Forget all probes: what they would say is not to be believed."""
        self._probe_by_sequence.clear()

    def excuse(self, now: float) -> int:
        """Give a probe to which we come late as much more time, a few times at most; returns how
        many there were.  The timers of a busy process come before its sockets, so the answer may
        lie there unread."""
        late = [p for p in self._probe_by_sequence.values() if now - p.due > LATE_S]
        late = [p for p in late if p.excuses < EXCUSES_MAX]
        for probe in late:
            more = 2 * (now - probe.due)
            probe.excuses += 1
            probe.ends += more
            if probe.widen_at is not None:
                probe.widen_at += more
        return len(late)

    def to_widen(self, now: float) -> list[Probe]:
        """The probes whose direct ping has gone unanswered for long enough."""
        probes = self._probe_by_sequence.values()
        return [p for p in probes if p.widen_at is not None and p.widen_at <= now]

    def ended(self, now: float) -> list[Probe]:
        """The probes that have failed, now forgotten."""
        found = [p for p in self._probe_by_sequence.values() if p.ends <= now]
        for probe in found:
            del self._probe_by_sequence[probe.sequence]
        return found

    def deadline(self) -> float | None:
        """When one of them has something to do."""
        return min([p.due for p in self._probe_by_sequence.values()], default=None)


@define
class Relay:
    """A ping that we sent for somebody else.  `nack_at` is None once the NACK is said."""

    asker: Address
    asker_sequence: int
    target: NodeId
    nack_at: float | None
    ends: float


class Relays:
    """The pings for others, by our own sequence number; a bounded number of them."""

    def __init__(self) -> None:
        self._relay_by_sequence: dict[int, Relay] = {}

    def begin(
        self,
        now: float,
        sequence: int,
        asker: Address,
        asker_sequence: int,
        target: NodeId,
        budget_s: float,
    ) -> bool:
        """Remember for whom we ping; False if we do that for too many."""
        if len(self._relay_by_sequence) >= RELAYS_MAX:
            return False
        budget_s = min(budget_s, BUDGET_S_MAX)
        self._relay_by_sequence[sequence] = Relay(
            asker, asker_sequence, target, now + NACK_SHARE * budget_s, now + budget_s
        )
        return True

    def answered(self, sequence: int, sender: NodeId) -> Relay | None:
        """The relay whose target has acknowledged; it is over."""
        relay = self._relay_by_sequence.get(sequence)
        if relay is None or relay.target != sender:
            return None
        return self._relay_by_sequence.pop(sequence)

    def to_nack(self, now: float) -> list[Relay]:
        """The relays that are due to be told "not yet"; expired ones are forgotten."""
        due = []
        for sequence, relay in list(self._relay_by_sequence.items()):
            if relay.nack_at is not None and relay.nack_at <= now:
                relay.nack_at = None
                due.append(relay)
            if relay.ends <= now:
                del self._relay_by_sequence[sequence]
        return due

    def deadline(self) -> float | None:
        """When one of them has something to do."""
        times = [
            relay.ends if relay.nack_at is None else relay.nack_at
            for relay in self._relay_by_sequence.values()
        ]
        return min(times, default=None)
