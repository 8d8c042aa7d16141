"""How long a suspect has to refute: from `max` down to `min` as members confirm (Lifeguard IV-B).

**Only distinct accusers count**: neither the first accuser again nor a repetition shortens it.
"""

from collections import deque
from math import ceil, floor, log, log10

from attrs import frozen

from nanoboost.config import GossipTiming
from nanoboost.gossip.members import Record, Rumor, State
from nanoboost.ids import NodeId

CONDEMNED_SHARE = 0.5
"""Of a probe interval: what is left to whom its own host declares gone.  Only a mistake could be
refuted, and the accused is told at once, so this is a hundred round trips more than it takes."""
REFUTATIONS_MAX = 3
REFUTATIONS_S = 60.0
PATIENCE_MAX = 4


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


def bounds(timing: GossipTiming, live: int, patience: int = 1) -> SuspicionBounds:
    """The bounds in a cluster of `live` members: a rumor needs about log(live) rounds to reach all.

    With too few members to confirm, the shortest time holds from the start.  `patience` times as
    long for one that has refuted again and again.
    """
    scale = max(1.0, floor(log10(max(1, live)) * 1000) / 1000)
    if timing.natural_log:
        scale = ceil(log(live + 1))
    min_s = timing.suspicion_mult * scale * timing.probe_interval_s * patience
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
        self._condemned_s: float | None = None
        self.is_asked = False
        """Whether the member has had its last word."""

    @property
    def deadline(self) -> float:
        """When the member is to be held dead, monotonic seconds."""
        ends = self._started + self._limits.timeout_s(len(self._accusers) - 1)
        return ends if self._condemned_s is None else min(ends, self._condemned_s)

    def confirm(self, accuser: NodeId) -> bool:
        """Count an accuser; False if that is no news (known, or enough of them)."""
        if accuser in self._accusers or len(self._accusers) > self._limits.confirmations:
            return False
        self._accusers[accuser] = None
        return True

    def condemn(self, grace_s: float) -> None:
        """Its host has said that no process is there, or another member that it is dead: `grace_s`
        is all it has, from the start."""
        if self._condemned_s is None:
            self._condemned_s = self._started + grace_s

    @property
    def accuser(self) -> NodeId:
        """Who was the first to say so."""
        return next(iter(self._accusers))

    def rests_on(self, accuser: NodeId) -> bool:
        """Whether nobody else has said so, and its host has not."""
        return self._condemned_s is None and list(self._accusers) == [accuser]

    def begin_anew(self, now: float) -> None:
        """All the time again."""
        self._started = now

    def shift(self, seconds: float) -> None:
        """Give it as much more time as we were asleep."""
        self._started += seconds
        if self._condemned_s is not None:
            self._condemned_s += seconds


class Suspicions:
    """All suspicions of one node.  `deadline` is when the next of them ends, or `last_word_s`
    before, when the member is to be asked; None without any."""

    def __init__(self, last_word_s: float) -> None:
        self._last_word_s = last_word_s
        self._by_node: dict[NodeId, Suspicion] = {}
        self.deadline: float | None = None

    def __contains__(self, node: object) -> bool:
        return node in self._by_node

    def begin(self, node: NodeId, suspicion: Suspicion) -> None:
        """Suspect `node`."""
        self._by_node[node] = suspicion
        self._look()

    def end(self, node: NodeId) -> None:
        """Suspect `node` no more, if it was."""
        if self._by_node.pop(node, None) is not None:
            self._look()

    def confirm(self, node: NodeId, accuser: NodeId) -> bool:
        """See `Suspicion.confirm`."""
        is_news = self._by_node[node].confirm(accuser)
        self._look()
        return is_news

    def condemn(self, node: NodeId, grace_s: float) -> None:
        """See `Suspicion.condemn`."""
        self._by_node[node].condemn(grace_s)
        self._look()

    def to_ask(self, now: float) -> list[NodeId]:
        """Whose time is nearly over: each is named once, so that it can be asked a last time."""
        if self.deadline is None or now < self.deadline:
            return []
        due = [
            node
            for node, each in self._by_node.items()
            if not each.is_asked and each.deadline - self._last_word_s <= now
        ]
        for node in due:
            self._by_node[node].is_asked = True
        self._look()
        return due

    def ended(self, now: float) -> list[NodeId]:
        """Whose time is over."""
        if self.deadline is None or now < self.deadline:
            return []
        return [node for node, each in self._by_node.items() if each.deadline <= now]

    def accuser(self, node: NodeId) -> NodeId:
        """Who was the first to suspect `node`."""
        return self._by_node[node].accuser

    def resting_on(self, accuser: NodeId) -> list[Suspicion]:
        """Those that nobody but `accuser` holds."""
        return [each for each in self._by_node.values() if each.rests_on(accuser)]

    def begin_anew(self, now: float, which: list[Suspicion]) -> None:
        """Give `which` all the time again."""
        for suspicion in which:
            suspicion.begin_anew(now)
        self._look()

    def shift(self, seconds: float) -> None:
        """See `Suspicion.shift`."""
        for suspicion in self._by_node.values():
            suspicion.shift(seconds)
        self._look()

    def _look(self) -> None:
        self.deadline = min(
            (
                each.deadline if each.is_asked else each.deadline - self._last_word_s
                for each in self._by_node.values()
            ),
            default=None,
        )


class Refutations:
    """Who has refuted how often of late.  Whoever does so again and again is neither well nor dead:
    each refutation after the third within a minute doubles its time to refute the next one, up to
    `PATIENCE_MAX` times, and it is called unstable (Rapid, figure 9: flip-flops)."""

    def __init__(self) -> None:
        self._times_by_node: dict[NodeId, deque[float]] = {}

    def patience(self, now: float, old: Record | None, claim: Rumor) -> int:
        """By how much the time of a member to refute is stretched (1, 2 or 4) after `claim` about
        it, which takes the place of `old`; a refutation is counted."""
        if old is None:
            return 1
        has_refuted = (
            claim.kind is State.ALIVE
            and old.state in (State.SUSPECT, State.DEAD)
            and claim.incarnation.generation == old.incarnation.generation
        )
        if has_refuted:
            latest: deque[float] = deque(maxlen=REFUTATIONS_MAX + PATIENCE_MAX)
            self._times_by_node.setdefault(claim.node, latest).append(now)
        times = self._times_by_node.get(claim.node, ())
        late = sum(now - at <= REFUTATIONS_S for at in times)
        return int(min(PATIENCE_MAX, 2 ** max(0, late - REFUTATIONS_MAX)))

    def calmed(self, now: float) -> list[NodeId]:
        """Who has not refuted for so long that nothing is held against it; they are forgotten."""
        calm = [
            node for node, times in self._times_by_node.items() if now - times[-1] > REFUTATIONS_S
        ]
        for node in calm:
            del self._times_by_node[node]
        return calm
