"""What does the frontier of a million tasks cost?  `python benchmarks/frontier.py` prints a table.

`encode` is what a master pays for each SetFrontier of a whole job; `merge` (decode included) is
what every node pays when it is committed.  Shapes: *in order* is a finished prefix with a few tasks
under way; *wide* has 64 workers far apart; *half at random* is the worst there is.
"""

import argparse
import time
from collections.abc import Callable, Iterable
from functools import partial
from random import Random

from nanoboost.frontier import Frontier
from nanoboost.ids import Attempt, TaskId

ROUNDS = 5
FIRST = Attempt(3, 1)


def frontier(tasks: int, done: Iterable[int]) -> Frontier:
    """A frontier with these tasks done, each at its first attempt."""
    made = Frontier.empty(tasks)
    for task in done:
        made.finish(TaskId(task), FIRST)
    return made


def shapes(tasks: int) -> dict[str, Iterable[int]]:
    """Which tasks are done, by the name of the shape."""
    rng = Random(1)
    half = tasks // 2
    under_way = {rng.randrange(half, half + 200) for _ in range(64)}
    share = tasks // 64 + 1
    ends = [rng.randrange(share) for _ in range(64)]
    return {
        "in order": (task for task in range(half + 200) if task not in under_way),
        "wide": (task for task in range(tasks) if task % share < ends[task // share]),
        "half at random": (task for task in range(tasks) if rng.random() < 0.5),
        "all": range(tasks),
    }


def cost_ms(action: Callable[[], object]) -> float:
    """The least processor time of one call, in milliseconds."""
    best = float("inf")
    for _ in range(ROUNDS):
        before = time.process_time()
        action()
        best = min(best, time.process_time() - before)
    return best * 1e3


def _merge(known: Frontier, data: bytes, tasks: int) -> None:
    known.merge(Frontier.decode(data, tasks))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tasks", type=int, default=1_000_000)
    tasks = parser.parse_args().tasks
    print("shape             bytes   encode ms   merge ms")
    for name, done in shapes(tasks).items():
        made = frontier(tasks, done)
        data = made.encode()
        encode = cost_ms(made.encode)
        merge = cost_ms(partial(_merge, frontier(tasks, ()), data, tasks))
        print(f"{name:15} {len(data):7d}   {encode:9.1f}   {merge:8.1f}")


if __name__ == "__main__":
    main()
