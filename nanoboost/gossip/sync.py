"""When to exchange tables, and with whom: to join, when digests keep differing, and anyway.

**Joining is tried for ever**: through the seeds and the peers of the last run until one other
member is known, and from then on, more and more rarely, through each seed at which nobody is known
or has answered.  (Two newcomers that meet first are not the cluster.)  Digest-triggered exchanges
are at least `SYNC_GAP_S` apart.
"""

from collections.abc import Container
from math import ceil, log2
from random import Random

from nanoboost.config import GossipTiming
from nanoboost.ids import Address, NodeId

SYNC_GAP_S = 1.0
DIFFERING_ROUNDS = 2
JOIN_GAP_MIN_S, JOIN_GAP_MAX_S = 0.5, 15.0
JOIN_GAP_ALONE_S = 2.0
"""Between two knocks of a node that knows nobody, at most: it may have come up while the network
was cut, is soon in after it has been mended, and costs the others next to nothing."""
JOIN_PEERS = 4
"""How many remembered peers are asked along with the seeds, in turn."""
PEERS_MAX = 64
RETURN_ASKERS = 4
"""How many, on average, exchange tables with a member that comes back."""


def sync_scale(live: int) -> int:
    """By how much rarer the regular exchanges are in a larger cluster (memberlist's rule)."""
    return 1 if live <= 32 else 1 + ceil(log2(live / 32))


class SyncClock:
    """When the next exchange of tables is due."""

    def __init__(self, timing: GossipTiming, rng: Random, now: float) -> None:
        self._timing = timing
        self._rng = rng
        self._rounds = 0
        self._differing: NodeId | None = None
        self._not_before = now
        self.due = now + timing.sync_interval_s * rng.uniform(0.5, 1.0)

    def seen(self, node: NodeId, same: bool) -> None:
        """The digest of `node` is the same as ours, or not."""
        if not same:
            self._differing = node
        elif self._differing == node:
            self._differing = None

    def round(self, now: float) -> NodeId | None:
        """A probe round is over.  Whose table to ask for, if digests have differed for long."""
        self._rounds = self._rounds + 1 if self._differing is not None else 0
        partner = self._differing
        if self._rounds < DIFFERING_ROUNDS or now < self._not_before:
            return None
        self._differing = None
        self._rounds = 0
        self._not_before = now + SYNC_GAP_S * self._rng.uniform(1.0, 1.5)
        return partner

    def passed(self, now: float, live: int) -> None:
        """The regular exchange is done; set the next."""
        interval = self._timing.sync_interval_s * sync_scale(live)
        self.due = now + interval * self._rng.uniform(0.9, 1.1)

    def wanted(self, now: float, live: int) -> bool:
        """Whether to ask a member that has just come back, out of turn; counts as asked if so.  All
        hear of its return at once, and a few of them do for all."""
        if now < self._not_before or self._rng.random() * live > RETURN_ASKERS:
            return False
        self._not_before = now + SYNC_GAP_S
        return True


class JoinClock:
    """Whom to ask for the cluster, and when, until it is found."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._is_alone = True
        self._heard: set[Address] = set()
        """Seeds that have answered: they know us, and we what they knew."""
        self._seeds: tuple[Address, ...] = ()
        self._peers: list[Address] = []
        self._gap_s = JOIN_GAP_MIN_S
        self.due: float | None = None

    def begin(self, now: float, seeds: tuple[Address, ...], peers: tuple[Address, ...]) -> None:
        """Start asking at once."""
        self._seeds = tuple(dict.fromkeys((*self._seeds, *seeds)))
        self._peers = list(dict.fromkeys((*self._peers, *peers)))
        self._is_alone = True
        self._heard.clear()
        self._gap_s = JOIN_GAP_MIN_S
        self.due = now if self._seeds or self._peers else None

    def again(self, now: float) -> None:
        """Nobody else is left: look for the cluster as at the start."""
        if not self._is_alone or self.due is None:
            self._is_alone = True
            self._heard.clear()
            self._gap_s = JOIN_GAP_MIN_S
            self.due = now + self._gap_s if self._seeds or self._peers else None

    def asked(self, now: float, known: Container[Address]) -> tuple[Address, ...]:
        """The addresses to ask now, somebody being at those that are `known`; the next time is set,
        further off each time, if there is anything left to look for."""
        if self._is_alone:
            peers = self._peers[:JOIN_PEERS]
            self._peers = self._peers[JOIN_PEERS:] + peers
            addresses = tuple(dict.fromkeys((*self._seeds, *peers)))
        else:
            addresses = tuple(a for a in self._seeds if a not in known and a not in self._heard)
        self.due = now + self._gap_s * self._rng.uniform(0.75, 1.25) if addresses else None
        self._gap_s = min(JOIN_GAP_ALONE_S if self._is_alone else JOIN_GAP_MAX_S, 2 * self._gap_s)
        return addresses

    def answered(self, address: Address) -> None:
        """Whoever is at `address` has given us its table."""
        if address in self._seeds:
            self._heard.add(address)

    def remember(self, address: Address) -> None:
        """Somebody was there who is forgotten by now."""
        if address not in self._peers:
            self._peers = [*self._peers, address][-PEERS_MAX:]

    def lost(self, known: Container[Address]) -> Address | None:
        """One of the addresses at which nobody is known now, if there are any."""
        lost = [each for each in (*self._seeds, *self._peers) if each not in known]
        return self._rng.choice(lost) if lost else None

    def found(self) -> None:
        """Somebody else is known."""
        self._is_alone = False
