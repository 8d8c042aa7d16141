"""A core on the bench: what lay on its disk, and what it does about each poke."""

from random import Random
from typing import Any, TypeVar

from nanoboost.consensus.effects import Persist, Persisted, Received, Send
from nanoboost.consensus.membership import Configuration
from nanoboost.consensus.messages import Entry, EntryKind, HardState, Message, Route, Vote
from nanoboost.consensus.raft import Raft
from nanoboost.consensus.state import NOTHING, Role, Stored
from nanoboost.core import Woke
from nanoboost.ids import NodeId
from tests.consensus.cluster import CLUSTER, TIMING

A, B, C, D, E = (NodeId(letter * 16) for letter in "abcde")
ME = Route(CLUSTER, 1, A)
T = TypeVar("T")


def noop(index: int, term: int) -> Entry:
    return Entry(index, term, EntryKind.NOOP, b"")


def record(index: int, term: int, data: bytes = b"x") -> Entry:
    return Entry(index, term, EntryKind.RECORD, data)


def voters(index: int, term: int, *nodes: NodeId, outgoing: tuple[NodeId, ...] = ()) -> Entry:
    configuration = Configuration(tuple(sorted(nodes)), outgoing)
    return Entry(index, term, EntryKind.CONFIGURATION, configuration.encode())


class Bench:
    """A node with what lay on its disk, and what it does about each poke."""

    def __init__(self, *entries: Entry, term: int = 1, vote: str = "", founder: bool = False):
        self.now = 100.0
        stored = Stored(HardState(term, NodeId(vote)), None, entries) if entries else NOTHING
        self.raft = Raft(A, CLUSTER, TIMING, Random(1), self.now, stored, is_founder=founder)
        self.effects: list[Any] = []
        self.poke(Woke())

    def poke(self, event: Any) -> "Bench":
        self.effects = list(self.raft.step(self.now, event))
        return self

    def is_a(self, role: Role) -> bool:
        return self.raft.state.role is role

    def hear(self, sender: NodeId, message: Message) -> "Bench":
        return self.poke(Received(sender, message))

    def sync(self) -> "Bench":
        """All writes that the last effects asked for are durable."""
        return self.poke(Persisted(self.of(Persist)[-1].token))

    def of(self, kind: type[T]) -> list[T]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def said(self, kind: type[T]) -> list[T]:
        return [each.message for each in self.of(Send) if isinstance(each.message, kind)]

    def wake(self) -> "Bench":
        due = self.raft.deadline()
        assert due is not None
        self.now = max(self.now, due)
        return self.poke(Woke())

    def wake_until(self, role: Role) -> "Bench":
        for _ in range(4):
            if not self.is_a(role):
                self.wake()
        assert self.is_a(role)
        return self

    def elected(self) -> "Bench":
        """Leader of {A, B, C}, by the vote of B."""
        self.wake_until(Role.PRE_CANDIDATE)
        term = self.raft.state.term + 1
        self.hear(B, Vote(ME, term, True, True))
        self.sync()
        self.hear(B, Vote(ME, term, True, False))
        assert self.raft.state.is_leader
        return self


THREE = (voters(1, 1, A, B, C),)
