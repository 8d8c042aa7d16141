"""Random numbers that are the same on every machine and in every Python.

`random.Random` promises that for its raw bits only, and its distributions use the C library's
logarithm, whose last bit differs between processors.  **Every stream has a name, and drawing from
one never changes what another gives**, so a fault that is taken out of a run disturbs nothing else.
"""

import hashlib
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

_MASK = (1 << 64) - 1

TAIL = (0, 1, 2, 3, 4, 6, 8, 10, 13, 16, 20, 25, 31, 38, 47, 58, 72, 90, 112, 150, 250)
"""How far beyond the least delay, in per cent of the jitter: a table with a long tail."""


class Stream:
    """SplitMix64 (Steele, Lea, Flood 2014), started from a name."""

    def __init__(self, seed: int, name: str) -> None:
        digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
        self._state = int.from_bytes(digest, "big")

    def bits(self) -> int:
        """The next 64 bits."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        mixed = self._state
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        return mixed ^ (mixed >> 31)

    def below(self, bound: int) -> int:
        """A number from 0 to `bound` - 1 (the bias is below 2^-32 for the bounds in use here)."""
        return self.bits() * bound >> 64

    def between(self, low: int, high: int) -> int:
        """A number from `low` to `high`, both included."""
        return low + self.below(high - low + 1)

    def chance(self, permille: int) -> bool:
        """True in `permille` of 1000 cases."""
        return self.bits() * 1000 >> 64 < permille  # as `below` has it: this is drawn most

    def choice(self, items: Sequence[T]) -> T:
        """One of `items`."""
        return items[self.below(len(items))]

    def tailed(self, least: int, jitter: int) -> int:
        """`least` plus a share of `jitter`: mostly little, now and then more than all of it."""
        return least + jitter * TAIL[self.bits() * len(TAIL) >> 64] // 100
