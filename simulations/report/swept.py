"""A sweep as text: what failed, what happened how often, how long recovering took.

**What never happened is told**: a check that had nothing to look at is no evidence.
"""

from collections import Counter

from simulations.checkers.settled import CLAIMS
from simulations.command.sweep import Verdict
from simulations.kernel.world import SECOND
from simulations.stage.scenario import Scenario


class Swept:
    """Takes the verdicts of a sweep.  Times are the caller's clock, in seconds."""

    def __init__(self, scenario: Scenario, began_s: float) -> None:
        self.verdicts: list[Verdict] = []
        self._scenario = scenario
        self._began_s = began_s
        self._ended_s = began_s
        self._again: list[int] = []
        self._differ: list[int] = []

    def add(self, verdict: Verdict) -> None:
        """One more run."""
        self.verdicts.append(verdict)

    def end(self, ended_s: float, again: list[int], differ: list[int]) -> None:
        """All have run; the seeds `again` were played once more in another process, where some
        went otherwise."""
        self._ended_s = ended_s
        self._again, self._differ = again, differ

    @property
    def failed(self) -> list[Verdict]:
        """All that did not pass."""
        return [each for each in self.verdicts if each.status]

    @property
    def status(self) -> int:
        """0 passed; a broken invariant comes before what did not come."""
        return min((each.status for each in self.failed), default=0)

    @property
    def never(self) -> list[str]:
        """The scenario's marks that no run has seen."""
        return [
            mark
            for mark in self._scenario.marks
            if not any(each.happened.get(mark) for each in self.verdicts)
        ]

    def first_of_each_kind(self) -> list[Verdict]:
        """The first failure with each code."""
        return list({each.code: each for each in reversed(self.failed)}.values())[::-1]

    def told(self) -> list[str]:
        """The text."""
        count, failed = len(self.verdicts), len(self.failed)
        wall_s = max(self._ended_s - self._began_s, 0.001)
        cpu_s = max(sum(each.cpu_s for each in self.verdicts), 0.001)
        node_s = sum(each.node_s for each in self.verdicts)
        same = "the same" if not self._differ else f"{len(self._differ)} DIFFER"
        same = f" · {len(self._again)} played again elsewhere: {same}" if self._again else ""
        lines = [
            f"{self._scenario.name} · {count} seeds · {count - failed} passed · {failed} failed · "
            f"{wall_s:.0f} s · {count * 60 / cpu_s:.0f} seeds/min/core · "
            f"{node_s / cpu_s:.0f} node-s/s/core{same}"
        ]
        kinds = Counter(each.code for each in self.failed)
        for first in self.first_of_each_kind():
            lines.append(f"  {first.code:<3} {kinds[first.code]}×, first with seed {first.seed}")
            lines.append(f"      {first.text.splitlines()[0][:300]}")
        lines += self._happened()
        lines += self._recovered()
        return lines

    def _happened(self) -> list[str]:
        if not self._scenario.marks:
            return []
        seen = Counter(mark for each in self.verdicts for mark, yes in each.happened.items() if yes)
        shares = [
            f"{mark} {seen[mark] * 100 / len(self.verdicts):.0f}"
            if seen[mark]
            else f"NEVER: {mark} ✗"
            for mark in self._scenario.marks
        ]
        return [f"  happened in % of seeds: {' · '.join(shares)}"]

    def _recovered(self) -> list[str]:
        lines = []
        for code, claim in CLAIMS.items():
            found = sorted(
                (each.recovered_ns[code], each.seed)
                for each in self.verdicts
                if code in each.recovered_ns
            )
            if found:
                shares = (found[len(found) * share // 100][0] / SECOND for share in (50, 95, 99))
                middle = "/".join(f"{each:.1f}" for each in shares)
                longest, seed = found[-1]
                lines.append(
                    f"  {claim:<17} after the heal, p50/p95/p99 {middle} s, longest "
                    f"{longest / SECOND:.1f} s (seed {seed})"
                )
        return lines
