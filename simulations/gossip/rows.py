"""The one shape of everything that is printed: a line a scenario, size and configuration."""

from collections.abc import Callable, Sequence
from typing import Any

from attrs import field, frozen

from simulations.gossip.observers import Outcome, percentile

COLUMNS = (
    "scenario", "N", "config", "FP", "FP-", "first p50/p99/p99.9 s", "full p50/p99/p99.9 s",
    "msgs/node/s", "B/node/s", "published", "ratio",
)  # fmt: skip
SHARES = (0.5, 0.99, 0.999)


Outcomes = Sequence[Outcome]
Judge = Callable[[Outcomes, Outcomes], tuple[str, str]]
"""Given the outcomes of a line, and those of the first line of its scenario: what was published,
and what ours is beside that."""


@frozen
class Case:
    """One line to be: `play(*arguments, seed)` is run once for each seed."""

    scenario: str
    n: int
    config: str
    play: Callable[..., Outcome]
    arguments: tuple[Any, ...]
    seeds: range
    judge: Judge = field(default=lambda outcomes, first: ("", ""))


@frozen
class Row:
    """One line: a case, and what came of its runs."""

    case: Case
    outcomes: tuple[Outcome, ...]
    first: tuple[Outcome, ...]
    """Those of the first line of the same scenario."""

    def facts(self) -> dict[str, Any]:
        """The line as JSON."""
        runs = self.outcomes
        published, ratio = self.case.judge(runs, self.first)
        return {
            "scenario": self.case.scenario,
            "n": self.case.n,
            "config": self.case.config,
            "runs": len(runs),
            "fp": sum(run.fp for run in runs),
            "fp_minus": sum(run.fp_minus for run in runs),
            "missed": sum(run.missed for run in runs),
            "first_s": _percentiles([each for run in runs for each in run.first]),
            "full_s": _percentiles([each for run in runs for each in run.full]),
            "messages_node_s": round(sum(run.messages for run in runs) / len(runs), 3),
            "bytes_node_s": round(sum(run.bytes for run in runs) / len(runs), 1),
            "published": published,
            "ratio": ratio,
        }

    def cells(self) -> tuple[str, ...]:
        """The line as text, one a column."""
        facts = self.facts()
        first, full = (
            " / ".join(f"{each:.2f}" for each in facts[name]) for name in ("first_s", "full_s")
        )
        return (
            facts["scenario"],
            str(facts["n"]),
            facts["config"],
            str(facts["fp"]),
            str(facts["fp_minus"]),
            first,
            full + (f" ({facts['missed']} never)" if facts["missed"] else ""),
            f"{facts['messages_node_s']:.2f}",
            f"{facts['bytes_node_s']:.0f}",
            facts["published"],
            facts["ratio"],
        )


def _percentiles(values: list[float]) -> list[float]:
    return [round(percentile(values, share), 4) for share in SHARES] if values else []


def printed(rows: Sequence[Row]) -> str:
    """The table in Markdown, padded so that it reads well in a terminal too."""
    lines = [COLUMNS, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
    padded = [
        [cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines
    ]
    rule = ["-" * width for width in widths]
    return "\n".join(f"| {' | '.join(line)} |" for line in (padded[0], rule, *padded[1:]))
