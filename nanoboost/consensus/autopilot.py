"""Which nodes should vote: a pure function from what Raft and gossip see to at most one change.

**Gossip proposes, Raft disposes**: gossip says who is there and since when, but whether a majority
of the old and of the new voters is really there is decided by who has answered the leader lately;
*suspect* changes nothing.  The set never rests at 2 or 4 voters: two are less available than one,
and four than three.  One voter for fewer than 3 nodes, three up to 6, five from 7.

The rules, the first that applies (reference numbers of the design: G3 to G8; G0 is the caller's,
G1 is `_is_safe`, G2 is that no rule reads *suspect*, G7 is `_is_wiped`):

    leave    a voter that wants to go is exchanged for a ready learner, or the set shrinks
    replace  so is a voter that has been dead for `voter_replace_s`
    grow     1 -> 3 and 3 -> 5 in one change, once enough learners are ready
    shrink   without a replacement, a voter must have been dead for `voter_shrink_s`
    learners two stand by; the dead are dropped, members that stay are added
"""

from collections.abc import Callable, Collection, Iterable, Mapping

from attrs import frozen

from nanoboost.config import ConsensusTiming
from nanoboost.consensus.membership import Change, Configuration
from nanoboost.consensus.quorum import has_majority
from nanoboost.ids import Address, NodeId

LEARNERS_MAX = 2
"""As many as the largest step of growth needs; afterwards they stand by to replace a dead voter."""
LAG_MAX = 64
"""Entries that a learner may be behind and still be ready to vote."""


@frozen
class PeerView:
    """A node as gossip sees it: `state` is alive, suspect, dead or left, since monotonic `since`.
    `eligible`: may hold the log.  `name`: what people call it."""

    node: NodeId
    state: str
    since: float
    eligible: bool
    name: str = ""
    address: Address | None = None

    @property
    def home(self) -> tuple[str, Address] | None:
        """What a machine still has after its state directory was emptied; None: not known."""
        return None if self.address is None else (self.name, self.address)

    @property
    def is_live(self) -> bool:
        """Whether gossip believes that it is there."""
        return self.state in ("alive", "suspect")


@frozen
class Contact:
    """A member as the leader sees it: how far it is, and when it last answered."""

    match: int
    is_replicating: bool
    heard_at: float


@frozen
class Situation:
    """All that the autopilot looks at.  `departing` have asked to leave."""

    me: NodeId
    configuration: Configuration
    configuration_index: int
    last_index: int
    peers: Mapping[NodeId, PeerView]
    contacts: Mapping[NodeId, Contact]
    departing: Collection[NodeId]
    steady_since: float
    """When this leader was elected, or the configuration last changed."""


def desired_change(now: float, timing: ConsensusTiming, situation: Situation) -> Change | None:
    """The change to make now, if any."""
    assert not situation.configuration.is_joint
    return _Judgement(now, timing, situation).change()


def target_voters(nodes: int) -> int:
    """How many of so many nodes should vote."""
    if nodes < 3:
        return 1
    return 3 if nodes < 7 else 5


class _Judgement:
    """One look at one situation."""

    def __init__(self, now: float, timing: ConsensusTiming, situation: Situation) -> None:
        self._now = now
        self._timing = timing
        self._me = situation.me
        self._situation = situation
        self._voters = situation.configuration.voters
        self._learners = situation.configuration.learners
        self._inhabited = {
            peer.home for peer in situation.peers.values() if peer.home is not None and peer.is_live
        }

    def change(self) -> Change | None:
        rules: tuple[Callable[[], Configuration | None], ...] = (
            self._leave,
            self._replace,
            self._grow,
            self._shrink,
            self._stand_by,
        )
        for rule in rules:
            wanted = rule()
            if wanted is not None and self._is_safe(wanted):
                return Change(wanted.voters, wanted.learners, self._situation.configuration_index)
        return None

    # --- the rules -------------------------------------------------------------------------------

    def _leave(self) -> Configuration | None:
        """Who asked to leave has nothing to prove, and neither has who stands in for it: it need
        only have caught up."""
        going = [node for node in self._voters if self._is_departing(node)]
        return self._without(going, self._caught_up()) if going else None

    def _replace(self) -> Configuration | None:
        dead = self._dead_voters(self._timing.voter_replace_s)
        ready = self._ready()[: len(dead)]
        return self._without(dead[: len(ready)], ready) if ready and self._is_steady() else None

    def _grow(self) -> Configuration | None:
        ready = self._ready()
        live = sum(peer.is_live for peer in self._situation.peers.values())
        for goal in (5, 3):
            missing = goal - len(self._voters)
            if goal <= target_voters(live) and 0 < missing <= len(ready):
                return self._configuration((*self._voters, *ready[:missing]), self._learners)
        return None

    def _shrink(self) -> Configuration | None:
        dead = self._dead_voters(self._timing.voter_shrink_s)
        return self._without(dead, []) if dead and self._is_steady() else None

    def _stand_by(self) -> Configuration | None:
        kept = [node for node in self._learners if not self._is_lost(node)]
        live = [node for node in kept if self._is_live(node)]
        waiting = self._in_order(
            node
            for node in self._situation.peers
            if self._situation.configuration.part(node) == ""
            and self._has_stayed(node, self._timing.learner_add_s)
            and not self._is_departing(node)
        )
        learners = (*kept, *waiting[: max(0, LEARNERS_MAX - len(live))])
        if set(learners) == set(self._learners):
            return None
        return self._configuration(self._voters, learners)

    # --- what they are made of -------------------------------------------------------------------

    def _without(
        self, going: Collection[NodeId], successors: Collection[NodeId]
    ) -> Configuration | None:
        """The voters without `going`, filled up from `successors`, and odd."""
        staying = [node for node in self._voters if node not in going]
        voters = [*staying, *list(successors)[: len(going)]]
        learners = list(self._learners)
        if len(voters) % 2 == 0 and voters:
            spare = min(voters, key=self._worth)
            voters.remove(spare)
            learners.append(spare)
        return self._configuration(voters, learners) if voters else None

    def _configuration(self, voters: Iterable[NodeId], learners: Iterable[NodeId]) -> Configuration:
        chosen = tuple(sorted(voters))
        rest = {node for node in learners if node not in chosen and not self._is_departing(node)}
        return Configuration(chosen, (), tuple(sorted(rest)))

    def _is_safe(self, wanted: Configuration) -> bool:
        """Whether the change can be carried through by those who answer the leader now."""
        there = [node for node in self._situation.contacts if self._is_heard(node)]
        there.append(self._me)
        return has_majority(self._voters, there) and has_majority(wanted.voters, there)

    def _worth(self, node: NodeId) -> tuple[bool, bool, int, NodeId]:
        """Which voter to give up first: the smallest."""
        contact = self._situation.contacts.get(node)
        return node == self._me, self._is_heard(node), contact.match if contact else 0, node

    def _ready(self) -> list[NodeId]:
        """The learners that may vote."""
        return [
            node
            for node in self._caught_up()
            if self._has_stayed(node, self._timing.learner_ready_s)
        ]

    def _caught_up(self) -> list[NodeId]:
        contacts, last = self._situation.contacts, self._situation.last_index
        return self._in_order(
            node
            for node in self._learners
            if self._is_live(node)
            and not self._is_departing(node)
            and self._is_heard(node)
            and contacts[node].is_replicating
            and last - contacts[node].match <= LAG_MAX
        )

    def _dead_voters(self, for_s: float) -> list[NodeId]:
        """The voters that gossip has held dead for so long (or not known at all, while this leader
        led), and that do not answer Raft either."""
        found = []
        for node in self._voters:
            peer = self._situation.peers.get(node)
            if node == self._me or self._is_heard(node) or (peer is not None and peer.is_live):
                continue
            since = self._situation.steady_since if peer is None else peer.since
            if since + for_s <= self._now or self._is_wiped(node):
                found.append(node)
        return found

    def _is_wiped(self, node: NodeId) -> bool:
        """Whether somebody else lives where this node did: its machine has lost the state that made
        it this node, which can therefore never come back."""
        peer = self._situation.peers.get(node)
        return peer is not None and not peer.is_live and peer.home in self._inhabited

    def _is_steady(self) -> bool:
        """Whether this leader has led, with this configuration, long enough to judge the dead."""
        return self._situation.steady_since + self._timing.learner_ready_s <= self._now

    def _is_departing(self, node: NodeId) -> bool:
        peer = self._situation.peers.get(node)
        has_left = peer is not None and peer.state == "left" and node != self._me
        return has_left or node in self._situation.departing

    def _is_lost(self, node: NodeId) -> bool:
        """Whether a learner is not worth its place."""
        peer = self._situation.peers.get(node)
        if self._is_departing(node):
            return True
        if peer is None:
            return not self._is_heard(node) and self._is_steady()
        has_gone = peer.since + self._timing.learner_drop_s <= self._now
        return not peer.is_live and (has_gone or self._is_wiped(node))

    def _is_live(self, node: NodeId) -> bool:
        peer = self._situation.peers.get(node)
        return peer is not None and peer.is_live and peer.eligible

    def _has_stayed(self, node: NodeId, for_s: float) -> bool:
        """Whether the member has been there for so long; a suspicion neither counts nor hurts, but
        nobody is promoted while suspected."""
        peer = self._situation.peers[node]
        return peer.state == "alive" and peer.eligible and peer.since + for_s <= self._now

    def _is_heard(self, node: NodeId) -> bool:
        contact = self._situation.contacts.get(node)
        return contact is not None and self._now - contact.heard_at <= self._timing.election_s_min

    def _in_order(self, nodes: Iterable[NodeId]) -> list[NodeId]:
        """The longest there first."""
        peers = self._situation.peers
        return sorted(nodes, key=lambda node: (peers[node].since, node))
