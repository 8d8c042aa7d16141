"""Numbers, bitmaps and blocks as few bytes: what frontiers are packed with.

**Whatever the bytes say, reading them raises `RemoteError` only, and never holds more than the
caller's bound.**
"""

import re
import zlib
from collections.abc import Iterator
from itertools import compress

from nanoboost.errors import RemoteError

BORDERS_MAX = 8192
"""Above so many runs a list of them loses to zlib, and takes longer to make."""

BORDERS_FEW = 64
"""Up to so many runs nothing is smaller than a list of them."""

VARINT_MAX = (1 << 63) - 1

_RAW, _ZLIB, _RUNS = range(3)
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
    """A bitmap of `size` bits in the smallest of three forms: raw, zlib, or the lengths of its
    runs of zeros and ones."""
    raw = bits.to_bytes((size + 7) // 8, "little")
    borders = bits ^ bits << 1
    found = [(_RAW, raw)]
    if borders.bit_count() <= BORDERS_MAX:
        found.append((_RUNS, _gaps(borders)))
    if borders.bit_count() > BORDERS_FEW:
        found.append((_ZLIB, zlib.compress(raw, 1)))
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
    if form != _RUNS:
        raise RemoteError(f"a bitmap in form {form}")
    borders, read, position = bytearray(size // 8 + 1), Reader(body), -1
    while not read.is_at_end:
        position += 1 + read.number(size)
        if position > size:
            raise RemoteError("a run beyond the bitmap")
        borders[position >> 3] |= 1 << (position & 7)
    return _between(int.from_bytes(borders, "little"), size)


def positions(bits: int) -> Iterator[int]:
    """The numbers of the bits that are set, ascending."""
    return compress(range(bits.bit_length()), f"{bits:b}".encode().translate(_AS_BOOLEANS)[::-1])


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


def _between(borders: int, size: int) -> int:
    """The bits of which `borders` are the changes: each is the parity of all up to it."""
    bits, shift = borders, 1
    while shift <= size:
        bits ^= bits << shift
        shift *= 2
    return bits & (1 << size) - 1


def _gaps(bits: int) -> bytes:
    """How many zeros go before each one, as varints; zeros are skipped at the speed of the regex
    engine."""
    out, previous = bytearray(), -1
    bitmap = bits.to_bytes((bits.bit_length() + 7) // 8, "little")
    for found in _NOT_ZERO.finditer(bitmap):
        place = found.start()
        byte = bitmap[place]
        while byte:
            lowest = byte & -byte
            position = place * 8 + lowest.bit_length() - 1
            write(out, position - previous - 1)
            previous, byte = position, byte ^ lowest
    return bytes(out)
