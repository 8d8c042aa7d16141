"""What does the frontier of a million tasks cost?  `python benchmarks/frontier.py` prints a table.

`encode` is what a master pays for each SetFrontier of a whole job; `merge` (decode included) is
what every node pays when it is committed, into a frontier with every fourth of those tasks missing.
Shapes: *in order* is a finished prefix with a few tasks under way; in *two terms* a second master
went on from there, and one task in a thousand was tried twice; *wide* has 64 workers far apart;
*half at random* is the worst order there is, and *by two* adds that each of two attempts won half.
"""

import argparse
import time
from collections.abc import Callable, Iterable
from random import Random

from nanoboost.frontier import Frontier
from nanoboost.ids import Attempt, TaskId

ROUNDS = 5
FIRST = Attempt(3, 1)
Done = Iterable[tuple[int, Attempt]]


def frontier(tasks: int, done: Done) -> Frontier:
    """A frontier with these tasks done."""
    made = Frontier.empty(tasks)
    for task, attempt in done:
        made.finish(TaskId(task), attempt)
    return made


def shapes(tasks: int) -> dict[str, Done]:
    """Which tasks are done and who won each, by the name of the shape."""
    rng = Random(1)
    half = tasks // 2
    under_way = {rng.randrange(half, half + 200) for _ in range(64)}
    share = tasks // 64 + 1
    ends = [rng.randrange(share) for _ in range(64)]
    in_order = [task for task in range(half + 200) if task not in under_way]
    return {
        "in order": ((task, FIRST) for task in in_order),
        "two terms": (
            (task, Attempt(3 if task < half // 2 else 4, 1 + (task % 1000 == 0)))
            for task in in_order
        ),
        "wide": ((task, FIRST) for task in range(tasks) if task % share < ends[task // share]),
        "half at random": ((task, FIRST) for task in range(tasks) if rng.random() < 0.5),
        "by two": (
            (task, Attempt(rng.choice((3, 4)), 1)) for task in range(tasks) if rng.random() < 0.5
        ),
        "all": ((task, FIRST) for task in range(tasks)),
    }


def cost_ms(action: Callable[[], object]) -> float:
    """The least processor time of one call, in milliseconds."""
    best = float("inf")
    for _ in range(ROUNDS):
        before = time.process_time()
        action()
        best = min(best, time.process_time() - before)
    return best * 1e3


def _winners(made: Frontier) -> Done:
    for task in made.done():
        winner = made.winner(task)
        if winner is not None and task % 4:
            yield task, winner


def merge_ms(made: Frontier, data: bytes) -> float:
    """The cost of a merge into a frontier that has three of four tasks already."""
    known = frontier(made.tasks, _winners(made))
    copies = [known.copy() for _ in range(ROUNDS)]
    return cost_ms(lambda: copies.pop().merge(Frontier.decode(data, made.tasks)))


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
        merge = merge_ms(made, data)
        print(f"{name:15} {len(data):7d}   {encode:9.1f}   {merge:8.1f}")


if __name__ == "__main__":
    main()
