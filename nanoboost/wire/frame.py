"""Frames: a 4-byte big-endian length, then that many bytes.

**A length is checked before a single byte of the body is kept**, so a peer can make us hold at most
one frame.  What is in a frame is the codec's business.
"""

from nanoboost.errors import LocalError, RemoteError

FRAME_BYTES_MAX = 1 << 20
"""1 MiB.  Larger things (films, plans) lie on the NAS; 32 MiB frames cost 15 s of processor time
in a receiver that gathers TLS records of 16 KiB by concatenation."""

_HEADER_BYTES = 4


def pack(body: bytes) -> bytes:
    """Return `body` as one frame.  Raises `LocalError` when it is empty or too long."""
    if not 0 < len(body) <= FRAME_BYTES_MAX:
        raise LocalError(f"a frame holds 1 to {FRAME_BYTES_MAX} bytes, not {len(body)}")
    return len(body).to_bytes(_HEADER_BYTES, "big") + body


class FrameReader:
    """Turns chunks of a byte stream into frame bodies, whatever the chunk borders are."""

    def __init__(self, frame_bytes_max: int = FRAME_BYTES_MAX) -> None:
        self._frame_bytes_max = frame_bytes_max
        self._pending = bytearray()

    @property
    def is_inside_frame(self) -> bool:
        """Whether a frame has begun and is not yet whole (the stream must not end here)."""
        return bool(self._pending)

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes of the stream; return the bodies that became whole, in order.

        Raises `RemoteError` for a length of 0 or above the limit; the stream is then useless.
        """
        self._pending += data
        bodies: list[bytes] = []
        start = 0
        while len(self._pending) - start >= _HEADER_BYTES:
            size = int.from_bytes(self._pending[start : start + _HEADER_BYTES], "big")
            if not 0 < size <= self._frame_bytes_max:
                raise RemoteError(f"frame of {size} bytes, limit {self._frame_bytes_max}")
            end = start + _HEADER_BYTES + size
            if len(self._pending) < end:
                break
            bodies.append(bytes(self._pending[start + _HEADER_BYTES : end]))
            start = end
        del self._pending[:start]
        return bodies
