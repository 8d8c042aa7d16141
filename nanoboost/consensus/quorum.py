"""What a majority says: of acknowledged log positions, of votes, of whoever was heard.

**Any two majorities of the same voters share a node**, which is all that Raft's safety rests on.
Pure arithmetic over one set of voters; `membership` joins two of them while the set changes.
"""

import enum
from collections.abc import Collection, Mapping, Sequence

from nanoboost.ids import NodeId


class Ballot(enum.Enum):
    """Where an election stands."""

    PENDING = 0
    WON = 1
    LOST = 2


def majority(count: int) -> int:
    """How many of `count` voters are more than half."""
    return count // 2 + 1


def has_majority(voters: Sequence[NodeId], present: Collection[NodeId]) -> bool:
    """Whether more than half of `voters` are `present`.  Nobody's set agrees with anything."""
    return sum(node in present for node in voters) >= majority(len(voters)) or not voters


def agreed_index(voters: Sequence[NodeId], index_by_node: Mapping[NodeId, int]) -> int | None:
    """The highest index that a majority has reached; None (no limit) where nobody votes."""
    if not voters:
        return None
    reached = sorted(index_by_node.get(node, 0) for node in voters)
    return reached[len(reached) - majority(len(reached))]


def ballot(voters: Sequence[NodeId], votes: Mapping[NodeId, bool]) -> Ballot:
    """Count only the votes of `voters`, each once, by who cast them."""
    needed = majority(len(voters)) if voters else 0
    granted = sum(votes.get(node, False) for node in voters)
    refused = sum(not votes.get(node, True) for node in voters)
    if granted >= needed:
        return Ballot.WON
    return Ballot.LOST if len(voters) - refused < needed else Ballot.PENDING
