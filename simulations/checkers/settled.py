"""What must be well again once all faults are over, each within a bound of its own.

**The bounds come from the profile's own times**, so that they are as tight for a slow cluster as
for a fast one; what is well again and ceases to be has its time anew.
"""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import define, field

from nanoboost.config import Profile
from simulations.checkers.judge import Broken
from simulations.checkers.raft import RaftHolds
from simulations.kernel.world import SECOND

if TYPE_CHECKING:
    from simulations.stage.lab import Lab

CLAIMS = {
    "L1": "one master",
    "L2": "membership whole",
    "G4": "views the same",
    "L4": "logs caught up",
    "L3": "job done",
}
ELECTIONS = 3
"""Election timeouts up to one master: its silence is noticed, a vote is split, one is won."""
PERIODS = 10
"""Probe periods up to one view of the members."""
LAG_LOOKS = 4
"""An entry may take so many looks (a second) from its commit to the last member."""


def bounds_ns(profile: Profile) -> dict[str, int]:
    """How soon each of them is well, but for the job (L3).

    L1: `ELECTIONS` of the longest election timeouts.  L2, G4: `PERIODS` probe intervals: all nodes
    together call one of their dead in two of them, the first that answers brings the halves
    together by an exchange of tables, and differing digests are exchanged after two more.  L4:
    whoever was away follows a master (L1) and hears from it for as long again.
    """
    election = int(ELECTIONS * profile.consensus.election_s_max * SECOND)
    members = int(PERIODS * profile.gossip.probe_interval_s * SECOND)
    return {"L1": election, "L2": members, "G4": members, "L4": 2 * election}


@define(eq=False)
class AllIsWell:
    """Told to `look` every so often; says what is not as it should be, by the code of the claim."""

    _lab: "Lab" = field()
    _raft: RaftHolds = field()
    _job: Callable[[], str] = field()
    """What is missing of the job, or ""."""
    _commits: deque[int] = field(factory=lambda: deque(maxlen=LAG_LOOKS + 1), init=False)
    _since: dict[str, int] = field(factory=dict, init=False)

    def look(self) -> dict[str, str]:
        """All that is missing now."""
        found = {
            "L1": self._master(),
            "L2": self.members(),
            "G4": self._views(),
            "L3": self._job(),
            "L4": self._behind(),
        }
        missing = {code: text for code, text in found.items() if text}
        if not missing and (unrest := self._unrest()):
            missing["L4"] = unrest
        now = self._lab.world.now
        self._since = {code: self._since.get(code, now) for code in missing}
        return missing

    def late(self, bounds: dict[str, int]) -> list[str]:
        """What has been missing for longer than it may.  (Whoever was told to stop before the end
        of the faults may come back after it.)"""
        now = self._lab.world.now
        quiet = now - self._lab.upheaval_at
        return [c for c, since in self._since.items() if min(now - since, quiet) > bounds[c]]

    def members(self) -> str:
        """Who does not see everybody alive."""
        lives = self._lab.lives
        for name, life in lives.items():
            alive = sum(member.state.is_live for member in life.node.gossip.members)
            if alive != len(lives):
                return f"membership whole: {name} sees {alive} of {len(lives)} alive"
        return ""

    def _master(self) -> str:
        views = {name: life.node.consensus.mastership for name, life in self._lab.lives.items()}
        believers = [name for name, view in views.items() if view.is_me]
        if len(believers) == 1 and len({view.master for view in views.values()}) == 1:
            return ""
        return f"one master that all know: {believers} believe to be it"

    def _views(self) -> str:
        digests = {name: life.node.gossip.digest for name, life in self._lab.lives.items()}
        if len({*digests.values()}) <= 1:
            return ""
        return f"the same members at the same incarnations everywhere: {len(digests)} nodes differ"

    def _behind(self) -> str:
        """Who lacks what was committed a second ago."""
        lives, nodes = self._lab.lives, self._raft.nodes
        leading = [nodes[name] for name in lives if name in nodes and nodes[name].leads]
        if not leading:
            return ""  # that is L1
        leader = max(leading, key=lambda node: node.leads)
        self._commits.append(leader.commit)
        owed = min(self._commits) if len(self._commits) > LAG_LOOKS else 0
        members = leader.log.configuration.members
        for name in lives:
            node = nodes.get(name)
            if node is not None and node.name in members and node.applied < owed:
                return f"all have what is committed: {name} has {node.applied} of {owed} entries"
        return ""

    def _unrest(self) -> str:
        """What is still on its way in consensus."""
        try:
            self._raft.rest()
        except Broken as broken:
            return f"consensus at rest: {broken}"
        return ""
