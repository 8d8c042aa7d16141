"""The command line of every scenario: one seed told in full, or a sweep over many.

Exit status: 0 passed, 1 an invariant is broken, 2 something that should have come did not, 3 two
runs of one seed differ, 4 a sweep never saw what it is there for, 64 wrong usage.  **What went
wrong can always be repeated from the line that tells it**, and is shrunk to the faults that matter.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn, TextIO

from attrs import asdict
from twisted.logger import globalLogBeginner

from simulations.command.findings import Finding
from simulations.command.shrink import RUNS_MAX, Shrinking
from simulations.command.sweep import (
    RECHECKED,
    Verdict,
    judged,
    parting,
    recheck,
    sweep,
    traces_elsewhere,
    verdict_of,
)
from simulations.faults import Plan
from simulations.kernel.world import SECOND
from simulations.report import svg
from simulations.report.swept import Swept
from simulations.report.text import prose_of, told
from simulations.stage.scenario import LIMIT_S, Result, Scenario, run
from simulations.usage import NEVER_HAPPENED, NOT_DETERMINISTIC, Parser
from simulations.whatif import questions

MARKS_NEED = 20
"""A sweep of fewer seeds is not blamed for what it never saw."""
CUT_SHORT = 141
"""As the shell says of a command that SIGPIPE has ended."""
SHRUNK_MAX = 3
"""So many different failures of a sweep are shrunk."""


def parser_for(scenario: Scenario) -> argparse.ArgumentParser:
    """What may be said to a scenario."""
    parser = Parser(prog=f"python -m simulations.{scenario.name}", description=scenario.story)
    add = parser.add_argument
    add("--seed", type=int, default=None, help="what happens is a function of this (1)")
    add("--seeds", type=int, default=0, metavar="N", help="sweep: N seeds from --seed on")
    add("-j", "--jobs", type=int, default=1, metavar="K", help="sweep with K processes")
    add("--plan", type=Path, metavar="FILE", help="what is done to the cluster: a saved plan")
    add("--until", type=float, default=float(LIMIT_S), metavar="S", help="stop at this second")
    add("--log", nargs="?", const="", metavar="NODES", help="print the log too (n0,n1; or all)")
    add("--json", action="store_true", help="records and verdicts as JSON, a line each")
    add("--svg", type=Path, metavar="FILE", help="draw the run, and its last messages")
    add("--out", type=Path, default=Path("out"), metavar="DIR", help="where failing plans go (out)")
    add("--no-shrink", action="store_true", help="leave a failing plan as it is")
    add("--twice", action="store_true", help="play it in a second process too, and compare")
    for internal in ("--hashes", "--trace"):
        add(internal, default="", help=argparse.SUPPRESS)
    add("--quiet", action="store_true", help=argparse.SUPPRESS)
    return parser


def main(scenario: Scenario, command: Sequence[str] = ()) -> NoReturn:
    """Play the scenario as the arguments say, and exit.  `python -m COMMAND` does the same; it is
    the scenario's module unless told."""
    if scenario.name == "failover" and any(
        each.partition("=")[0] == "--graph" for each in sys.argv[1:]
    ):
        sys.exit(questions.main(sys.argv[1:]))
    parser = parser_for(scenario)
    options = parser.parse_args()
    if options.seeds < 0 or options.jobs < 1:
        parser.error("--seeds and --jobs are numbers of things")
    if options.seeds and options.plan:
        parser.error("a plan belongs to one seed: --plan goes with --seed")
    # Without this Twisted keeps the events of all runs for an observer to come.
    globalLogBeginner.beginLoggingTo([], redirectStandardIO=False, discardBuffer=True)
    plan = None
    if options.plan:
        try:
            finding = Finding.load(options.plan)
        except (OSError, ValueError) as error:
            parser.error(f"{options.plan}: {error}")
        plan = finding.plan
        options.seed = finding.seed if options.seed is None else options.seed
    options.seed = 1 if options.seed is None else options.seed
    if options.hashes:
        _hashes(scenario, options.hashes, plan, options.until)
        sys.exit(0)
    play = Play(scenario, options, command or [f"simulations.{scenario.name}"])
    try:
        status = play.sweep() if options.seeds else play.once(plan)
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has read enough; nor may the interpreter try at its exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = CUT_SHORT
    sys.exit(status)


def _hashes(scenario: Scenario, listed: str, plan: Plan | None, until_s: float) -> None:
    """For another process: the traces of some seeds."""
    for seed in map(int, listed.split(",")):
        trace = judged(scenario, seed, plan, until_s=until_s).trace
        print(seed, trace or "none", flush=True)


class Play:
    """One call of the command.  `command` is what repeats it: `python -m COMMAND`."""

    def __init__(
        self, scenario: Scenario, options: argparse.Namespace, command: Sequence[str]
    ) -> None:
        self._scenario = scenario
        self._options = options
        self._command = command

    # --- one seed --------------------------------------------------------------------------------

    def once(self, plan: Plan | None) -> int:
        """Play one seed, tell it, and return the exit status."""
        options = self._options
        result = run(
            self._scenario,
            options.seed,
            plan,
            until_s=options.until,
            keep_trace=bool(options.trace or options.svg),
            prose=options.log is not None,
        )
        if options.trace:
            Path(options.trace).write_text("\n".join(result.stage.lab.world.trace.lines or ()))
        if options.quiet:
            return result.status
        if options.log is not None:
            print("\n".join(prose_of(result, options.log)))
        if options.json:
            self._json(result)
        else:
            print("\n".join(told(result)))
        if options.svg:
            options.svg.write_text(svg.drawn(result))
        if result.status:
            verdict = verdict_of(result)
            shrunk = not options.json and self._shrink(verdict, result.plan)
            print(f"  replay   {self._replay(verdict, shrunk or None)}", file=self._aside)
        if options.twice:
            elsewhere = traces_elsewhere(self._same, [options.seed])[options.seed]
            if elsewhere != result.trace:
                where = parting(self._same, options.seed)
                print(f"NOT DETERMINISTIC: {where}", file=self._aside)
                return NOT_DETERMINISTIC
            print(f"  twice    the same trace in a second process: {elsewhere}", file=self._aside)
        return result.status

    def _json(self, result: Result) -> None:
        for record in result.stage.lab.records.records:
            line = {"at_ns": record.at, "node": record.node, "event": record.event, **record.facts}
            print(json.dumps(line))
        print(_as_json(verdict_of(result)))

    # --- many ------------------------------------------------------------------------------------

    def sweep(self) -> int:
        """Play many seeds, tell what was found, and return the exit status."""
        options = self._options
        swept = Swept(self._scenario, time.monotonic())
        seeds = range(options.seed, options.seed + options.seeds)
        for verdict in sweep(self._scenario, seeds, options.jobs, until_s=options.until):
            swept.add(verdict)
            if options.json:
                print(_as_json(verdict), flush=True)
            elif verdict.status:
                print(f"seed {verdict.seed}: {verdict.text.splitlines()[0][:200]}", flush=True)
        count = max(1, options.seeds // RECHECKED)
        again, differ = recheck(swept.verdicts, self._same, count)
        swept.end(time.monotonic(), again, differ)
        print("\n".join(swept.told()), file=self._aside)
        for verdict in swept.first_of_each_kind()[:SHRUNK_MAX]:
            file = self._shrink(verdict, self._scenario.plan(verdict.seed))
            print(f"  replay   {self._replay(verdict, file)}", file=self._aside)
        if differ:
            where = parting(self._same, differ[0])
            print(f"NOT DETERMINISTIC: seeds {differ}\n  {where}", file=self._aside)
            return NOT_DETERMINISTIC
        if swept.status == 0 and swept.never and options.seeds >= MARKS_NEED:
            print(f"NEVER HAPPENED: {', '.join(swept.never)}", file=self._aside)
            return NEVER_HAPPENED
        return swept.status

    # --- what went wrong -------------------------------------------------------------------------

    def _shrink(self, verdict: Verdict, plan: Plan) -> Path | None:
        """Shrink the plan, tell of it, and save it; returns the file."""
        if self._options.no_shrink or not verdict.code:
            return None
        began = time.process_time()

        def fails(smaller: Plan) -> bool:
            until_s = self._options.until
            found = judged(self._scenario, verdict.seed, smaller, until_s=until_s)
            return found.code == verdict.code

        search = Shrinking(fails, RUNS_MAX)
        small = search.shrink(plan)
        cost_s = time.process_time() - began
        print(
            f"  shrunk   {len(plan)} faults → {len(small)} in {search.runs} runs ({cost_s:.1f} s)",
            *(f"             {fault}" for fault in small),
            sep="\n",
            file=self._aside,
        )
        file: Path = self._options.out / f"{self._scenario.name}-{verdict.seed}.json"
        found = verdict.text.splitlines()[0]
        Finding(self._scenario.name, verdict.seed, found, small).save(file)
        return file

    def _replay(self, verdict: Verdict, file: Path | None) -> str:
        plan = f" --plan {file}" if file else ""
        until = f" --until {verdict.at_ns / SECOND + 0.001:.3f}" if not file else ""
        return f"python -m {' '.join(self._command)} --seed {verdict.seed}{plan}{until} --log"

    @property
    def _same(self) -> list[str]:
        """The command that plays the same elsewhere."""
        options = self._options
        plan = ["--plan", str(options.plan)] if options.plan else []
        return [*self._command, "--until", str(options.until), *plan]

    @property
    def _aside(self) -> TextIO:
        """Where text goes: not among the JSON."""
        return sys.stderr if self._options.json else sys.stdout


def _as_json(verdict: Verdict) -> str:
    return json.dumps({"event": "verdict", **asdict(verdict)})
