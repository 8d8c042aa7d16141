"""One attempt's directory: how it is written, and how the winner's outputs are read.

**An attempt's directory appears under its final name whole, in one rename, with its manifest, or
not at all**; a kill at any moment leaves a `.part` that nobody ever reads.  A winner's output is
believed only through the winner's manifest: size and SHA-256.

Blocking; runs in children.  The final name is never looked up before it is there: this client's own
cache would then say for half a minute that it is not.
"""

import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from nanoboost.errors import NanoBoostError, NasError, RemoteError
from nanoboost.ids import AttemptKey
from nanoboost.nas.layout import attempt_dir, log_path, manifest_path, output_path, part_dir
from nanoboost.nas.manifest import Manifest, ManifestFile, decode_manifest, encode_manifest
from nanoboost.nas.walk import (
    REAL,
    WAIT_S,
    Differs,
    Pace,
    make_directory,
    measure,
    open_beneath,
    parts,
    patiently,
    read_beneath,
    reason,
    require_id,
    sync_directory,
    told_as_nas_error,
    write_new,
)

NAMED_MAX = 5
"""How many wrong outputs an error names."""
RENAME_S = 5.0
"""How long SMB may go on refusing to rename a directory with files in it that were just closed."""

_STILL_OPEN = frozenset({errno.EACCES, errno.EBUSY, errno.EPERM})
_NO_FILE = frozenset({errno.ELOOP, errno.ENOTDIR, errno.ENXIO, errno.EACCES})


class OutputMissing(NanoBoostError):
    """The task ended well but did not write what it declared: the task's own fault."""


class OpenAttempt:
    """The directory of one attempt while it runs.

    Raises `NasError` if it exists already: attempts are never repeated under one name.
    """

    def __init__(self, nas_dir: str, key: AttemptKey, *, pace: Pace = REAL) -> None:
        self._nas_dir = nas_dir
        self._key = key
        self._pace = pace
        self._part = os.path.join(nas_dir, part_dir(key))
        make_directory(nas_dir, os.path.dirname(part_dir(key)))
        with told_as_nas_error(f"{part_dir(key)} cannot be made on the NAS at {nas_dir}"):
            os.mkdir(self._part)
        self.log = Path(nas_dir, log_path(key, finished=False))
        """Where what it prints belongs; to be closed before `commit`."""

    def output(self, path: str) -> Path:
        """Where the output `path` is to be written; the directory for it is there."""
        found = Path(self._part, "out", *parts(path))
        with told_as_nas_error(f"{path} cannot be made on the NAS at {self._nas_dir}"):
            found.parent.mkdir(parents=True, exist_ok=True)
        return found

    def commit(self, paths: Sequence[str]) -> None:
        """End the attempt: all of `paths` are there, on the server's disk, and in the manifest.

        Nothing may write into the directory any more.  Raises `OutputMissing` or `NasError`.
        """
        with told_as_nas_error(f"{part_dir(self._key)} on the NAS at {self._nas_dir}"):
            files = self._measure(paths)
            self._sync_directories(paths)
            manifest = encode_manifest(Manifest(self._key, files))
            write_new(os.path.join(self._part, "manifest"), manifest)
            sync_directory(self._part)
            self._rename()

    def _measure(self, paths: Sequence[str]) -> tuple[ManifestFile, ...]:
        files: list[ManifestFile] = []
        wrong: list[str] = []
        for path in dict.fromkeys(paths):
            try:
                files.append(self._measured(path))
            except OutputMissing as error:
                wrong.append(str(error))
        if wrong:
            require_id(self._nas_dir)  # else it is the NAS that is missing, and no fault of the
            os.lstat(self._part)  # task's
            more = f", and {len(wrong) - NAMED_MAX} more" if len(wrong) > NAMED_MAX else ""
            raise OutputMissing("; ".join(wrong[:NAMED_MAX]) + more)
        return tuple(files)

    def _measured(self, path: str) -> ManifestFile:
        try:
            fd = open_beneath(self._nas_dir, f"{part_dir(self._key)}/out/{path}")
        except FileNotFoundError:
            raise OutputMissing(f"output {path} was not written") from None
        except NasError:
            raise OutputMissing(f"output {path} is not a regular file") from None
        except OSError as error:
            if error.errno not in _NO_FILE:
                raise
            raise OutputMissing(f"output {path} cannot be read back: {reason(error)}") from None
        try:
            if os.fstat(fd).st_nlink > 1:
                raise OutputMissing(f"output {path} is a hard link to another file: copy it")
            os.fsync(fd)
            size, sha256 = measure(fd, self._pace)
            if os.fstat(fd).st_size != size:
                raise OutputMissing(f"output {path} is still being written by another process")
        finally:
            os.close(fd)
        return ManifestFile(path, size, sha256)

    def _sync_directories(self, paths: Sequence[str]) -> None:
        """The names of the outputs must be on the disk as well."""
        below = {"": None}  # in order, each once
        for path in paths:
            for depth in range(len(parts(path))):
                below["/".join(parts(path)[:depth])] = None
        if paths:
            for each in sorted(below, reverse=True):
                sync_directory(os.path.join(self._part, "out", each))

    def _rename(self) -> None:
        final = os.path.join(self._nas_dir, attempt_dir(self._key))
        end = self._pace.clock() + RENAME_S
        while True:
            try:
                os.rename(self._part, final)
            except OSError as error:
                if error.errno not in _STILL_OPEN or self._pace.clock() >= end:
                    raise
                self._pace.sleep(0.1)
            else:
                break
        sync_directory(os.path.dirname(final))


def read_manifest(
    nas_dir: str, key: AttemptKey, wait_s: float = WAIT_S, *, pace: Pace = REAL
) -> Manifest:
    """The manifest of an attempt that has won; `NasError` if there is none in time."""
    path = manifest_path(key)

    def read() -> Manifest:
        try:
            return decode_manifest(read_beneath(nas_dir, path, pace), key)
        except RemoteError as error:
            raise Differs(f"{path} is damaged ({error})") from None

    return patiently(nas_dir, path, read, wait_s, pace)


def is_whole(nas_dir: str, key: AttemptKey) -> bool:
    """Whether an attempt that ended long ago has left its manifest and, with the sizes that it
    says, its outputs.  Their content is for whoever reads them to check.  `NasError` if the NAS
    cannot tell."""
    with told_as_nas_error(f"{attempt_dir(key)} on the NAS at {nas_dir}"):
        try:
            manifest = decode_manifest(read_beneath(nas_dir, manifest_path(key)), key)
            return all(
                _size(nas_dir, output_path(key, each.path)) == each.size for each in manifest.files
            )
        except (FileNotFoundError, NotADirectoryError, RemoteError):
            return False


def _size(nas_dir: str, path: str) -> int:
    fd = open_beneath(nas_dir, path)
    try:
        return os.fstat(fd).st_size
    finally:
        os.close(fd)


def input_path(
    nas_dir: str, key: AttemptKey, path: str, wait_s: float = WAIT_S, *, pace: Pace = REAL
) -> Path:
    """Where the output `path` of an attempt that has won is, after a look at all of it.

    `NasError` if it is not what the manifest says, or not there in time.
    """
    wanted = read_manifest(nas_dir, key, wait_s, pace=pace).file(path)
    if wanted is None:
        raise NasError(f"{manifest_path(key)} says nothing about {path}")
    found = output_path(key, path)
    patiently(nas_dir, found, lambda: _check(nas_dir, found, wanted, pace), wait_s, pace)
    return Path(nas_dir, found)


def _check(nas_dir: str, path: str, wanted: ManifestFile, pace: Pace) -> None:
    fd = open_beneath(nas_dir, path)
    try:
        size = os.fstat(fd).st_size
        if size != wanted.size:
            raise Differs(f"{path} has {size} bytes, its manifest says {wanted.size}")
        if measure(fd, pace) != (wanted.size, wanted.sha256):
            raise Differs(f"{path} has other content than its manifest says")
    finally:
        os.close(fd)


def source_path(nas_dir: str, path: str, wait_s: float = WAIT_S, *, pace: Pace = REAL) -> Path:
    """Where the user's own file `path` is on this machine.  Links in it are the user's, and are
    followed.  `NasError` if it is missing or no file."""
    found = Path(nas_dir, *parts(path))

    def look() -> Path:
        fd = os.open(found, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise NasError(f"{path} on the NAS is not a file")
        finally:
            os.close(fd)
        return found

    return patiently(nas_dir, path, look, wait_s, pace)
