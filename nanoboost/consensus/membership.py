"""Who takes part in Raft, and how that changes: append-time joint consensus (thesis, section 4.3).

**A configuration is in force from the moment it is in the log, and out of force again when it is
truncated away.**  Between two sets of voters stands a joint configuration, in which both must
agree; so one node or all of them may be exchanged in one change, and no node ever counts alone.
"""

from collections.abc import Collection, Mapping, Sequence

from attrs import frozen

from nanoboost.consensus.quorum import Ballot, agreed_index, ballot, has_majority
from nanoboost.errors import RemoteError
from nanoboost.ids import NodeId
from nanoboost.wire.codec import Catalog, message


@message(91)
class Configuration:
    """Who votes and who listens.  `outgoing` are the voters before a change that is under way, and
    is empty otherwise; a learner may be one of them, for it learns on when it has ceased to vote.
    All ascending."""

    voters: tuple[NodeId, ...]
    outgoing: tuple[NodeId, ...] = ()
    learners: tuple[NodeId, ...] = ()

    @property
    def is_joint(self) -> bool:
        """Whether a change of voters is under way."""
        return bool(self.outgoing)

    @property
    def members(self) -> tuple[NodeId, ...]:
        """Everybody who has the log, ascending."""
        return tuple(sorted({*self.voters, *self.outgoing, *self.learners}))

    def is_voter(self, node: NodeId) -> bool:
        """Whether the node votes in either half."""
        return node in self.voters or node in self.outgoing

    def part(self, node: NodeId) -> str:
        """ "voter", "learner", or "" for a stranger."""
        if self.is_voter(node):
            return "voter"
        return "learner" if node in self.learners else ""

    def has_quorum(self, present: Collection[NodeId]) -> bool:
        """Whether those present are a majority of each half."""
        return has_majority(self.voters, present) and has_majority(self.outgoing, present)

    def agreed(self, index_by_node: Mapping[NodeId, int]) -> int:
        """The highest index that majorities of both halves have reached."""
        found = (
            agreed_index(self.voters, index_by_node),
            agreed_index(self.outgoing, index_by_node),
        )
        return min((index for index in found if index is not None), default=0)

    def ballot(self, votes: Mapping[NodeId, bool]) -> Ballot:
        """How an election stands: both halves must be won, either can lose it."""
        halves = (ballot(self.voters, votes), ballot(self.outgoing, votes))
        if Ballot.LOST in halves:
            return Ballot.LOST
        return Ballot.PENDING if Ballot.PENDING in halves else Ballot.WON

    def changed_to(self, voters: Sequence[NodeId], learners: Sequence[NodeId]) -> "Configuration":
        """The next configuration on the way to `voters` and `learners`: joint if the voters
        change."""
        assert not self.is_joint, "one change at a time"
        voters, learners = tuple(sorted(voters)), tuple(sorted(learners))
        assert voters
        assert not set(voters) & set(learners)
        outgoing = () if voters == self.voters else self.voters
        return Configuration(voters, outgoing, learners)

    def settled(self) -> "Configuration":
        """The configuration after the joint one."""
        return Configuration(self.voters, (), self.learners)

    def encode(self) -> bytes:
        """The configuration as the data of a log entry."""
        return _CATALOG.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> "Configuration":
        """What `encode` gave.  Raises `RemoteError`."""
        made: Configuration = _CATALOG.decode(data)
        made.check()
        return made

    def check(self) -> None:
        """Raise `RemoteError` if no algebra of ours can have made this."""
        for nodes in (self.voters, self.outgoing, self.learners):
            if tuple(sorted(set(nodes))) != nodes:
                raise RemoteError("a configuration whose nodes are not ascending")
        if set(self.voters) & set(self.learners) or (self.outgoing and not self.voters):
            raise RemoteError("a configuration that contradicts itself")


_CATALOG = Catalog((Configuration,))
NOBODY = Configuration(())
"""What a node knows before it has heard of any configuration."""


@frozen
class Change:
    """A wish: these voters and learners, provided that the configuration in force is still the one
    at `previous_index` (whoever decided on the change looked at that one)."""

    voters: tuple[NodeId, ...]
    learners: tuple[NodeId, ...]
    previous_index: int


class Membership:
    """The configurations in the log, oldest first, the one of the snapshot (or none) before them.

    The last one is in force; the committed one is the last at or below the commit index.
    """

    def __init__(self, index: int = 0, configuration: Configuration = NOBODY) -> None:
        self._history: list[tuple[int, Configuration]] = [(index, configuration)]

    @property
    def effective(self) -> Configuration:
        """The configuration in force."""
        return self._history[-1][1]

    @property
    def effective_index(self) -> int:
        """Where it stands in the log."""
        return self._history[-1][0]

    def at(self, index: int) -> Configuration:
        """The last configuration at or below `index`."""
        for found, configuration in reversed(self._history):
            if found <= index:
                return configuration
        raise AssertionError("older than the snapshot")

    def may_vote_somewhere(self, node: NodeId, commit: int) -> bool:
        """Whether the node votes in the committed configuration or in any that came after it."""
        for index, configuration in reversed(self._history):
            if configuration.is_voter(node):
                return True
            if index <= commit:
                return False
        return False

    def append(self, index: int, configuration: Configuration) -> None:
        """A configuration has come into the log, and into force."""
        assert index > self.effective_index
        self._history.append((index, configuration))

    def truncate(self, first_lost: int) -> None:
        """The log lost its end: what was in force before is in force again."""
        while self._history[-1][0] >= first_lost:
            self._history.pop()

    def compact(self, index: int) -> None:
        """Forget what was superseded at or below `index`."""
        while len(self._history) > 1 and self._history[1][0] <= index:
            del self._history[0]
