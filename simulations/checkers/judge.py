"""Holds a run against what must be true: each record as it comes, and the whole at the end.

**The first violation ends the run**: what happens after it is worth nothing.
"""

from collections.abc import Sequence
from functools import partial
from typing import Protocol

from attrs import define, field, frozen

from simulations.kernel.journal import Record, Records
from simulations.kernel.world import SECOND, World


class Broken(Exception):
    """A checker says: this must not be.  `code` and `claim` are the checker's own, if empty."""

    code = claim = ""


class Checker(Protocol):
    """One invariant, or a few that belong together."""

    code: str
    """Its short name: `M1`."""
    claim: str
    """What must be true, in a few words."""

    def saw(self, record: Record) -> None:
        """One more record.  Raises `Broken`."""

    def end(self) -> None:
        """The run is over.  Raises `Broken`."""


@frozen
class Violation:
    """What was broken, and when."""

    code: str
    claim: str
    text: str
    at: int

    def __str__(self) -> str:
        return f"{self.code} {self.claim}: {self.text} ({self.at / SECOND:.6f} s)"


@define(eq=False)
class Judge:
    """All checkers of a run."""

    _world: World = field()
    checkers: Sequence[Checker] = field()
    violation: Violation | None = field(default=None, init=False)

    def watch(self, records: Records) -> None:
        """Look at each record from now on.  (Those of consensus are many, and for one only.)"""
        records.watchers.append(partial(self._saw, self.checkers))
        raft = [each for each in self.checkers if each.code == "I"]
        records.raft_watchers.append(partial(self._saw, raft))

    def complain(self, code: str, claim: str, text: str) -> None:
        """Something else was found to be broken."""
        if self.violation is None:
            self.violation = Violation(code, claim, text, self._world.now)
            self._world.stop()

    def _saw(self, checkers: Sequence[Checker], record: Record) -> None:
        for checker in checkers:
            try:
                checker.saw(record)
            except Broken as broken:
                code, claim = broken.code or checker.code, broken.claim or checker.claim
                self.complain(code, claim, str(broken))

    def end(self) -> None:
        """The run is over."""
        for checker in self.checkers:
            if self.violation is None:
                try:
                    checker.end()
                except Broken as broken:
                    self.complain(checker.code, checker.claim, str(broken))
