"""Delta debugging (ddmin; Zeller and Hildebrandt 2002) of a plan: the few faults that matter.

**What is left fails in the same way, and no longer does if any one fault of it is left out**
(unless the runs were used up before).  It works because every entity draws from its own stream:
what is taken out of a run leaves the rest of it alone.
"""

import itertools
from collections.abc import Callable

from attrs import define, field

from simulations.faults import Fault, Plan

RUNS_MAX = 120

Faults = tuple[Fault, ...]


@define(eq=False)
class Shrinking:
    """One search.  `fails` plays a plan and says whether it fails as the whole one does."""

    _fails: Callable[[Plan], bool] = field()
    _runs_max: int = field(default=RUNS_MAX)
    runs: int = field(default=0, init=False)
    """How many plans were played."""
    _known: dict[Faults, bool] = field(factory=dict, init=False)

    def shrink(self, plan: Plan) -> Plan:
        """The smallest plan that was found; `plan` itself is known to fail."""
        faults, parts = plan.faults, 2
        while faults:
            smaller = self._smaller(faults, parts)
            if smaller is not None:
                parts = max(2, min(parts, len(smaller)) - 1)
                faults = smaller
            elif parts < len(faults):
                parts = min(len(faults), parts * 2)
            else:
                break
        return Plan(faults)

    def _smaller(self, faults: Faults, parts: int) -> Faults | None:
        """A part that fails by itself, or all without one part; the former are far smaller."""
        pieces = _split(faults, min(parts, len(faults)))
        without = [
            tuple(each for piece in (*pieces[:place], *pieces[place + 1 :]) for each in piece)
            for place in range(len(pieces))
        ]
        for candidate in (*pieces, *without):
            if candidate != faults and self._still_fails(candidate):
                return candidate
        return None

    def _still_fails(self, faults: Faults) -> bool:
        if faults not in self._known:
            if self.runs >= self._runs_max:
                return False
            self.runs += 1
            self._known[faults] = self._fails(Plan(faults))
        return self._known[faults]


def _split(faults: Faults, parts: int) -> list[Faults]:
    bounds = [len(faults) * part // parts for part in range(parts + 1)]
    return [faults[low:high] for low, high in itertools.pairwise(bounds)]
