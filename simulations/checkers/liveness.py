"""A majority that is in touch has a master, whatever happens to everybody else.

**Looked at while faults go on**: no heal is waited for.  A majority (of both halves, while voters
are being changed) is in touch if its machines have power, their nodes run and have not been told to
stop, no wire between any two of them is cut or clogged, and their disks are as usual, for the whole
time.
"""

from itertools import combinations
from typing import TYPE_CHECKING

from attrs import define, field

from simulations.checkers.raft import RaftHolds

if TYPE_CHECKING:
    from simulations.stage.lab import Lab


@define(eq=False)
class MajorityHasMaster:
    """Told to `look` every so often; says what is wrong, or ""."""

    _lab: "Lab" = field()
    _raft: RaftHolds = field()
    _bound_ns: int = field()
    _since: dict[tuple[str, ...], int] = field(factory=dict, init=False)
    longest_ns: int = field(default=0, init=False)
    """How long a majority in touch was without a master, at most."""

    def look(self) -> str:
        """A majority without a master for too long, if there is one."""
        lab = self._lab
        voters = lab.voters
        healthy = [name for name in voters if lab.is_well(name) and not lab.lives[name].ends]
        now = lab.world.now
        before, self._since = self._since, {}
        if len(voters) < 2 or self._has_master(voters):
            return ""
        for group in combinations(healthy, len(voters) // 2 + 1):
            pairs = combinations(group, 2)
            if self._may_elect(group) and all(lab.in_touch(*pair) for pair in pairs):
                since = self._since[group] = before.get(group, now)
                self.longest_ns = max(self.longest_ns, now - since)
                if now - since > self._bound_ns:
                    return f"{' '.join(group)} are in touch and without a master"
        return ""

    def _may_elect(self, group: tuple[str, ...]) -> bool:
        """Whether they are a quorum to each of them, by what its log says: of both halves, while
        voters are being changed."""
        ids = [node for node, name in self._lab.names.items() if name in group]
        nodes = self._raft.nodes
        return all(nodes[name].log.configuration.has_quorum(ids) for name in group if name in nodes)

    def _has_master(self, voters: tuple[str, ...]) -> bool:
        """Whether there is one that a majority can hear and be heard by; how well it is does not
        matter, but a deaf one is none."""
        return any(
            life.process.alive
            and life.node.consensus.status.is_master
            and sum(self._reaches(name, each) for each in voters) > len(voters) // 2
            for name, life in self._lab.lives.items()
        )

    def _reaches(self, one: str, other: str) -> bool:
        return one == other or (other in self._lab.lives and not self._lab.is_cut(one, other))
