"""`python -m simulations.failover --graph my_job.py --cluster shed.toml --kill pi3,pi4 --at 50%`.

**Each seed is played without a failure first, then once for each question; up to the failure the
runs are the same**, so what differs is what the failure costs.
"""

import argparse
import multiprocessing
import re
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from attrs import define, field, frozen
from twisted.logger import globalLogBeginner

from nanoboost.errors import UserError
from nanoboost.plan import Plan as Job
from simulations.usage import INVARIANT, LIVENESS, USAGE, Parser
from simulations.whatif.cluster import Cluster
from simulations.whatif.ownjob import Death, Outcome, after_calm, check, kill, load_job, run, timed

MODELLED = (
    "modelled: links, disks, slots, speeds, durations up to 40 % longer than told.  Not: the load "
    "that tasks put on the network and the NAS, caches, heat."
)


@frozen
class Row:
    """What one run says, in plain values that cross a process border."""

    seed: int
    makespan_s: float | None
    rerun: int
    lost_s: dict[str, float]
    voters: tuple[str, ...]
    dead_voters: tuple[str, ...]
    why: str
    problem: str


@define(eq=False)
class Question:
    """One line of the table: what happens, and the runs that tell."""

    text: str = field()
    deaths: tuple[Death, ...] = field()
    rows: list[Row] = field(factory=list, init=False)

    @property
    def makespans(self) -> list[float]:
        """Of the runs that finished, in order of length."""
        return sorted(row.makespan_s for row in self.rows if row.makespan_s is not None)

    @property
    def failed(self) -> list[Row]:
        """The runs that did not finish."""
        return [row for row in self.rows if row.makespan_s is None]

    def share(self, percent: int) -> float:
        """The makespan that so many per cent of the finished runs keep to."""
        found = self.makespans
        return found[min(len(found) - 1, len(found) * percent // 100)]


def row_of(outcome: Outcome) -> Row:
    """The row of a run."""
    voters, dead = outcome.voters_lost
    makespan = outcome.makespan_s if outcome.finished else None
    return Row(
        outcome.seed,
        makespan,
        outcome.rerun,
        outcome.lost_s,
        voters,
        dead,
        outcome.why,
        outcome.problem,
    )


def play(
    job: Job, cluster: Cluster, questions: Sequence[tuple[Death, ...]], seed: int
) -> list[Row]:
    """All questions with one seed; the first is that without a failure."""
    calm = run(job, cluster, (), seed)
    told = [row_of(calm)]
    sized, _ = timed(job, cluster)
    told += [row_of(after_calm(sized, cluster, each, seed, calm)) for each in questions[1:]]
    return told


# --- many seeds ----------------------------------------------------------------------------------

_task: "Callable[[int], list[Row]] | None" = None
"""For the worker processes, which are forked."""


def _worker(seed: int) -> list[Row]:
    assert _task is not None, "set before the fork"
    return _task(seed)


def ask(job: Job, cluster: Cluster, questions: list[Question], seeds: range, jobs: int) -> None:
    """Play all seeds, and note the rows."""
    global _task
    asked = [each.deaths for each in questions]
    _task = lambda seed: play(job, cluster, asked, seed)  # noqa: E731
    if jobs <= 1:
        found = map(_worker, seeds)
        for told in found:
            _note(questions, told)
        return
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("fork")) as pool:
        for told in pool.map(_worker, seeds):
            _note(questions, told)


def _note(questions: list[Question], told: list[Row]) -> None:
    for question, row in zip(questions, told, strict=True):
        question.rows.append(row)


# --- the table -----------------------------------------------------------------------------------


def table(questions: list[Question]) -> list[str]:
    """The answers."""
    width = max(28, *(len(each.text) for each in questions))
    lines = [f"  {'':<{width}}  finishes  makespan p50       p95   re-run tasks"]
    calm = questions[0]
    for each in questions:
        count = f"{len(each.makespans)}/{len(each.rows)}"
        if each.makespans:
            middle, high = each.share(50), each.share(95)
            rerun = sum(row.rerun for row in each.rows) / len(each.rows)
            more = ""
            if each is not calm and calm.makespans:
                more = f"   ({(middle / calm.share(50) - 1) * 100:+.0f} %)"
            times = f"{_time(middle):>12}  {_time(high):>8}   {rerun:>12.1f}{more}"
        else:
            times = f"{'never':>12}"
        lines.append(f"  {each.text:<{width}}  {count:>8}  {times}")
        lines += [f"    {text}" for text in _reasons(each)]
    return lines


def _time(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} m" if hours else f"{minutes} m {rest:02d} s"


def _reasons(question: Question) -> list[str]:
    counted: dict[str, int] = {}
    for row in question.failed:
        counted[row.why] = counted.get(row.why, 0) + 1
    return [f"{count}×: {why[:160]}" for why, count in list(counted.items())[:3]]


def advice(questions: list[Question], cluster: Cluster) -> list[str]:
    """What would make the answers better, as far as the runs show it."""
    lines = []
    for each in questions:
        if not each.deaths or each.deaths[0].back_s is not None:
            continue
        stuck = [row for row in each.rows if 2 * len(row.dead_voters) > len(row.voters) > 0]
        if stuck:
            row = stuck[0]
            spared = [name for name in cluster.hosts if name not in row.dead_voters]
            spared.sort(key=lambda name: (name in row.voters, -cluster.hosts[name].speed))
            lines.append(
                f"{' and '.join(row.dead_voters)} are {len(row.dead_voters)} of {len(row.voters)} "
                f"voters (in {len(stuck)} of {len(each.rows)} runs): nothing is committed until "
                f"one of them is back; start {' and '.join(spared[:2])} first (`voter = true`)"
            )
        lost: dict[str, float] = {}
        for row in each.rows:
            for name, seconds in row.lost_s.items():
                lost[name] = lost.get(name, 0.0) + seconds
        if lost:
            worst = max(lost, key=lambda name: lost[name])
            share = lost[worst] * 100 / max(sum(lost.values()), 0.001)
            lines.append(
                f"{each.text}: {lost[worst] / len(each.rows):.0f} s of {worst}'s work die with "
                f"them ({share:.0f} % of all that is lost); smaller tasks lose less"
            )
    return lines


# --- the command ---------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m simulations.failover",
        description="What happens to your own job if machines of your own cluster die?",
        epilog="The graph's own parameters follow as --name value.",
    )
    add = parser.add_argument
    add("--graph", required=True, metavar="FILE[:GRAPH]", help="your NanoGraph")
    add("--cluster", required=True, type=Path, metavar="FILE", help="your machines: shed.toml")
    add("--kill", action="append", default=[], metavar="H[,H]", help="these lose their power")
    add("--at", default="50%", metavar="P%|S", help="at a share of the tasks, or a second (50%%)")
    add("--back", metavar="D", help="and what if they are back after 30s, 5m, 1h?")
    add("--every-host", action="store_true", help="each host alone, too")
    add("--seeds", type=int, default=10, metavar="N", help="runs of each (10)")
    add("-j", "--jobs", type=int, default=1, metavar="K", help="with K processes")
    add("--nas", type=Path, default=Path(), metavar="DIR", help="where the job's inputs are (.)")
    add("--timeline", action="store_true", help="draw the first run of each question")
    return parser


def questions_of(options: argparse.Namespace, cluster: Cluster) -> list[Question]:
    """The lines of the table.  Raises `UserError`."""
    share, after_s = _moment(options.at)
    found = [Question("no failure", ())]
    groups = [tuple(each.split(",")) for each in options.kill]
    if options.every_host:
        groups += [(name,) for name in cluster.hosts]
    for hosts in groups:
        death = kill(*hosts)
        death = death.at(share) if share is not None else death.after(after_s)
        found.append(Question(str(death), (death,)))
        if options.back:
            back_s = _duration(options.back)
            back = (
                death.at(share, back_s=back_s)
                if share is not None
                else death.after(after_s, back_s=back_s)
            )
            found.append(Question(f"… and come back {options.back} later", (back,)))
    return found


def _moment(text: str) -> tuple[float | None, float]:
    if text.endswith("%"):
        try:
            return float(text[:-1]) / 100, 0.0
        except ValueError:
            raise UserError(f"--at {text}: say 50% or 30s") from None
    return None, _duration(text)


def _duration(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text)
    if found is None:
        raise UserError(f"{text!r} is no duration: say 30s, 5m or 1h")
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600, "": 1}[found[2]]


def _params(rest: list[str]) -> dict[str, str]:
    found = {}
    words = iter(rest)
    for word in words:
        name, equals, value = word.partition("=")
        if not name.startswith("--"):
            raise UserError(f"{word!r} is no parameter: say --name value")
        if not equals:
            value = next(words, "")
        found[name[2:].replace("-", "_")] = value
    return found


def main(arguments: Sequence[str]) -> int:
    """The command; returns its exit status: 0 all runs finish, 2 some do not, 1 an invariant of
    NanoBoost's was broken, 64 wrong usage."""
    parser = _parser()
    options, rest = parser.parse_known_args(list(arguments))
    globalLogBeginner.beginLoggingTo([], redirectStandardIO=False, discardBuffer=True)
    try:
        cluster = Cluster.load(options.cluster)
        job = load_job(options.graph, _params(rest), options.nas)
        questions = questions_of(options, cluster)
        check(job, cluster, [death for each in questions for death in each.deaths])
        _, guessed = timed(job, cluster)
    except UserError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return USAGE
    print(f"{job.graph}: {len(job.tasks)} tasks · {options.cluster}: {cluster}\n")
    if guessed:
        print(f"  guessed: 1 s for a task of {', '.join(guessed)}; say [seconds] in the cluster\n")
    seeds = range(max(1, options.seeds))
    ask(job, cluster, questions, seeds, options.jobs)
    print("\n".join(table(questions)))
    for line in advice(questions, cluster):
        print(f"  advice: {line}")
    if options.timeline:
        for question in questions:
            print(f"\n{question.text}\n{run(job, cluster, question.deaths, 0).timeline()}")
    print(f"\n{MODELLED}")
    problems = [row.problem for each in questions for row in each.rows if row.problem]
    if problems:
        print(f"\nA fault of NanoBoost's own: {problems[0]}")
        return INVARIANT
    return LIVENESS if any(each.failed for each in questions) else 0
