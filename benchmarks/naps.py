"""A graph of naps: `width` tasks that sleep, then one that counts them.  For measurements."""

import time

from nanoboost import Input, Nano, NanoGraph, Output, Param


class Nap(Nano):
    """Sleeps, then writes its number."""

    number = Param(int)
    nap_s = Param(float)
    done = Output("naps/{number:05d}")

    def run(self) -> None:
        """Sleep."""
        time.sleep(self.nap_s)
        self.done.write_text(f"{self.number}\n")


class Count(Nano):
    """Counts the naps."""

    naps = Input(many=True)
    total = Output("naps.txt")

    def run(self) -> None:
        """Count."""
        self.total.write_text(f"{len({nap.read_text() for nap in self.naps})}\n")


class Naps(NanoGraph):
    """`width` naps of `nap_s` seconds each, and their count."""

    width = Param(int, default=30, min=1)
    nap_s = Param(float, default=0.2, min=0)

    def build(self) -> Count:
        """Link the naps to their count."""
        naps = [Nap(number=number, nap_s=self.nap_s) for number in range(self.width)]
        return Count(naps=[nap.done for nap in naps])
