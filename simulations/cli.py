"""The command line of every scenario: one seed told in full, or a sweep over many.

Exit status: 0 passed, 1 an invariant is broken, 2 something that should have come did not, 3 two
runs of one seed differ.  **What went wrong can always be repeated from the line that tells it.**
"""

import argparse
import json
import sys

from twisted.logger import globalLogBeginner

from simulations.kernel.world import SECOND
from simulations.report.text import swept, told
from simulations.scenario import LIMIT_S, Result, Scenario, run

NOT_DETERMINISTIC = 3
RECHECKED = 50
"""Every so many seeds of a sweep, one is run twice."""


def main(scenario: Scenario) -> None:
    """Play the scenario as the arguments say, and exit."""
    parser = argparse.ArgumentParser(
        prog=f"python -m simulations.{scenario.name}", description=scenario.story
    )
    parser.add_argument("--seed", type=int, default=1, help="what happens is a function of this")
    parser.add_argument("--seeds", type=int, default=0, help="sweep: so many seeds from --seed on")
    parser.add_argument("--until", type=float, default=float(LIMIT_S), help="stop at this second")
    parser.add_argument("--twice", action="store_true", help="run it twice and compare")
    parser.add_argument("--log", action="store_true", help="print the nodes' whole log too")
    parser.add_argument("--json", action="store_true", help="print the journal's records as JSON")
    options = parser.parse_args()
    # Without this Twisted keeps the events of all runs for an observer to come.
    globalLogBeginner.beginLoggingTo([], redirectStandardIO=False, discardBuffer=True)
    sys.exit(_sweep(scenario, options) if options.seeds else _once(scenario, options))


def _once(scenario: Scenario, options: argparse.Namespace) -> int:
    result = run(
        scenario,
        options.seed,
        until_s=options.until,
        keep_trace=options.twice,
        prose=options.log,
    )
    if options.log:
        print("\n".join(result.stage.lab.records.prose or ()))
    if options.json:
        for record in result.stage.lab.records.records:
            line = {"at_ns": record.at, "node": record.node, "event": record.event, **record.facts}
            print(json.dumps(line))
    else:
        print("\n".join(told(result)))
    if options.twice:
        other = run(scenario, options.seed, until_s=options.until, keep_trace=True)
        if parting := difference(result, other):
            print(parting)
            return NOT_DETERMINISTIC
        print(f"twice    the same trace, {other.trace}")
    return result.status


def difference(one: Result, other: Result) -> str:
    """Where two runs part; "" if they do not."""
    if one.trace == other.trace:
        return ""
    lines = (each.stage.lab.world.trace.lines or () for each in (one, other))
    pairs = zip(*lines, strict=False)
    for number, (left, right) in enumerate(pairs):
        if left != right:
            return f"NOT DETERMINISTIC: line {number} of the trace\n  {left}\n  {right}"
    return "NOT DETERMINISTIC: one trace is the beginning of the other"


def _sweep(scenario: Scenario, options: argparse.Namespace) -> int:
    found = []
    cpu_s = span_s = 0.0
    status = 0
    for seed in range(options.seed, options.seed + options.seeds):
        result = run(scenario, seed, until_s=options.until)
        violation, complaints = result.stage.judge.violation, result.stage.complaints
        wrong = str(violation) if violation else "; ".join(complaints)
        found.append((seed, wrong, dict(result.stage.happened)))
        cpu_s += result.cpu_s
        span_s += result.end / SECOND
        status = status or result.status
        if (seed - options.seed) % RECHECKED == 0:
            other = run(scenario, seed, until_s=options.until)
            if other.trace != result.trace:
                print(f"seed {seed} is NOT DETERMINISTIC; see --seed {seed} --twice")
                return NOT_DETERMINISTIC
        if wrong:
            print(f"seed {seed}: {wrong.splitlines()[0][:200]}", flush=True)
    print(swept(found, cpu_s, span_s))
    return status
