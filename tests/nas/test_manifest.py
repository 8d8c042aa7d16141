"""A manifest is whole and of the right attempt, or refused."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanoboost.errors import RemoteError
from nanoboost.ids import Attempt, AttemptKey, JobId, TaskId
from nanoboost.nas.manifest import Manifest, ManifestFile, decode_manifest, encode_manifest

KEY = AttemptKey(JobId("film-1a2b3c4d"), TaskId(3), Attempt(2, 1))
FILES = st.builds(
    ManifestFile,
    st.text(max_size=20),
    st.integers(0, 1 << 60),
    st.text("0123456789abcdef", min_size=64, max_size=64),
)


@given(st.lists(FILES, max_size=5))
def test_what_is_encoded_is_decoded(files: list[ManifestFile]) -> None:
    manifest = Manifest(KEY, tuple(files))
    assert decode_manifest(encode_manifest(manifest), KEY) == manifest
    for each in files:
        found = manifest.file(each.path)
        assert found is not None
        assert found.path == each.path
    assert manifest.file("x" * 21) is None


@given(st.lists(FILES, min_size=1, max_size=3), st.data())
def test_a_damaged_one_raises_nothing_but_remote_error(
    files: list[ManifestFile], data: st.DataObject
) -> None:
    whole = encode_manifest(Manifest(KEY, tuple(files)))
    place = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(RemoteError):
        decode_manifest(whole[:place], KEY)
    changed = bytearray(whole)
    changed[place] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(RemoteError):
        assert decode_manifest(bytes(changed), KEY).key == KEY


def test_another_attempts_manifest_is_refused() -> None:
    other = AttemptKey(KEY.job, KEY.task, Attempt(2, 2))
    with pytest.raises(RemoteError, match="another attempt"):
        decode_manifest(encode_manifest(Manifest(other, ())), KEY)


@pytest.mark.parametrize(("size", "digest"), [(-1, "0" * 64), (0, "0" * 63), (0, "G" * 64)])
def test_a_file_that_cannot_be_is_refused(size: int, digest: str) -> None:
    with pytest.raises(ValueError, match=r"sha256|size"):
        ManifestFile("a", size, digest)
