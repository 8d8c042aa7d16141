"""A digest of everything that happens, in order.

**Two runs with the same hash did the same things at the same times**; where two differ, their
`lines` (kept on demand) show the first difference.
"""

import hashlib
from zlib import crc32


class Trace:
    """Takes one line an event."""

    def __init__(self, *, keep: bool = False) -> None:
        self._hash = hashlib.blake2b(digest_size=8)
        self.lines: list[str] | None = [] if keep else None

    def note(self, line: str) -> None:
        """One more thing has happened."""
        self._hash.update(line.encode())
        self._hash.update(b"\n")
        if self.lines is not None:
            self.lines.append(line)

    def packet(self, what: str, data: bytes) -> None:
        """Bytes have moved."""
        self.note(f"{what} {len(data)} {crc32(data):08x}")

    def hex(self) -> str:
        """The digest so far."""
        return self._hash.hexdigest()
