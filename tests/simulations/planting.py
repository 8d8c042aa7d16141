"""A bug that is put into whole nodes on purpose, and who looks for it.

**Each bug is a patch while a run goes on**: `scenario` is the module that looks for it, `budget`
how many seeds it may take.
"""

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from attrs import evolve, frozen

from simulations.command.sweep import HASH_SEEDS, judged, traces_elsewhere
from simulations.command.sweep import Verdict as Ended
from simulations.stage.scenario import Scenario
from simulations.usage import NOT_DETERMINISTIC

Patches = Iterator[None]


@frozen
class Planted:
    """A bug that can be switched on."""

    number: int
    layer: str
    name: str
    scenario: str
    """The module that looks for it."""
    codes: tuple[str, ...]
    """What may find it: `F2`, or `I` for any of Raft's."""
    seed: int
    """The first that is known to find it."""
    budget: int
    """So many seeds, from 0, find it."""
    apply: Callable[[], Any]
    """A context manager."""
    elsewhere: bool = False
    """It shows only in a second process, under another hash seed."""

    def find(self, seeds: range | None = None) -> Ended | None:
        """The first run that sees it."""
        scenario = scenario_of(self.scenario)
        for seed in seeds or range(self.budget):
            found = self.look(scenario, seed)
            if found is not None:
                return found
        return None

    def look(self, scenario: Scenario, seed: int) -> Ended | None:
        """What one run with the bug says, if that is what it should say."""
        with self.apply():
            ended = judged(scenario, seed)
        if self.elsewhere:
            command = ["tests.simulations.planted", "--apply", str(self.number), scenario.name]
            traces = [traces_elsewhere(command, [seed], each)[seed] for each in HASH_SEEDS]
            text = "S4 two processes with other hash seeds differ"
            return (
                evolve(ended, code="S4", status=NOT_DETERMINISTIC, text=text)
                if len({*traces}) > 1
                else None
            )
        family = ended.code.rstrip("0123456789")
        return ended if {ended.code, family} & {*self.codes} else None


PLANTED: list[Planted] = []
"""All of them, once the modules `bugs_of_...` have been imported (`tests.simulations.planted`)."""


def planted(
    layer: str,
    name: str,
    scenario: str,
    codes: str,
    seed: int,
    budget: int,
    *,
    elsewhere: bool = False,
) -> Callable[[Callable[[], Patches]], None]:
    """Make a generator of patches one row of the table."""

    def register(patches: Callable[[], Patches]) -> None:
        number = len(PLANTED) + 1
        PLANTED.append(
            Planted(
                number,
                layer,
                name,
                scenario,
                tuple(codes.split()),
                seed,
                budget,
                contextmanager(patches),
                elsewhere,
            )
        )

    return register


def scenario_of(name: str) -> Scenario:
    """The scenario of a module."""
    found: Scenario = importlib.import_module(f"simulations.{name}").SCENARIO
    return found
