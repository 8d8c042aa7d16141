"""A machine's own disk, and a node's store on it.

**What a commit's Deferred has announced survives everything; of what is under way a crash keeps a
prefix or nothing.**  Batches that wait while the disk syncs go into the next sync together, as in
the real store.  A bit of what was durable may turn over: then the store must see it, by the real
store's own checksums.
"""

from collections.abc import Sequence

from attrs import define, field, frozen
from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from nanoboost.errors import NanoBoostError
from nanoboost.world.store import FULL_RETRY_S, checksum, verified
from simulations.kernel.journal import OnPurpose
from simulations.kernel.prng import Stream
from simulations.kernel.world import MS, SECOND, Owner, World


class DiskFailed(NanoBoostError, OnPurpose):
    """What is on the disk now is anybody's guess."""


FULL_RETRY_NS = int(FULL_RETRY_S * SECOND)

Writes = Sequence[tuple[bytes, bytes | None]]


@frozen
class DiskModel:
    """How long a sync takes."""

    sync_least_ns: int = MS
    sync_jitter_ns: int = 2 * MS


@define(eq=False)
class Disk:
    """What outlives the node: the durable pairs; and what is wrong with it."""

    model: DiskModel = field()
    draw: Stream = field()
    pairs: dict[bytes, bytes] = field(factory=dict)
    sums: dict[bytes, int] = field(factory=dict)
    """The checksums that the real store keeps beside the values."""
    rotten: dict[bytes, None] = field(factory=dict)
    """The keys whose values are not what was written."""
    worse: DiskModel | None = field(default=None)
    """How long a sync takes for now."""
    stalls_until: int = field(default=0)
    """No sync ends before."""
    fails: bool = field(default=False)
    """The next sync fails, and what it should have written is gone or not, nobody knows which."""
    is_full: bool = field(default=False)

    @property
    def is_usual(self) -> bool:
        """Whether nothing is wrong with it."""
        return self.worse is None and not (self.stalls_until or self.fails or self.is_full)

    def put(self, writes: Writes) -> None:
        """From here on it is durable."""
        for key, value in writes:
            self.rotten.pop(key, None)
            if value is None:
                self.pairs.pop(key, None)
            else:
                self.pairs[key], self.sums[key] = value, checksum(key, value)

    def wipe(self) -> None:
        """A new disk."""
        self.pairs.clear()
        self.rotten.clear()

    def turn_a_bit(self, number: int) -> None:
        """One of all its bits is another from now on; the file system notices nothing."""
        keys = sorted(key for key, value in self.pairs.items() if value)
        if keys:
            number, place = divmod(number, len(keys))
            data = bytearray(self.pairs[keys[place]])
            data[number // 8 % len(data)] ^= 1 << number % 8
            self.pairs[keys[place]] = bytes(data)
            self.rotten[keys[place]] = None

    def sync_ns(self, now: int) -> int:
        """How long the next sync takes."""
        model = self.worse or self.model
        usual = self.draw.tailed(model.sync_least_ns, model.sync_jitter_ns)
        return max(usual, self.stalls_until - now)


class SimStore:
    """One incarnation's `nanoboost.runtime.DurableStore` on a `Disk`.

    As the real store does, it waits while the disk is full, and after a failed sync it refuses
    everything for good.
    """

    _log = Logger()

    def __init__(self, world: World, owner: Owner, disk: Disk) -> None:
        self._world = world
        self._owner = owner
        self._disk = disk
        self._queue: list[tuple[Writes, Deferred[None]]] = []
        self._syncing: list[tuple[Writes, Deferred[None]]] = []
        self._closed: list[Deferred[None]] = []
        self._is_closed = False
        self._broken: NanoBoostError | None = None
        self._is_full_told = False

    def load(self, prefix: bytes) -> list[tuple[bytes, bytes]]:
        """All pairs whose key starts with `prefix`, by key, those under way included.  Raises
        `UserError` if one is not what was written."""
        pairs, sums = self._disk.pairs, self._disk.sums
        rows = [(key, pairs[key], sums.get(key)) for key in pairs if key.startswith(prefix)]
        seen = dict(verified(f"/{self._owner.name}/node.db", rows))
        for writes, _ in (*self._syncing, *self._queue):
            for key, value in writes:
                if value is None:
                    seen.pop(key, None)
                else:
                    seen[key] = value
        return [(key, seen[key]) for key in sorted(seen) if key.startswith(prefix)]

    @property
    def is_full(self) -> bool:
        """Whether commits wait for space."""
        return self._disk.is_full and bool(self._syncing)

    def commit(self, writes: Writes) -> "Deferred[None]":
        """Put each pair; a value of None deletes the key."""
        if self._broken is not None:
            return fail(self._broken)
        if self._is_closed:
            return fail(NanoBoostError("the store is closed"))
        done: Deferred[None] = Deferred()
        self._queue.append((tuple(writes), done))
        if not self._syncing:
            self._sync()
        return done

    def close(self) -> "Deferred[None]":
        """Fires once all commits are done."""
        self._is_closed = True
        if not self._syncing:
            return succeed(None)
        done: Deferred[None] = Deferred()
        self._closed.append(done)
        return done

    def crash(self) -> None:
        """The process or the power is gone: what waits is lost, what is being synced perhaps."""
        self._keep_some()
        self._syncing, self._queue = [], []

    def _keep_some(self) -> None:
        kept = 0 if self._disk.is_full else self._disk.draw.below(len(self._syncing) + 1)
        for writes, _ in self._syncing[:kept]:
            self._disk.put(writes)

    def _sync(self) -> None:
        self._syncing, self._queue = self._queue, []
        self._world.after(self._disk.sync_ns(self._world.now), self._owner, self._synced)

    def _synced(self) -> None:
        if self._disk.is_full:
            self._wait_for_space()
            return
        if self._disk.fails:
            self._break("the disk could not sync (input/output error)")
            return
        done, self._syncing = self._syncing, []
        for writes, _ in done:
            self._disk.put(writes)
            for key, value in writes:
                self._world.trace.packet(f"disk {self._owner.name} {key!r}", value or b"")
        if self._queue:
            self._sync()
        for _, told in done:
            told.callback(None)
        self._tell_closed()

    def _wait_for_space(self) -> None:
        if not self._is_full_told:
            self._is_full_told = True
            self._log.warn("the disk is full", event="disk_full", path=f"/{self._owner.name}")
        if self._is_closed:
            self._break("the disk is full")
        else:
            self._world.after(FULL_RETRY_NS, self._owner, self._synced)

    def _break(self, why: str) -> None:
        """What is on the disk now is anybody's guess; nothing more is written."""
        self._disk.fails = False
        self._broken = DiskFailed(why)
        self._log.warn("{why}", event="disk_failed", why=why)
        self._keep_some()
        waiting = [told for _, told in (*self._syncing, *self._queue)]
        self._syncing, self._queue = [], []
        for told in waiting:
            told.errback(Failure(self._broken))
        self._tell_closed()

    def _tell_closed(self) -> None:
        if not self._syncing:
            closed, self._closed = self._closed, []
            for each in closed:
                each.callback(None)
