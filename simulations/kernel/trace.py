"""A digest of everything that happens, in order.

**Two runs with the same hash did the same things at the same times**; where two differ, their
`lines` (kept on demand) show the first difference.
"""

import hashlib
from zlib import crc32

AT_ONCE = 512
"""So many lines are digested together: it is the number of calls that costs."""


class Trace:
    """Takes one line an event."""

    def __init__(self, *, keep: bool = False) -> None:
        self._hash = hashlib.blake2b(digest_size=8)
        self._pending: list[str] = []
        self._lines: list[str] | None = [] if keep else None

    def note(self, line: str) -> None:
        """One more thing has happened."""
        self._pending.append(line)
        if len(self._pending) >= AT_ONCE:
            self._digest()

    def packet(self, what: str, data: bytes) -> None:
        """Bytes have moved."""
        self.note(f"{what} {len(data)} {crc32(data):08x}")

    def hex(self) -> str:
        """The digest so far."""
        self._digest()
        return self._hash.hexdigest()

    @property
    def lines(self) -> list[str] | None:
        """All lines so far, if they are kept."""
        self._digest()
        return self._lines

    def _digest(self) -> None:
        if self._pending:
            self._hash.update("\n".join([*self._pending, ""]).encode())
        if self._lines is not None:
            self._lines += self._pending
        self._pending.clear()
