"""Everybody whom a node knows, and the order in which it asks them.

**Whatever the number of members, an event costs the same**: counts, digest, addresses and the order
of the gone are kept up to date record by record.
"""

from collections.abc import Collection, Container, Iterator, Mapping
from hashlib import blake2b
from random import Random

from nanoboost.gossip.members import MEMBERS_MAX, NOBODY, Member, Record, State
from nanoboost.gossip.messages import PRINT_BYTES
from nanoboost.ids import Address, NodeId


def _fingerprint(record: Record) -> int:
    claim = f"{record.node}/{record.incarnation.generation}/{record.incarnation.counter}"
    return int.from_bytes(blake2b(claim.encode(), digest_size=8).digest(), "big")


def _print(record: Record) -> bytes:
    """Of the whole row: two copies of one machine differ in nothing but what they say of it."""
    told = record.claim(NOBODY, described=True).to_wire()
    return blake2b(told, digest_size=PRINT_BYTES).digest()


class Table:
    """All records, by node in order of arrival; a bounded number of them.

    `digest` is the sum of fingerprints of the live records modulo 2**64: the same in two tables
    that hold the same live members at the same incarnations, whatever their order, and kept up to
    date in constant time.
    """

    def __init__(self) -> None:
        self._record_by_node: dict[NodeId, Record] = {}
        self._print_by_node: dict[NodeId, bytes] = {}
        self._gone: dict[NodeId, Record] = {}  # dead or left, the latest last
        self._node_by_address: dict[Address, NodeId] = {}  # of the live, the latest news of each
        self._sum = 0
        self._live = 0

    def __iter__(self) -> Iterator[Record]:
        return iter(list(self._record_by_node.values()))

    def __getitem__(self, node: NodeId) -> Record:
        return self._record_by_node[node]

    def get(self, node: NodeId) -> Record | None:
        """The record of `node`, if there is one."""
        return self._record_by_node.get(node)

    @property
    def live_count(self) -> int:
        """How many members are alive or suspected, oneself included."""
        return self._live

    @property
    def digest(self) -> bytes:
        """Eight bytes that differ, all but surely, if the live members differ."""
        return self._sum.to_bytes(8, "big")

    @property
    def prints(self) -> Mapping[NodeId, bytes]:
        """What stands for each record in an exchange of tables."""
        return self._print_by_node

    @property
    def gone(self) -> Collection[Record]:
        """The records of the dead and of those who left, in the order in which they went."""
        return self._gone.values()

    def members(self) -> Iterator[Member]:
        """Everybody of whom more is known than an end."""
        members = (record.member() for record in self)
        return (member for member in members if member is not None)

    def some_dead(self, rng: Random) -> Member | None:
        """One of the dead at random, of those who went last rather than first: they are likelier to
        be the other half of a network."""
        dead = [record for record in self._gone.values() if record.state is State.DEAD]
        return dead[-1 - int(len(dead) * rng.random() ** 2)].member() if dead else None

    def at(self, address: Address) -> NodeId | None:
        """The live member that was the latest to say that it listens at `address`."""
        return self._node_by_address.get(address)

    def put(self, record: Record) -> bool:
        """Insert or replace; False if the table is full of live members."""
        old = self._record_by_node.get(record.node)
        if old is None and len(self._record_by_node) >= MEMBERS_MAX and not self._make_room():
            return False
        if old is not None:
            self._uncount(old)
        self._record_by_node[record.node] = record
        self._print_by_node[record.node] = _print(record)
        if record.state.is_live:
            self._sum = (self._sum + _fingerprint(record)) % (1 << 64)
            self._live += 1
            if record.description is not None:
                self._node_by_address[record.description.address] = record.node
        else:
            self._gone[record.node] = record
        return True

    def forget(self, node: NodeId) -> None:
        """Drop the record of `node`, if there is one."""
        record = self._record_by_node.pop(node, None)
        if record is not None:
            del self._print_by_node[node]
            self._uncount(record)

    def _uncount(self, record: Record) -> None:
        self._gone.pop(record.node, None)
        if record.state.is_live:
            self._sum = (self._sum - _fingerprint(record)) % (1 << 64)
            self._live -= 1
            where = record.description.address if record.description is not None else None
            if where is not None and self._node_by_address.get(where) == record.node:
                del self._node_by_address[where]

    def _make_room(self) -> bool:
        if self._gone:
            self.forget(min(self._gone.values(), key=lambda record: record.since).node)
            return True
        return False


class Ring:
    """The order in which members are probed: shuffled, and again after each round; a newcomer goes
    to a random place.  So each member is probed at least once in 2n - 1 turns (SWIM 4.3).

    Chance alone leaves one in twenty unprobed by everybody for three intervals.  So every second
    probe goes to the neighbour, the next in the order of ids: whoever ends is missed by somebody
    within two intervals."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._nodes: list[NodeId] = []
        self._next = 0

    @property
    def is_empty(self) -> bool:
        """Whether there is nobody to probe."""
        return not self._nodes

    def add(self, node: NodeId) -> None:
        """Insert a newcomer at a random place of this round or the next."""
        if node not in self._nodes:
            place = self._rng.randint(0, len(self._nodes))
            self._nodes.insert(place, node)
            self._next += place < self._next

    def remove(self, node: NodeId) -> None:
        """Probe `node` no more."""
        if node in self._nodes:
            place = self._nodes.index(node)
            del self._nodes[place]
            self._next -= place < self._next

    def sample(self, count: int, without: NodeId = NOBODY) -> list[NodeId]:
        """Up to `count` members at random, but not `without`."""
        drawn = self._rng.sample(self._nodes, min(count + 1, len(self._nodes)))
        return [node for node in drawn if node != without][:count]

    def neighbour(self, me: NodeId, without: Container[NodeId]) -> NodeId | None:
        """The next after `me` in the order of ids, the first after the last; but nobody of those
        `without` whom there are enough."""
        others = (node for node in self._nodes if node not in without)
        return min(others, key=lambda node: (node <= me, node), default=None)

    def next(self) -> NodeId | None:
        """Whose turn it is, or None if there is nobody."""
        if self._next >= len(self._nodes):
            self._rng.shuffle(self._nodes)
            self._next = 0
        if not self._nodes:
            return None
        self._next += 1
        return self._nodes[self._next - 1]
