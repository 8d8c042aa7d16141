"""Membership, seen from above: who is gone is known to be gone, and nobody who is well is.

**Looked at while faults go on, from outside**: a node that has been gone for long enough is alive
to nobody, and two nodes that could talk for long enough are alive to each other.
"""

from collections.abc import Iterator
from itertools import combinations
from typing import TYPE_CHECKING

from attrs import define, field

from nanoboost.gossip.members import Incarnation, Member
from nanoboost.ids import NodeId
from simulations.kernel.world import SECOND

if TYPE_CHECKING:
    from simulations.stage.lab import Lab

BOUND_NS = 25 * SECOND
"""How long the network must have been quiet before a view must be true.  (In the profile `lan`
three nodes suspect for up to 12 s before they are sure, and call one of their dead every 10 s.)"""


@define(eq=False)
class MembersAreTrue:
    """Told to `look` every so often; says what is wrong, or ""."""

    _lab: "Lab" = field()
    _quiet_since: int = field(default=0, init=False)
    _highest: dict[tuple[str, int, NodeId], Incarnation] = field(factory=dict, init=False)
    sizes: dict[str, int] = field(factory=dict, init=False)
    """How many records each has."""
    generations: dict[NodeId, int] = field(factory=dict, init=False)
    """The last start of each of which anybody has heard."""

    def look(self) -> str:
        """Compare all views with the truth."""
        return next(self._wrong(), "")

    def _wrong(self) -> Iterator[str]:
        lab, now = self._lab, self._lab.world.now
        views = {name: life.node.gossip.members for name, life in lab.lives.items()}
        self.sizes = {name: len(members) for name, members in views.items()}
        for name, life in lab.lives.items():
            for member in views[name]:
                yield from self._backwards(name, life.process.number, member)
        if not self._is_quiet():
            self._quiet_since = now
        changed_at = max(self._quiet_since, lab.network.changed_at, lab.upheaval_at)
        if now - changed_at <= BOUND_NS:
            return
        for name, members in views.items():
            seen = [lab.names.get(each.node, "?") for each in members if each.state.is_live]
            span = f"for {(now - changed_at) / SECOND:.0f} s"
            for other in seen:
                if other not in lab.lives:
                    yield f"G1 {name} believes in {other}, gone {span}"
            for other in lab.lives:
                if other not in seen:
                    yield f"G2 {name} does not believe in {other}, in touch {span}"
        if len({life.node.gossip.digest for life in lab.lives.values()}) > 1:
            yield f"G4 not all see the same incarnations, in touch {span}"

    def _is_quiet(self) -> bool:
        """Whether all that runs is well and in touch."""
        lab = self._lab
        return all(lab.is_well(name) for name in lab.lives) and all(
            lab.in_touch(one, other) for one, other in combinations(lab.lives, 2)
        )

    def _backwards(self, name: str, life: int, member: Member) -> Iterator[str]:
        """Whether this life of a node has seen a higher incarnation before."""
        key = (name, life, member.node)
        highest = self._highest.get(key)
        if highest is not None and member.incarnation < highest:
            yield f"G3 {name} takes {member.incarnation} of {member.node} after {highest}"
        if member.incarnation != highest:
            self._highest[key] = member.incarnation
            known = self.generations.get(member.node, 0)
            self.generations[member.node] = max(known, member.incarnation.generation)
