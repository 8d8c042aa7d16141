"""A node id is drawn once, and given up only to a twin, with all that belonged to it."""

from collections.abc import Sequence
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, succeed

from nanoboost.identity import IdentityTaken, is_copy, node_id, take_another
from nanoboost.ids import NODE_ID, Address

TWIN = Address("10.0.0.9", 7470)


class Store:
    """A disk that is durable at once."""

    def __init__(self) -> None:
        self.pairs: dict[bytes, bytes] = {}

    def load(self, prefix: bytes) -> list[tuple[bytes, bytes]]:
        return sorted((k, v) for k, v in self.pairs.items() if k.startswith(prefix))

    def commit(self, writes: Sequence[tuple[bytes, bytes | None]]) -> "Deferred[None]":
        for key, value in writes:
            if value is None:
                del self.pairs[key]
            else:
                self.pairs[key] = value
        return succeed(None)


class World:
    """What `identity` needs of a runtime: the disk, and a seed of the machine's own."""

    def __init__(self, seed: int, store: Store | None = None) -> None:
        self.store = store or Store()
        self._seed = seed

    def rng(self, name: str) -> Random:
        return Random(f"{self._seed}/{name}")


def test_an_id_is_drawn_once() -> None:
    world: Any = World(1)
    first = node_id(world)
    assert NODE_ID.fullmatch(first)
    other: Any = World(2, world.store)
    assert node_id(other) == first
    assert not is_copy(other)
    assert node_id(World(2)) != first  # type: ignore[arg-type]


def test_whoever_gives_way_is_another_and_forgets_what_the_first_was_in_the_cluster() -> None:
    world: Any = World(1)
    store = world.store
    first = node_id(world)
    kept = {b"gossip/peers": b"p", b"gossip/generation": b"4"}
    store.pairs |= {b"raft/term": b"t", b"raft/log/1": b"e", **kept}
    told: list[IdentityTaken] = []
    take_another(world, first, TWIN).addCallback(told.append)
    assert "\n" not in str(told[0])
    assert f"{TWIN} with the identity of this one, {first}" in str(told[0])
    second = node_id(world)
    assert second != first
    assert str(told[0]).endswith(second)
    assert is_copy(world), "it must join, and not found a cluster"
    assert {k: v for k, v in store.pairs.items() if not k.startswith(b"node/")} == kept


def test_what_it_is_in_the_cluster_from_then_on_is_its_own() -> None:
    world: Any = World(1)
    take_another(world, node_id(world), TWIN)
    second = node_id(world)
    world.store.pairs[b"raft/term"] = b"own"
    assert node_id(world) == second
    assert world.store.pairs[b"raft/term"] == b"own"
    assert is_copy(world)
