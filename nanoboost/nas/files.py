"""Whose NAS it is, and the files that are written once: plans and code.

Blocking; for children, the NAS process and the command line, never for a daemon's reactor.  **Every
failure is one line that names the directory and says what to do.**
"""

import contextlib
import errno
import os
import re
import stat

from nanoboost.errors import NasError, UserError
from nanoboost.nas.layout import ID, PRIVATE
from nanoboost.nas.walk import (
    REAL,
    WAIT_S,
    Differs,
    Pace,
    make_directory,
    open_beneath,
    patiently,
    read_beneath,
    reason,
    sha256_of,
    sync_directory,
    told_as_nas_error,
    write_new,
)

FORMAT = 1
_ID_TEXT = re.compile(r"nanoboost format (\d{1,4}) cluster ([0-9a-f]{16})\n")
_ID_BYTES_MAX = 200

_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES})
"""What file systems answer that have no hard links (FAT, some SMB servers)."""


def claim(nas_dir: str, cluster: str) -> None:
    """Make `nas_dir` the NAS of `cluster`; a repeat changes nothing.  Raises `UserError`."""
    wrong = _not_a_directory(nas_dir)
    if not wrong and os.path.realpath(nas_dir) == "/":
        wrong = "/ cannot be the NAS: give the directory where it is mounted"
    if wrong:
        raise UserError(wrong)
    private = os.path.join(nas_dir, PRIVATE)
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(private)
        if _read_id(nas_dir) is None:
            _write_id(nas_dir, cluster)
    except OSError as error:
        raise UserError(
            f"{nas_dir} cannot be made the NAS, it is not writable ({reason(error)}): "
            "look at its owner and at the mount's options"
        ) from None
    wrong = inspect(nas_dir, cluster)  # another cluster may have come first
    if wrong:
        raise UserError(wrong)


def inspect(nas_dir: str, cluster: str) -> str:
    """Why `nas_dir` cannot be used as the NAS of `cluster`, in one line, or ""."""
    return look(nas_dir, cluster) or _why_not_writable(nas_dir)


def look(nas_dir: str, cluster: str) -> str:
    """As `inspect`, but writes nothing: a NAS that is looked at may let its disks sleep."""
    wrong = _not_a_directory(nas_dir)
    if wrong:
        return wrong
    try:
        found = _read_id(nas_dir)
    except OSError as error:
        return f"{nas_dir} cannot be read ({reason(error)}): is the NAS down?"
    if found is None:
        return (
            f"{nas_dir} is not mounted, or is no NAS yet: nanoboost init --nas {nas_dir} "
            "makes it one"
        )
    told = _ID_TEXT.fullmatch(found)
    if told is None:
        return f"{nas_dir}/{ID} is damaged: remove it, then nanoboost init --nas {nas_dir}"
    if int(told[1]) != FORMAT:
        return f"{nas_dir} has format {told[1]}, this NanoBoost knows {FORMAT}: bring it up to date"
    if told[2] != cluster:
        return (
            f"{nas_dir} is the NAS of cluster {told[2]}, the credential is of cluster {cluster}: "
            "give the other credential, or another directory with --nas"
        )
    if not os.access(os.path.join(nas_dir, PRIVATE), os.W_OK | os.X_OK):
        return _not_writable(nas_dir, os.strerror(errno.EACCES))
    return ""


def deposit(nas_dir: str, path: str, data: bytes) -> None:
    """Write `data` under `path`, a name made of its digest, unless it is there.

    Raises `UserError`, since it is the user's command that waits.
    """
    try:
        _deposit(nas_dir, path, data)
    except NasError as error:
        raise UserError(str(error)) from None


def fetch(
    nas_dir: str, path: str, digest: str, wait_s: float = WAIT_S, *, pace: Pace = REAL
) -> bytes:
    """The bytes that were deposited under `path`; `NasError` if they are not there in time, or if
    their SHA-256 is not `digest`."""

    def read() -> bytes:
        data = read_beneath(nas_dir, path, pace)
        if sha256_of(data) != digest:
            raise Differs(f"{path} is not what was deposited")
        return data

    return patiently(nas_dir, path, read, wait_s, pace)


def _not_a_directory(nas_dir: str) -> str:
    try:
        mode = os.stat(nas_dir).st_mode
    except FileNotFoundError:
        return f"{nas_dir} does not exist: mount the NAS there, or give another with --nas"
    except OSError as error:
        return f"{nas_dir} cannot be used as NAS ({reason(error)})"
    if not stat.S_ISDIR(mode):
        return f"{nas_dir} is a file: the NAS is the directory where it is mounted"
    return ""


def _read_id(nas_dir: str) -> str | None:
    try:
        fd = open_beneath(nas_dir, ID)
    except FileNotFoundError:
        return None
    except NasError:
        return "no file"
    try:
        return os.read(fd, _ID_BYTES_MAX).decode("ascii", "replace")
    finally:
        os.close(fd)


def _write_id(nas_dir: str, cluster: str) -> None:
    """The ID appears whole or not at all, and the first one stays."""
    path = os.path.join(nas_dir, ID)
    made = f"{path}.{os.urandom(8).hex()}.tmp"
    write_new(made, f"nanoboost format {FORMAT} cluster {cluster}\n".encode())
    try:
        os.link(made, path)
    except FileExistsError:
        pass
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.rename(made, path)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(made)
    sync_directory(os.path.dirname(path))


def _why_not_writable(nas_dir: str) -> str:
    """Try it: permission bits say little about a mount that is read-only or maps its users."""
    for directory in (nas_dir, os.path.join(nas_dir, PRIVATE)):
        trial = os.path.join(directory, f".{os.urandom(8).hex()}.tmp")
        try:
            os.close(os.open(trial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            os.unlink(trial)
        except OSError as error:
            return _not_writable(nas_dir, reason(error))
    return ""


def _not_writable(nas_dir: str, why: str) -> str:
    return f"{nas_dir} is not writable ({why}): look at its owner and at the mount's options"


def _deposit(nas_dir: str, path: str, data: bytes) -> None:
    target = os.path.join(nas_dir, path)
    make_directory(nas_dir, os.path.dirname(path))
    with told_as_nas_error(f"{path} cannot be written on the NAS at {nas_dir}"):
        with contextlib.suppress(FileNotFoundError, NasError):
            if read_beneath(nas_dir, path) == data:
                return
        made = f"{target}.{os.urandom(8).hex()}.tmp"
        try:
            write_new(made, data)
            os.rename(made, target)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(made)
            raise
        sync_directory(os.path.dirname(target))
