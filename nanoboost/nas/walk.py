"""Reaching files on the NAS: step by step, never through a link, and with patience.

**Nothing is believed because a name seems to exist or to be missing**: what a client of a network
file system knows of a directory may be half a minute old.  So a file that should be there is opened
again and again, with its directory listed in between (which makes NFS look), until it is there and
is what it should be, or until there is no doubt that it is the mount that is wrong.

Our own part of the NAS is walked one name at a time with O_NOFOLLOW: a task may have put links,
FIFOs or `..` anywhere that it can write.
"""

import contextlib
import errno
import os
import stat
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from attrs import frozen

from nanoboost.errors import NasError
from nanoboost.nas.layout import ID, PRIVATE

T = TypeVar("T")

WAIT_S = 90.0
"""NFS keeps what it knows of a directory for up to 60 s (`acdirmax`)."""
FIRST_PAUSE_S, LAST_PAUSE_S = 0.05, 5.0
PIECE_BYTES = 1 << 20

LATE = frozenset({errno.ENOENT, errno.ESTALE, errno.EIO, errno.EAGAIN, errno.ETIMEDOUT})
"""What a slow cache or a server that is just coming back may answer."""
_NO_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES})
"""What file systems answer that cannot sync a directory; there is nothing more to be done."""


def _nothing() -> None:
    pass


@frozen
class Pace:
    """How the blocking functions spend their time: tests give a clock of their own, and the NAS
    process hears with each `tick` that the NAS has answered once more."""

    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    tick: Callable[[], None] = _nothing


REAL = Pace()


class Differs(NasError):
    """A file is there but is not what it should be: a cache is late, or somebody changed it."""


@contextlib.contextmanager
def told_as_nas_error(doing: str) -> Iterator[None]:
    """Turn an OSError into a `NasError` of one line that says what was being done."""
    try:
        yield
    except OSError as error:
        raise NasError(f"{doing}: {reason(error)}") from None


def reason(error: OSError) -> str:
    """The error in words, with the one thing to do where there is one."""
    if error.errno == errno.ELOOP:
        return "there is a symbolic link in its path"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{error.strerror}: make room on the NAS"
    return error.strerror or type(error).__name__


def parts(path: str) -> list[str]:
    """The names in a path relative to the NAS root; `NasError` for one that could leave it."""
    found = path.split("/")
    if "\0" in path or any(name in ("", ".", "..") for name in found):
        raise NasError(f"{path!r} is not a path below the NAS root")
    return found


def open_beneath(nas_dir: str, path: str) -> int:
    """A descriptor of the regular file `path`, reached without following any link.

    Raises OSError, or `NasError` if it is something else than a file.
    """
    *directories, name = parts(path)
    here = os.open(nas_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for each in directories:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            below = os.open(each, flags, dir_fd=here)
            os.close(here)
            here = below
        # O_NONBLOCK: opening a FIFO would wait for its writer for ever.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        fd = os.open(name, flags, dir_fd=here)
    finally:
        os.close(here)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise NasError(f"{path} is not a regular file")
    return fd


def pieces(fd: int, pace: Pace = REAL) -> Iterator[bytes]:
    """What the file holds from here on, in pieces."""
    while data := os.read(fd, PIECE_BYTES):
        pace.tick()
        yield data


def read_beneath(nas_dir: str, path: str, pace: Pace = REAL) -> bytes:
    """All that the regular file `path` holds.  Raises as `open_beneath`."""
    fd = open_beneath(nas_dir, path)
    try:
        return b"".join(pieces(fd, pace))
    finally:
        os.close(fd)


def sha256_of(data: bytes) -> str:
    """The digest as text."""
    from hashlib import sha256  # 4 MiB of OpenSSL that an idle NAS process does without

    return sha256(data).hexdigest()


def measure(fd: int, pace: Pace = REAL) -> tuple[int, str]:
    """How many bytes the file holds from here on, and their SHA-256."""
    from hashlib import sha256  # as above

    size, digest = 0, sha256()
    for data in pieces(fd, pace):
        size += len(data)
        digest.update(data)
    return size, digest.hexdigest()


def patiently(
    nas_dir: str, path: str, look: Callable[[], T], wait_s: float, pace: Pace = REAL
) -> T:
    """What `look` returns, once it no longer says that `path` is missing or `Differs`.

    After `wait_s` the mount is blamed, with a `NasError`.
    """
    end = pace.clock() + wait_s
    pause = FIRST_PAUSE_S
    while True:
        try:
            return look()
        except Differs as error:
            found = str(error)
        except OSError as error:
            found = f"{path}: {reason(error)}"
            if error.errno not in LATE:
                raise NasError(f"{found} (NAS at {nas_dir})") from None
        left = end - pace.clock()
        if left <= 0:
            raise NasError(
                f"{found}, still so after {wait_s:.0f} s: the mount at {nas_dir} does not show "
                "what other machines wrote, or somebody changed it"
            )
        _list_nearest(nas_dir, path)
        pace.sleep(min(pause, left))
        pace.tick()
        pause = min(2 * pause, LAST_PAUSE_S)


def _list_nearest(nas_dir: str, path: str) -> None:
    """List the nearest directory above `path` that is there: NFS then asks the server anew."""
    above = parts(path)[:-1]
    while True:
        try:
            os.listdir(os.path.join(nas_dir, *above))
        except OSError:
            if above:
                above.pop()
                continue
        return


# --- writing -------------------------------------------------------------------------------------


def require_id(nas_dir: str) -> None:
    """Raise `NasError` unless a cluster's NAS is mounted here: an unmounted one is an empty
    directory, and what is written there is lost to everybody."""
    try:
        os.close(open_beneath(nas_dir, ID))
    except OSError as error:
        raise NasError(f"{nas_dir} is not mounted, or is no NAS ({ID}: {reason(error)})") from None


def make_directory(nas_dir: str, path: str) -> None:
    """Make our directory `path` and those above it, but never `.nanoboost` itself: where that is
    missing, the NAS is."""
    require_id(nas_dir)
    names = parts(path)
    assert names[0] == PRIVATE, "the user's directories are the user's"
    with told_as_nas_error(f"{path} cannot be made on the NAS at {nas_dir}"):
        for depth in range(2, len(names) + 1):
            with contextlib.suppress(FileExistsError):
                os.mkdir(os.path.join(nas_dir, *names[:depth]))


def write_new(path: str, data: bytes) -> None:
    """Make the file, which must not be there, and have it on the server's disk.  Raises OSError:
    a full disk may tell only when the file is synced or closed."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(path, flags, 0o644)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_directory(path: str) -> None:
    """Have the names in the directory on the server's disk."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(fd)
