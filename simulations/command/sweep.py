"""Many seeds of one scenario, over a few processes; and the same seeds once more in another one.

**A run is a function of its seed, or the sweep says where two runs part**: a share of the seeds is
played again in a second process, under another `PYTHONHASHSEED`, and the traces are compared.
"""

import itertools
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from attrs import field, frozen

from simulations.faults import Plan
from simulations.kernel.world import SECOND, Zeno
from simulations.stage.scenario import LIMIT_S, Result, Scenario, run
from simulations.usage import INVARIANT

RECHECKED = 50
"""One seed of so many is played again in a second process: 2 %."""
HASH_SEEDS = ("0", "1", "2", "3")


@frozen
class Verdict:
    """How one run ended, in plain values that cross a process border."""

    seed: int
    status: int
    code: str
    """What is broken: `F2`; "" if nothing is."""
    text: str
    at_ns: int
    """When the run ended: at the violation, if there was one."""
    trace: str
    nodes: int
    cpu_s: float
    happened: dict[str, bool] = field(factory=dict)
    recovered_ns: dict[str, int] = field(factory=dict)

    @property
    def node_s(self) -> float:
        """Simulated seconds, all nodes added."""
        return self.nodes * self.at_ns / SECOND


def verdict_of(result: Result) -> Verdict:
    """The verdict of a run that came to its end."""
    stage = result.stage
    violation = stage.judge.violation
    if violation is not None:
        code, text = violation.code, str(violation)
    elif stage.complaints:
        code, text = stage.complaints[0].split()[0], "; ".join(stage.complaints)
    else:
        code = text = ""
    return Verdict(
        result.seed,
        result.status,
        code,
        text,
        result.end,
        result.trace,
        len(stage.lab.model.nodes),
        result.cpu_s,
        stage.happened,
        stage.recovered_ns,
    )


def judged(
    scenario: Scenario, seed: int, plan: Plan | None = None, *, until_s: float = LIMIT_S
) -> Verdict:
    """Play one seed.  A run that breaks off is a finding too: time stands still (S2), or something
    was asked of the real world (S1)."""
    try:
        return verdict_of(run(scenario, seed, plan, until_s=until_s))
    except Exception as error:
        code = "S2" if isinstance(error, Zeno) else "S1"
        text = f"{code} the run broke off: {type(error).__name__}: {error}"
        return Verdict(seed, INVARIANT, code, text, 0, "", 0, 0.0)


# --- over a few processes ------------------------------------------------------------------------

_task: "tuple[Scenario, float] | None" = None
"""For the worker processes, which are forked and so need not be told: what they play."""


def _worker(seed: int) -> Verdict:
    assert _task is not None, "set before the fork"
    scenario, until_s = _task
    return judged(scenario, seed, until_s=until_s)


def sweep(
    scenario: Scenario, seeds: Sequence[int], jobs: int = 1, *, until_s: float = LIMIT_S
) -> Iterator[Verdict]:
    """Play all `seeds`, `jobs` at a time; the verdicts come in the order of the seeds."""
    global _task
    if jobs <= 1:
        for seed in seeds:
            yield judged(scenario, seed, until_s=until_s)
        return
    _task = (scenario, until_s)
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("fork")) as pool:
        yield from pool.map(_worker, seeds, chunksize=4)


# --- the second process --------------------------------------------------------------------------


def another_hash_seed() -> str:
    """A value of `PYTHONHASHSEED` that is not this process's."""
    mine = os.environ.get("PYTHONHASHSEED", "")
    return next(each for each in HASH_SEEDS if each != mine)


def traces_elsewhere(
    command: Sequence[str], seeds: Iterable[int], hash_seed: str = ""
) -> dict[int, str]:
    """The traces of some seeds, played by `python -m COMMAND` in a second process."""
    listed = ",".join(map(str, seeds))
    told = _python([*command, "--hashes", listed], hash_seed or another_hash_seed())
    return {int(seed): trace for seed, trace in (line.split() for line in told.splitlines())}


def _python(arguments: Sequence[str], hash_seed: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout


def recheck(
    verdicts: Sequence[Verdict], command: Sequence[str], count: int
) -> tuple[list[int], list[int]]:
    """Play `count` of the seeds again elsewhere; returns which, and which of them differ."""
    whole = [each for each in verdicts if each.trace]
    step = max(1, len(whole) // max(1, count))
    again = whole[::step][:count]
    if not again:
        return [], []
    elsewhere = traces_elsewhere(command, (each.seed for each in again))
    differ = [each.seed for each in again if elsewhere.get(each.seed) != each.trace]
    return [each.seed for each in again], differ


def parting(command: Sequence[str], seed: int) -> str:
    """Where the run of a seed parts from itself, told of two processes with other hash seeds."""
    with tempfile.TemporaryDirectory() as directory:
        files = [Path(directory, hash_seed) for hash_seed in HASH_SEEDS]
        for file in files:
            _python([*command, "--seed", str(seed), "--trace", str(file), "--quiet"], file.name)
            if file is not files[0] and (told := _first_difference(files[0], file)):
                return told
    return "these four hash seeds give one trace: the difference must come from elsewhere"


def _first_difference(one: Path, other: Path) -> str:
    with one.open() as left, other.open() as right:
        return first_difference(left, right, f"PYTHONHASHSEED={one.name}", other.name)


def first_difference(
    left: Iterable[str], right: Iterable[str], one: str = "once", other: str = "again"
) -> str:
    """Where two traces part, with the last event that they share; "" if they do not."""
    last = "the beginning"
    for number, (here, there) in enumerate(itertools.zip_longest(left, right, fillvalue="(end)")):
        if here != there:
            return (
                f"line {number} of the trace, after: {last}\n"
                f"    {one:<18} {here.rstrip()[:300]}\n    {other:<18} {there.rstrip()[:300]}"
            )
        if here[:1].isdigit():
            when, _, what = here.rstrip().partition(" ")
            last = f"{int(when) / SECOND:.6f} s, event {what}"
    return ""
