"""Membership in numbers: `python -m simulations.gossip_table` prints what ours does beside what was
published of SWIM, Lifeguard and memberlist.

The quick form takes a few minutes of one core, `--full` an hour or two; `-j` uses more cores.
**Every line is a function of its seeds**: the same on every machine, whatever `-j` and
PYTHONHASHSEED are.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from multiprocessing import Pool

from simulations.gossip import lifeguard_paper, ours, swim_paper
from simulations.gossip.observers import Outcome
from simulations.gossip.rows import Case, Row, printed

TITLES = {
    "ours": "NanoBoost's LAN profile; published: memberlist's LAN profile over real sockets",
    "swim": "The SWIM paper, section 5 (ratio: ours / published, or ours in the published unit)",
    "lifeguard": "The Lifeguard paper, table IV (ratio: per cent of SWIM's FP and FP-)",
}
SECTIONS = tuple(TITLES)
SIZES = (10, 50, 100, 200)


def cases(section: str, *, full: bool) -> list[Case]:
    """The lines of one table."""
    if section == "ours":
        return ours.cases(SIZES, trials=20 if full else 3)
    if section == "swim":
        return swim_paper.cases(trials=100 if full else 5)
    return lifeguard_paper.cases(full=full)


def _play(task: tuple[Case, int]) -> Outcome:
    case, seed = task
    return case.play(*case.arguments, seed)


def played(chosen: Sequence[Case], processes: int) -> Iterator[Row]:
    """Run every seed of every case; a line as soon as it is whole."""
    tasks = [(case, seed) for case in chosen for seed in case.seeds]
    if processes > 1:
        with Pool(processes) as pool:
            yield from _lines(chosen, pool.imap(_play, tasks))
    else:
        yield from _lines(chosen, map(_play, tasks))


def _lines(chosen: Sequence[Case], outcomes: Iterable[Outcome]) -> Iterator[Row]:
    coming = iter(outcomes)
    first: dict[str, tuple[Outcome, ...]] = {}
    for case in chosen:
        found = tuple(next(coming) for _ in case.seeds)
        yield Row(case, found, first.setdefault(case.scenario, found))


def main() -> None:
    """Print what the arguments ask for."""
    parser = argparse.ArgumentParser(
        prog="python -m simulations.gossip_table",
        description="Print what our membership does beside what was published of others.",
    )
    parser.add_argument("--full", action="store_true", help="more seeds, more anomalies")
    parser.add_argument("--json", action="store_true", help="a line of JSON for each line")
    parser.add_argument("--only", choices=SECTIONS, help="one of the tables")
    parser.add_argument("-j", type=int, default=1, metavar="K", help="processes")
    options = parser.parse_args()
    for section in (options.only,) if options.only else SECTIONS:
        begun = time.perf_counter()
        rows = []
        for row in played(cases(section, full=options.full), options.j):
            rows.append(row)
            if options.json:
                print(json.dumps({"table": section, **row.facts()}), flush=True)
            elif sys.stderr.isatty():
                print(f"\r{section}: {len(rows)} lines", end="", file=sys.stderr, flush=True)
        if not options.json:
            took = time.perf_counter() - begun
            print(f"{TITLES[section]} ({took:.0f} s)\n\n{printed(rows)}\n", flush=True)


if __name__ == "__main__":
    main()
