"""Numbers, bitmaps and blocks as few bytes: what frontiers are packed with.

**Whatever the bytes say, reading them raises `RemoteError` only, and never holds more than the
caller's bound.**
"""

import re
import zlib
from collections.abc import Iterator
from itertools import compress

from nanoboost.errors import RemoteError

LISTED_MAX = 8192
"""Above so many bits a list of gaps loses to zlib, and takes longer to make."""

VARINT_MAX = (1 << 63) - 1

_RAW, _ZLIB, _ONE_GAPS, _ZERO_GAPS = range(4)
_NOT_ZERO = re.compile(rb"[^\0]")
_AS_BOOLEANS = bytes.maketrans(b"01", b"\0\1")


def write(out: bytearray, *values: int) -> None:
    """Append each value as a varint: 7 bits a byte, least significant first."""
    for value in values:
        while value > 0x7F:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        out.append(value)


def write_block(out: bytearray, form: int, body: bytes) -> None:
    """Append the body, after the number of its form and its length."""
    write(out, form, len(body))
    out += body


class Reader:
    """Reads what `write` and `write_block` wrote."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    @property
    def is_at_end(self) -> bool:
        """Whether everything has been read."""
        return self._position == len(self._data)

    def number(self, most: int = VARINT_MAX) -> int:
        """The next varint, which is at most `most`."""
        value = shift = 0
        while True:
            if self.is_at_end or shift > 56:
                raise RemoteError("a number that does not end")
            byte = self._data[self._position]
            self._position += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        if value > most:
            raise RemoteError(f"{value} where at most {most} is possible")
        return value

    def block(self) -> tuple[int, bytes]:
        """The next block: its form and its body."""
        form, size = self.number(255), self.number()
        if size > len(self._data) - self._position:
            raise RemoteError("a block that ends early")
        self._position += size
        return form, self._data[self._position - size : self._position]


def pack_bits(bits: int, size: int) -> tuple[int, bytes]:
    """A bitmap of `size` bits in the smallest of four forms: raw, zlib, or the gaps between its
    ones or between its zeros."""
    raw = bits.to_bytes((size + 7) // 8, "little")
    ones = bits.bit_count()
    found = [(_RAW, raw), (_ZLIB, zlib.compress(raw, 1))]
    if ones <= LISTED_MAX:
        found.append((_ONE_GAPS, _gaps(raw)))
    if size - ones <= LISTED_MAX:
        zeros = bits ^ ((1 << size) - 1)
        found.append((_ZERO_GAPS, _gaps(zeros.to_bytes(len(raw), "little"))))
    return min(found, key=lambda form: len(form[1]))


def unpack_bits(form: int, body: bytes, size: int) -> int:
    """The bitmap of at most `size` bits that `pack_bits` packed."""
    width = (size + 7) // 8
    if form == _RAW:
        if len(body) != width:
            raise RemoteError("a bitmap of another size than it says")
        return int.from_bytes(body, "little")
    if form == _ZLIB:
        return int.from_bytes(inflate(body, width), "little")
    if form not in (_ONE_GAPS, _ZERO_GAPS):
        raise RemoteError(f"a bitmap in form {form}")
    bitmap, read, position = bytearray(width), Reader(body), -1
    while not read.is_at_end:
        position += 1 + read.number(size)
        if position >= size:
            raise RemoteError("a bit beyond the bitmap")
        bitmap[position >> 3] |= 1 << (position & 7)
    listed = int.from_bytes(bitmap, "little")
    return listed if form == _ONE_GAPS else listed ^ ((1 << size) - 1)


def positions(bits: int) -> Iterator[int]:
    """The numbers of the bits that are set, ascending."""
    return compress(range(bits.bit_length()), f"{bits:b}".encode().translate(_AS_BOOLEANS)[::-1])


def not_zero(data: bytes) -> Iterator[int]:
    """Where a byte is not zero, ascending; zeros are skipped at the speed of the regex engine."""
    return (found.start() for found in _NOT_ZERO.finditer(data))


def inflate(body: bytes, size: int) -> bytes:
    """Decompress to exactly `size` bytes, and never hold more, whatever `body` would make."""
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(body, size + 1)
    except zlib.error as error:
        raise RemoteError(f"not compressed: {error}") from None
    if len(data) != size or not inflater.eof or inflater.unused_data:
        raise RemoteError("a compressed block of another size than it says")
    return data


def _gaps(bitmap: bytes) -> bytes:
    """How many zeros go before each one, as varints."""
    out, previous = bytearray(), -1
    for place in not_zero(bitmap):
        byte = bitmap[place]
        while byte:
            lowest = byte & -byte
            position = place * 8 + lowest.bit_length() - 1
            write(out, position - previous - 1)
            previous, byte = position, byte ^ lowest
    return bytes(out)
