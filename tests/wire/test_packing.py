"""Numbers, bitmaps and blocks: there and back, and hostile."""

import contextlib
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanoboost.errors import RemoteError
from nanoboost.wire.packing import (
    BORDERS_MAX,
    VARINT_MAX,
    Reader,
    inflate,
    pack_bits,
    positions,
    unpack_bits,
    write,
    write_block,
)

RAW, ZLIB, RUNS = range(3)


@given(st.lists(st.integers(0, VARINT_MAX)))
def test_numbers_come_back(values: list[int]) -> None:
    out = bytearray()
    write(out, *values)
    read = Reader(bytes(out))
    assert [read.number() for _ in values] == values
    assert read.is_at_end


@given(st.integers(0, 255), st.binary(max_size=300))
def test_blocks_come_back(form: int, body: bytes) -> None:
    out = bytearray()
    write_block(out, form, body)
    assert Reader(bytes(out)).block() == (form, body)


@given(st.integers(0, 400).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, (1 << n) - 1))))
def test_bitmaps_come_back(case: tuple[int, int]) -> None:
    size, bits = case
    assert unpack_bits(*pack_bits(bits, size), size) == bits


@pytest.mark.parametrize(
    ("bits", "size", "form"),
    [
        (1 << 99_999, 100_000, RUNS),
        ((1 << 100_000) - 1 - (1 << 500), 100_000, RUNS),
        ((1 << 90_000) - (1 << 500), 100_000, RUNS),
        (int("5" * 10_000, 16), 40_000, ZLIB),
        (int.from_bytes(b"\x9d\x3e\xa1\x57", "big"), 32, RAW),
    ],
    ids=["few ones", "few zeros", "one run", "regular", "random"],
)
def test_the_smallest_form_is_taken(bits: int, size: int, form: int) -> None:
    found, body = pack_bits(bits, size)
    assert found == form
    assert len(body) <= (size + 7) // 8
    assert unpack_bits(found, body, size) == bits


def test_above_the_limit_no_list_is_made() -> None:
    ones = sum(1 << place for place in range(0, 3 * (BORDERS_MAX + 1), 3))
    assert pack_bits(ones, 1 << 20)[0] in (RAW, ZLIB)


@given(st.integers(0, (1 << 200) - 1))
def test_positions_are_those_of_the_ones(bits: int) -> None:
    assert list(positions(bits)) == [place for place in range(200) if bits >> place & 1]


@pytest.mark.parametrize(
    "read",
    [
        lambda: Reader(b"").number(),
        lambda: Reader(b"\x80\x80").number(),
        lambda: Reader(b"\xff" * 9 + b"\x01").number(),
        lambda: Reader(b"\x05").number(4),
        lambda: Reader(b"\x00\x05abc").block(),
        lambda: Reader(b"\x00" + b"\xff" * 8 + b"\x7f").block(),
        lambda: unpack_bits(9, b"", 8),
        lambda: unpack_bits(RAW, b"\0\0", 8),
        lambda: unpack_bits(ZLIB, b"no zlib", 8),
        lambda: unpack_bits(RUNS, b"\x03\x05", 8),
        lambda: unpack_bits(RUNS, b"\x09", 8),
        lambda: inflate(zlib.compress(bytes(100)), 99),
        lambda: inflate(zlib.compress(bytes(100)), 101),
        lambda: inflate(zlib.compress(bytes(100))[:-1], 100),
        lambda: inflate(zlib.compress(bytes(100)) + b"!", 100),
    ],
)
def test_what_cannot_be_is_refused(read: Callable[[], Any]) -> None:
    with pytest.raises(RemoteError):
        read()


@given(st.integers(0, 5), st.binary(max_size=100), st.integers(0, 100))
def test_any_bytes_as_a_bitmap_give_one_or_are_refused(form: int, body: bytes, size: int) -> None:
    with contextlib.suppress(RemoteError):
        assert 0 <= unpack_bits(form, body, size) < 1 << (size + 7) // 8 * 8


def test_a_bomb_is_cut_off() -> None:
    bomb = zlib.compress(bytes(100 << 20))
    with pytest.raises(RemoteError):
        inflate(bomb, 1000)
