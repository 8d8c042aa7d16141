"""Results go to their users' names, and what nobody needs any more goes away.

**A repeat changes nothing, and a name shows either what it showed before or the whole result.**
Publishing comes after the commit and no task reads a published path, so it is for people only, and
whatever a late or killed publisher leaves is put right by the next one.

Blocking; runs in the NAS process.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator

from nanoboost.errors import NasError
from nanoboost.ids import AttemptKey, JobId
from nanoboost.nas.attempts import read_manifest
from nanoboost.nas.layout import PRIVATE, job_dir, output_path
from nanoboost.nas.manifest import ManifestFile
from nanoboost.nas.messages import Published
from nanoboost.nas.walk import (
    REAL,
    WAIT_S,
    Differs,
    Pace,
    measure,
    open_beneath,
    parts,
    patiently,
    pieces,
    require_id,
    sync_directory,
    told_as_nas_error,
)

SYNC_BYTES = 64 << 20
"""How much is copied between two syncs, so that no single one takes long."""

_NO_LINKS = frozenset(
    {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES, errno.EXDEV}
)
_IN_USE = frozenset({errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY, errno.ENOENT, errno.ESTALE})
"""What deleting answers when somebody still reads a file (`.nfs...`), or deleted it first."""


def publish(
    nas_dir: str, results: tuple[Published, ...], wait_s: float = WAIT_S, *, pace: Pace = REAL
) -> None:
    """Bring the files of winning attempts to the users' names; `NasError` says what cannot be."""
    require_id(nas_dir)
    for result in results:
        manifest = read_manifest(nas_dir, result.key, wait_s, pace=pace)
        wanted = {each.path: each for each in manifest.files}
        for path in result.paths:
            if path not in wanted:
                raise NasError(f"the manifest of {result.key} says nothing about {path}")
            with told_as_nas_error(f"{path} cannot be published on the NAS at {nas_dir}"):
                _publish(nas_dir, result.key, wanted[path], wait_s, pace)
            pace.tick()


def clean(nas_dir: str, job: JobId, *, pace: Pace = REAL) -> None:
    """Remove what the job's attempts have written; their logs and manifests stay.

    What is still in use stays too, until the next time.  Follows no link.
    """
    require_id(nas_dir)
    try:
        here = _open_directory(job_dir(job), _open_directory(nas_dir, None))
    except FileNotFoundError:
        return
    except OSError as error:
        raise NasError(f"{job_dir(job)} on the NAS at {nas_dir}: {error.strerror}") from None
    problems: list[OSError] = []
    with told_as_nas_error(f"{job_dir(job)} on the NAS at {nas_dir} cannot be cleaned"):
        try:
            for task in _directories(here):
                _clean_task(here, task, problems, pace)
        finally:
            os.close(here)
        if problems:
            raise problems[0]


# --- publishing ----------------------------------------------------------------------------------


def _publish(
    nas_dir: str, key: AttemptKey, wanted: ManifestFile, wait_s: float, pace: Pace
) -> None:
    *directories, name = parts(wanted.path)
    if (directories or [name])[0].casefold() == PRIVATE:
        raise NasError(f"{wanted.path} is in NanoBoost's own directory")
    directory = os.path.join(nas_dir, *directories)
    target = os.path.join(directory, name)
    made = os.path.join(directory, f".{name}.{key.attempt}.tmp")
    if _is_there(target, wanted, pace):
        return
    os.makedirs(directory, exist_ok=True)

    def bring() -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(made)
        _link_or_copy(nas_dir, output_path(key, wanted.path), made, pace)
        if not _is_there(made, wanted, pace):
            raise Differs(f"{output_path(key, wanted.path)} is not what its manifest says")

    try:
        patiently(nas_dir, output_path(key, wanted.path), bring, wait_s, pace)
        os.rename(made, target)
    finally:
        with contextlib.suppress(OSError):  # also where both were the same file: rename left it
            os.unlink(made)
    sync_directory(directory)


def _is_there(path: str, wanted: ManifestFile, pace: Pace) -> bool:
    """Whether the file `path` is the wanted one, to the byte."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.EACCES):
            return False
        raise
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_size != wanted.size:
            return False
        return measure(fd, pace) == (wanted.size, wanted.sha256)
    finally:
        os.close(fd)


def _link_or_copy(nas_dir: str, source: str, made: str, pace: Pace) -> None:
    """A hard link costs nothing; where there are none, a copy."""
    fd = open_beneath(nas_dir, source)
    try:
        try:
            os.link(os.path.join(nas_dir, source), made, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            _copy(fd, made, pace)
    finally:
        os.close(fd)


def _copy(source: int, made: str, pace: Pace) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(made, flags, 0o644)
    try:
        unsynced = 0
        for data in pieces(source, pace):
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            unsynced += len(data)
            if unsynced >= SYNC_BYTES:
                os.fsync(fd)
                unsynced = 0
        os.fsync(fd)
    finally:
        os.close(fd)


# --- cleaning ------------------------------------------------------------------------------------


def _open_directory(name: str, above: int | None) -> int:
    """A descriptor of the directory, reached through no link but those in the NAS root's own path;
    takes `above` over."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    if above is None:
        return os.open(name, flags)
    for each in parts(name):
        try:
            below = os.open(each, flags | os.O_NOFOLLOW, dir_fd=above)
        finally:
            os.close(above)
        above = below
    return above


def _directories(fd: int) -> list[str]:
    with os.scandir(fd) as found:
        return sorted(each.name for each in found if each.is_dir(follow_symlinks=False))


def _clean_task(job: int, task: str, problems: list[OSError], pace: Pace) -> None:
    with _going_on(problems):
        here = _open_directory(task, os.dup(job))
        try:
            for attempt in _directories(here):
                with _going_on(problems):
                    below = _open_directory(attempt, os.dup(here))
                    try:
                        _remove(below, "out", problems, pace)
                    finally:
                        os.close(below)
        finally:
            os.close(here)


def _remove(above: int, name: str, problems: list[OSError], pace: Pace) -> None:
    """Remove the directory `name` and all below it, as far as that can be done."""
    pace.tick()
    try:
        here = _open_directory(name, os.dup(above))
    except OSError as error:
        with _going_on(problems):
            if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            os.unlink(name, dir_fd=above)  # a task has put a link or a file in its place
        return
    with _going_on(problems):
        try:
            with os.scandir(here) as found:
                entries = [(each.name, each.is_dir(follow_symlinks=False)) for each in found]
            for entry, is_directory in entries:
                if is_directory:
                    _remove(here, entry, problems, pace)
                else:
                    with _going_on(problems):
                        os.unlink(entry, dir_fd=here)
        finally:
            os.close(here)
        os.rmdir(name, dir_fd=above)


@contextlib.contextmanager
def _going_on(problems: list[OSError]) -> Iterator[None]:
    """Note what cannot be removed, unless somebody uses it or removed it first, and go on."""
    try:
        yield
    except OSError as error:
        if error.errno not in _IN_USE:
            problems.append(error)
