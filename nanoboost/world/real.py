"""The real runtime: this machine's clock, disk, network and entropy, for one node.

**A state directory belongs to one process at a time and to one cluster for ever**: two nodes with
one identity would vote twice, and a node that changed clusters would bring its votes along.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from nanoboost.errors import LocalError, UserError
from nanoboost.net.credential import Credential
from nanoboost.net.tls import PinnedTls
from nanoboost.runtime import DurableStore, Host, Runtime
from nanoboost.world.host import benchmark, host, networks
from nanoboost.world.store import SqliteStore, read_pairs

CLUSTER_KEY = b"node/cluster"
SPEED_KEY = b"node/speed"


def monotonic(reactor: Any) -> Any:
    """The reactor, counting by `time.monotonic` instead of wall time, from before its first timer.

    Twisted's `seconds` is `time.time`: a Pi without a clock battery jumps decades at its first NTP
    answer, and all timers would come at once or never.  Raises `LocalError` if timers are set
    already, or if the reactor does not follow.
    """
    if reactor.seconds is time.monotonic:
        return reactor
    if reactor.getDelayedCalls():
        raise LocalError("the reactor has timers on wall time already")
    reactor.seconds = time.monotonic
    trial = reactor.callLater(60.0, lambda: None)
    follows = abs(trial.getTime() - time.monotonic() - 60.0) < 10.0
    trial.cancel()
    if not follows:
        raise LocalError(f"{type(reactor).__name__} does not take its time from `seconds`")
    return reactor


def real_runtime(reactor: Any, state_dir: str, credential: Credential) -> Runtime:
    """The runtime of one node whose state lies in `state_dir`, which is made if it is missing.

    Raises `UserError` if the directory cannot be used, is in use, or is another cluster's.  Closing
    the runtime's store gives the directory free.
    """
    monotonic(reactor)
    directory = Path(state_dir)
    _make_private(directory)
    lock = _lock(directory)
    try:
        inner = SqliteStore(str(directory / "node.db"), reactor)
    except UserError:
        os.close(lock)
        raise
    store = OwnedStore(inner, lock)
    try:
        _check_cluster(store, state_dir, credential.cluster)
    except UserError:
        store.close()
        raise
    return Runtime(
        reactor=reactor,
        wall=time.time,
        store=store,
        security=PinnedTls(credential, reactor),
        host=_host(store),
        python=(sys.executable, "-I"),
        environment=dict(os.environ),
        kill_group=kill_group,
        scratch_dir=_empty_scratch(directory),
        seed=int.from_bytes(os.urandom(16), "big"),
        networks=networks,
        busy=time.thread_time,
    )


def kill_group(pid: int) -> None:
    """SIGKILL to the process group of the child `pid`, or to the child alone while it does not lead
    a group of its own yet."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


class OwnedStore:
    """A `DurableStore` in a locked directory: the lock is released once the store is closed."""

    def __init__(self, inner: DurableStore, lock: int) -> None:
        self._inner = inner
        self._lock = lock

    def load(self, prefix: bytes) -> list[tuple[bytes, bytes]]:
        """As `DurableStore.load`."""
        return self._inner.load(prefix)

    @property
    def is_full(self) -> bool:
        """As `DurableStore.is_full`."""
        return self._inner.is_full

    def commit(self, writes: Sequence[tuple[bytes, bytes | None]]) -> "Deferred[None]":
        """As `DurableStore.commit`."""
        return self._inner.commit(writes)

    def close(self) -> "Deferred[None]":
        """As `DurableStore.close`; then another process may have the directory."""
        return self._inner.close().addBoth(self._unlock)

    def _unlock(self, result: Any) -> Any:
        if self._lock >= 0:
            os.close(self._lock)
        self._lock = -1
        return result


def _make_private(directory: Path) -> None:
    """The directory, for the owner only: it holds what the node has voted."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = directory.stat()
        if found.st_uid != os.getuid():
            raise UserError(
                f"state directory {directory} belongs to another user (uid {found.st_uid}): start "
                "the node as that user, or choose another with --state"
            )
        directory.chmod(0o700)
    except OSError as error:
        raise UserError(
            f"state directory {directory} cannot be used ({error.strerror}): choose another with "
            "--state"
        ) from None


def is_in_use(state_dir: str) -> bool:
    """Whether a node runs on this state directory now (its process holds the lock)."""
    try:
        fd = os.open(Path(state_dir) / "lock", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(fd)


def _lock(directory: Path) -> int:
    """Lock the directory for this process; return the descriptor that holds the lock."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open(directory / "lock", flags, 0o600)
    except OSError as error:
        raise UserError(
            f"state directory {directory} cannot be locked ({error.strerror}): choose another with "
            "--state"
        ) from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(fd, 32).decode("ascii", "replace").strip()
        os.close(fd)
        raise UserError(
            f"state directory {directory} is in use by process {holder or '(unknown)'}: stop it, "
            "or choose another with --state"
        ) from None
    os.ftruncate(fd, 0)
    os.write(fd, b"%d\n" % os.getpid())
    return fd


def check_database(state_dir: str, cluster: str) -> None:
    """Raise `UserError` if what lies in the state directory, where no node runs, is damaged, is no
    node's, or is another cluster's."""
    path = Path(state_dir) / "node.db"
    if path.exists():
        found = dict(read_pairs(str(path), CLUSTER_KEY)).get(CLUSTER_KEY)
        if found is not None:
            _require_cluster(found, state_dir, cluster)


def _check_cluster(store: DurableStore, state_dir: str, cluster: str) -> None:
    """The state must be this cluster's; a new state directory becomes it."""
    found = dict(store.load(CLUSTER_KEY)).get(CLUSTER_KEY)
    if found is None:
        _note(store, CLUSTER_KEY, cluster.encode())
    else:
        _require_cluster(found, state_dir, cluster)


def _require_cluster(found: bytes, state_dir: str, cluster: str) -> None:
    if found.decode() != cluster:
        raise UserError(
            f"state directory {state_dir} belongs to cluster {found.decode()}, the credential to "
            f"cluster {cluster}: give the other credential, or another directory with --state"
        )


def _host(store: DurableStore) -> Host:
    """The host's facts; its speed is measured at the first start only, so that restarts are quick
    and a busy moment does not change it."""
    found = dict(store.load(SPEED_KEY)).get(SPEED_KEY)
    if found is not None:
        return host(float(found))
    speed = benchmark()
    _note(store, SPEED_KEY, str(speed).encode())
    return host(speed)


def _note(store: DurableStore, key: bytes, value: bytes) -> None:
    """Write without waiting: batches become durable in order, so all that matters to others comes
    later.  A failure poisons the store; whoever commits next is told, and stops the node."""
    store.commit([(key, value)]).addErrback(lambda _: None)


def _empty_scratch(directory: Path) -> str:
    """An empty directory for children: what an earlier process left there is nobody's."""
    scratch = directory / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(mode=0o700, exist_ok=True)
    return str(scratch)
