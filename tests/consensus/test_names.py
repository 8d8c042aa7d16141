"""Names of voters outlive a restart, and whatever is wrong with them costs only names."""

import pytest
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from nanoboost.consensus.autopilot import PeerView
from nanoboost.consensus.names import NAMES_KEY, Names
from nanoboost.ids import NodeId
from tests.consensus.table import MemoryStore

A, B, C = (NodeId(letter * 16) for letter in "abc")


def peers(**names: str) -> dict[NodeId, PeerView]:
    nodes = {NodeId(letter * 16): name for letter, name in names.items()}
    return {node: PeerView(node, "alive", 0.0, True, name=name) for node, name in nodes.items()}


@pytest.fixture
def clock() -> Clock:
    return Clock()


def fail(failure: Failure) -> None:
    failure.raiseException()


@pytest.fixture
def store(clock: Clock) -> MemoryStore:
    return MemoryStore(clock)


def test_names_are_there_after_a_restart_and_written_only_when_they_change(
    store: MemoryStore, clock: Clock
) -> None:
    names = Names(store, fail)
    names.learn((A, B), peers(a="one", b="two", c="three"))
    names.learn((A, B), peers(a="one", b="two"))
    clock.advance(1.0)
    assert store.commits == 1
    again = Names(store, fail)
    again.load()
    assert [again.of(node) for node in (A, B, C)] == ["one", "two", ""], "C is no member"
    again.learn((A, B), peers(a="one"))
    assert again.of(B) == "two", "gossip has forgotten it, we have not"
    again.learn((A, C), peers(a="uno", c="three"))
    assert [again.of(node) for node in (A, B, C)] == ["uno", "", "three"]


def test_without_any_name_nothing_is_written(store: MemoryStore) -> None:
    Names(store, fail).learn((A,), {})
    assert store.commits == 0


@pytest.mark.parametrize("data", [b"", b"\xff", b"\x81\x01", b"\x05", b"\x81\x83abc"])
def test_nonsense_on_the_disk_is_no_name(store: MemoryStore, data: bytes) -> None:
    store.pairs[NAMES_KEY] = data
    names = Names(store, fail)
    names.load()
    assert names.of(A) == ""


def test_a_disk_that_fails_is_told(store: MemoryStore) -> None:
    """Nothing else may be written for long, and a node with a failed disk must stop."""
    store.broken = True
    told: list[Failure] = []
    Names(store, told.append).learn((A,), peers(a="one"))
    assert len(told) == 1
