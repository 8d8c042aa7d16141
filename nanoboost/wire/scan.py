"""Looks over a CBOR message before cbor2 does: cbor2 accepts more than our messages ever hold.

**What passes is a tree of bounded depth and size**, without tags (so without cycles), indefinite
lengths, or keys that could be taken for one another, and it ends where the bytes end.
"""

from nanoboost.errors import RemoteError

DEPTH_MAX = 16
ITEMS_MAX = 100_000
"""The number of CBOR items in one message; 8 million in 8 MB cost seconds on a 32-bit Pi."""


def _size_of(first: int) -> int:
    """How many bytes an item has that begins with the byte `first`; 0 if that byte alone does not
    tell, or if there is something to check."""
    major, argument = first >> 5, first & 31
    if argument < 24 and major in (0, 1, 7):
        return 1
    if argument < 24 and major in (2, 3):
        return 1 + argument
    if argument in (24, 25, 26, 27) and major in (0, 1, 7):
        return 1 + (1 << (argument - 24))
    return 0


_SIZES = tuple(map(_size_of, range(256)))


def scan(data: bytes, items_max: int) -> None:
    """Refuse what our messages never hold: tags, indefinite lengths, keys that are not text or come
    twice, depth, too many items, lengths beyond the end, bytes after it."""
    position, items, left = 0, 1, 1  # `left`: items still to come in the innermost array or map
    keys: set[bytes] | None = None  # of the innermost, if it is a map
    outer: list[tuple[int, set[bytes] | None]] = []
    try:
        while True:
            while not left:
                if not outer:
                    if position != len(data):
                        raise RemoteError("bytes after the message, or fewer than declared")
                    return
                left, keys = outer.pop()
            left -= 1
            first = data[position]
            size = _SIZES[first]
            if size and (keys is None or not left & 1):  # a short scalar, and no key
                position += size
                continue
            major, argument = first >> 5, first & 31
            position += 1
            if argument > 27:
                raise RemoteError(f"indefinite length at byte {position - 1}")
            if argument > 23:
                width = 1 << (argument - 24)
                argument = int.from_bytes(data[position : position + width], "big")
                position += width
            if keys is not None and left & 1:
                key = data[position : position + argument]
                if major != 3 or key in keys:
                    raise RemoteError(f"keys must be text, each once; byte {position}")
                keys.add(key)
            if major in (2, 3):
                position += argument
            elif major in (4, 5):
                outer.append((left, keys))
                left, keys = (argument, None) if major == 4 else (2 * argument, set())
                items += left
                if len(outer) >= DEPTH_MAX:
                    raise RemoteError(f"nested deeper than {DEPTH_MAX}")
                if items > items_max:
                    raise RemoteError(f"more than {items_max} items")
            elif major == 6:
                raise RemoteError(f"tag at byte {position - 1}")
    except IndexError:
        raise RemoteError("message ends early") from None
