"""Frames, whatever the borders of the chunks are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanoboost.errors import LocalError, RemoteError
from nanoboost.wire.frame import FRAME_BYTES_MAX, FrameReader, pack


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=12), st.data())
def test_frames_come_out_as_they_went_in(bodies: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(map(pack, bodies))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    reader, found = FrameReader(), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += reader.feed(stream[start:end])
    assert found == bodies
    assert not reader.is_inside_frame


def test_byte_by_byte() -> None:
    reader = FrameReader()
    assert [reader.feed(bytes([byte])) for byte in pack(b"ab")] == [[], [], [], [], [], [b"ab"]]


def test_a_frame_that_has_begun_is_known() -> None:
    reader = FrameReader()
    assert reader.feed(pack(b"whole") + b"\0") == [b"whole"]
    assert reader.is_inside_frame


@pytest.mark.parametrize("size", [0, FRAME_BYTES_MAX + 1, 0xFFFFFFFF])
def test_a_bad_length_is_refused_before_the_body_comes(size: int) -> None:
    with pytest.raises(RemoteError, match=f"frame of {size} bytes, limit {FRAME_BYTES_MAX}"):
        FrameReader().feed(size.to_bytes(4, "big"))


def test_the_largest_frame_passes() -> None:
    body = bytes(FRAME_BYTES_MAX)
    assert FrameReader().feed(pack(body)) == [body]


@pytest.mark.parametrize("body", [b"", bytes(FRAME_BYTES_MAX + 1)])
def test_we_send_no_frame_that_others_refuse(body: bytes) -> None:
    with pytest.raises(LocalError):
        pack(body)


def test_the_limit_can_be_lower() -> None:
    with pytest.raises(RemoteError):
        FrameReader(10).feed(pack(bytes(11)))
