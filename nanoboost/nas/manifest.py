"""The manifest of an attempt: what it made, by size and SHA-256.

**A winner's output is believed only if it is what the winner's manifest says**, and a manifest only
if it is whole and names the attempt that was asked for.
"""

from attrs import field, frozen
from attrs.validators import ge, matches_re

from nanoboost.errors import RemoteError
from nanoboost.ids import DIGEST, AttemptKey
from nanoboost.wire.codec import Catalog, message

FILES_MAX = 1_000_000


@frozen
class ManifestFile:
    """One output: a path as in `PlanOutput.paths`, its size in bytes, its SHA-256."""

    path: str = field()
    size: int = field(validator=ge(0))
    sha256: str = field(validator=matches_re(DIGEST))


@message(170)
class Manifest:
    """All outputs of one attempt."""

    key: AttemptKey
    files: tuple[ManifestFile, ...]

    def file(self, path: str) -> ManifestFile | None:
        """What it says about the output `path`."""
        return next((each for each in self.files if each.path == path), None)


_CATALOG = Catalog((Manifest,), items_max=4 * FILES_MAX + 16)


def encode_manifest(manifest: Manifest) -> bytes:
    """The manifest as it lies on the NAS."""
    return _CATALOG.encode(manifest)


def decode_manifest(data: bytes, key: AttemptKey) -> Manifest:
    """The manifest of attempt `key` that `data` holds, or `RemoteError`."""
    manifest: Manifest = _CATALOG.decode(data)
    if manifest.key != key:
        raise RemoteError("the manifest of another attempt")
    return manifest
