"""A machine's own disk, and a node's store on it.

**What a commit's Deferred has announced survives everything; of what is under way a crash keeps a
prefix or nothing.**  Batches that wait while the disk syncs go into the next sync together, as in
the real store.
"""

from collections.abc import Sequence

from attrs import define, field, frozen
from twisted.internet.defer import Deferred, fail, succeed

from nanoboost.errors import NanoBoostError
from simulations.kernel.prng import Stream
from simulations.kernel.world import MS, Owner, World

Writes = Sequence[tuple[bytes, bytes | None]]


@frozen
class DiskModel:
    """How long a sync takes."""

    sync_least_ns: int = MS
    sync_jitter_ns: int = 2 * MS


@define(eq=False)
class Disk:
    """What outlives the node: the durable pairs."""

    model: DiskModel = field()
    draw: Stream = field()
    pairs: dict[bytes, bytes] = field(factory=dict)

    def put(self, writes: Writes) -> None:
        """From here on it is durable."""
        for key, value in writes:
            if value is None:
                self.pairs.pop(key, None)
            else:
                self.pairs[key] = value

    def sync_ns(self) -> int:
        """How long the next sync takes."""
        return self.draw.tailed(self.model.sync_least_ns, self.model.sync_jitter_ns)


class SimStore:
    """One incarnation's `nanoboost.runtime.DurableStore` on a `Disk`."""

    def __init__(self, world: World, owner: Owner, disk: Disk) -> None:
        self._world = world
        self._owner = owner
        self._disk = disk
        self._queue: list[tuple[Writes, Deferred[None]]] = []
        self._syncing: list[tuple[Writes, Deferred[None]]] = []
        self._closed: list[Deferred[None]] = []

    def load(self, prefix: bytes) -> list[tuple[bytes, bytes]]:
        """All pairs whose key starts with `prefix`, by key, those under way included."""
        seen = dict(self._disk.pairs)
        for writes, _ in (*self._syncing, *self._queue):
            for key, value in writes:
                if value is None:
                    seen.pop(key, None)
                else:
                    seen[key] = value
        return [(key, seen[key]) for key in sorted(seen) if key.startswith(prefix)]

    def commit(self, writes: Writes) -> "Deferred[None]":
        """Put each pair; a value of None deletes the key."""
        if self._closed:
            return fail(NanoBoostError("the store is closed"))
        done: Deferred[None] = Deferred()
        self._queue.append((tuple(writes), done))
        if not self._syncing:
            self._sync()
        return done

    def close(self) -> "Deferred[None]":
        """Fires once all commits are done."""
        if not self._syncing:
            return succeed(None)
        done: Deferred[None] = Deferred()
        self._closed.append(done)
        return done

    def crash(self) -> None:
        """The process or the power is gone: what waits is lost, what is being synced perhaps."""
        kept = self._disk.draw.below(len(self._syncing) + 1)
        for writes, _ in self._syncing[:kept]:
            self._disk.put(writes)
        self._syncing, self._queue = [], []

    def _sync(self) -> None:
        self._syncing, self._queue = self._queue, []
        self._world.after(self._disk.sync_ns(), self._owner, self._synced)

    def _synced(self) -> None:
        done, self._syncing = self._syncing, []
        for writes, _ in done:
            self._disk.put(writes)
            for key, value in writes:
                self._world.trace.packet(f"disk {self._owner.name} {key!r}", value or b"")
        if self._queue:
            self._sync()
        for _, told in done:
            told.callback(None)
        if not self._syncing:
            for closed in self._closed:
                closed.callback(None)
            self._closed = []
