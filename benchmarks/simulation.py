"""How fast is the simulated world?  `python benchmarks/simulation.py` prints a table.

Whole nodes, as `compose` builds them: their rooms, Twisted's transports, CBOR, sealed datagrams.
Time is processor time of one core, the best of a few runs; a load is 5 nodes for 60 s.  Bars: 150
simulated node-seconds a second (goal 300), 30 seeds of 5 nodes x 60 s a minute (goal 60).  A loop
in bare Python is printed beside, for machines differ.
"""

import argparse
import time

from twisted.logger import globalLogBeginner

from simulations.kernel.world import SECOND
from simulations.monkey import SCENARIO as MONKEY
from simulations.stage.jobs import film
from simulations.stage.model import Model
from simulations.stage.scenario import Scenario, run

NODES, SPAN_S = 5, 60.0
MONKEYS = range(1, 6)
MODEL = Model(nodes=tuple(f"n{number}" for number in range(NODES)))
LOADS = (
    ("a job of 52 tasks of 10 s: all slots busy", film(50, 10.0)),
    ("a job of 402 tasks of 1 s: 8 ends a second", film(400, 1.0)),
)


def calibration() -> float:
    """Millions of turns of a loop a second."""
    began = time.process_time()
    number = 0
    for turn in range(2_000_000):
        number = (number + turn) & 0xFFFF
    return 2 / (time.process_time() - began)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Simulated node-seconds a second.")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each load (3)")
    rounds = parser.parse_args().rounds
    globalLogBeginner.beginLoggingTo([], redirectStandardIO=False, discardBuffer=True)
    print(f"{calibration():.0f} million turns of a bare loop a second\n")
    print(f"{'5 nodes, 60 s':<46} node-s/CPU-s  seeds/min/core  events/s")
    for name, job in LOADS:
        scenario = Scenario("benchmark", name, job, model=lambda draw: MODEL)
        line(name, [run(scenario, seed, until_s=SPAN_S) for seed in range(rounds)])
    results = [run(MONKEY, seed) for seed in MONKEYS]
    cpu_s = sum(each.cpu_s for each in results)
    node_s = sum(each.end / SECOND * len(each.stage.lab.model.nodes) for each in results)
    print(f"\n{'monkey, as it is (3 or 5 nodes, ~22 s)':<46}", end="")
    print(f"{node_s / cpu_s:>12.0f}  {len(results) * 60 / cpu_s:>14.0f}")


def line(name: str, results: list) -> None:  # type: ignore[type-arg]
    """The best of some runs of a load."""
    best = min(results, key=lambda each: each.cpu_s / each.end)
    node_s = best.end / SECOND * NODES
    whole = best.cpu_s * SPAN_S * SECOND / best.end  # a run that ended early, as if it had not
    events = best.stage.lab.world.events / best.cpu_s
    print(f"  {name:<44}{node_s / best.cpu_s:>12.0f}  {60 / whole:>14.0f}  {events:>8,.0f}")


if __name__ == "__main__":
    main()
