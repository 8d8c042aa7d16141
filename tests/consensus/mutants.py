"""The fifteen known bugs, each put into the core on purpose: the harness must find every one.

**A mutant is found only by an invariant of `simulations.checkers.raft`**: a core that dies of its
own assertions is, to the harness, one more process that crashed.

    python -m tests.consensus.mutants --seeds N     # the table of docs/consensus-evidence.md
"""

import argparse
import time
from collections.abc import Iterable

from attrs import frozen

from simulations.checkers.raft import Broken
from tests.consensus.known_bugs import MUTANTS, Mutant
from tests.consensus.storms import storm


@frozen
class Finding:
    """How a mutant was found."""

    invariant: str
    what: str
    seeds: int
    """How many storms it took, this one included."""
    seconds: float


def hunt(each: Mutant, seeds: Iterable[int]) -> Finding | None:
    """Send storms over a mutant until one shows it."""
    began = time.process_time()
    with each.apply():
        for count, seed in enumerate(seeds, 1):
            try:
                storm(seed)
            except Broken as found:
                spent = time.process_time() - began
                return Finding(found.invariant, str(found), count, spent)
    return None


def main() -> int:
    """Print the table; fail if a mutant got away."""
    parser = argparse.ArgumentParser(description="hunt the fifteen known Raft bugs")
    parser.add_argument("--seeds", type=int, default=200, help="the budget for each of them")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--only", type=int, nargs="*", help="the numbers of some of them")
    args = parser.parse_args()
    lost = 0
    print("| # | bug | found by | after seeds | CPU s |")
    print("|--:|---|---|--:|--:|")
    for each in MUTANTS:
        if args.only and each.number not in args.only:
            continue
        found = hunt(each, range(args.first, args.first + args.seeds))
        lost += found is None
        end = (
            f"{found.what} | {found.seeds} | {found.seconds:.1f}" if found else "NOT FOUND | - | -"
        )
        print(f"| {each.number} | {each.name} | {end} |", flush=True)
    return 1 if lost else 0


if __name__ == "__main__":
    raise SystemExit(main())
