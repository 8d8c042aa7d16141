"""Known bugs, put into whole nodes on purpose: the simulator must find every one.

**A world that finds nothing may be too kind; this says how kind it is.**

    python -m tests.simulations.planted            # the table of docs/simulation-evidence.md
    python -m tests.simulations.planted --only 7   # one of them
"""

import argparse
import sys
import time

from twisted.logger import globalLogBeginner

from simulations.command.cli import main as play
from tests.simulations import (  # noqa: F401  (each registers its bugs, in this order)
    bugs_of_consensus,
    bugs_of_the_network,
    bugs_of_the_work,
)
from tests.simulations.planting import PLANTED as PLANTED
from tests.simulations.planting import Planted, scenario_of


def table(which: list[Planted]) -> list[str]:
    """Search, and tell what was found, as Markdown."""
    lines = [
        "| | layer | bug | scenario | seeds needed | of at most | found by |",
        "|---|---|---|---|---|---|---|",
    ]
    for each in which:
        began = time.process_time()
        found = each.find()
        cost = time.process_time() - began
        needed = "not found" if found is None else f"{found.seed + 1}"
        by = "" if found is None else found.text.splitlines()[0].split(":")[0][:100]
        line = (
            f"| {each.number} | {each.layer} | {each.name} | `{each.scenario}` | {needed} | "
            f"{each.budget} | {by} |"
        )
        print(line, f"  {cost:.0f} s", file=sys.stderr, flush=True)
        lines.append(line)
    return lines


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Put known bugs into the nodes and find them.")
    parser.add_argument("--only", type=int, nargs="*", help="these rows")
    parser.add_argument("--apply", type=int, help="play SCENARIO with this bug; its options follow")
    parser.add_argument("scenario", nargs="?", default="")
    options, rest = parser.parse_known_args()
    if options.apply:
        with PLANTED[options.apply - 1].apply():
            scenario = scenario_of(options.scenario)
            command = ["tests.simulations.planted", "--apply", str(options.apply), scenario.name]
            sys.argv = [sys.argv[0], *rest]
            play(scenario, command)
    globalLogBeginner.beginLoggingTo([], redirectStandardIO=False, discardBuffer=True)
    wanted = options.only or [each.number for each in PLANTED]
    print("\n".join(table([each for each in PLANTED if each.number in wanted])))


if __name__ == "__main__":
    main()
