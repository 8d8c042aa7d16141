"""Placement: the slow machine idles when it should, and works when it should."""

import heapq

import pytest

from nanoboost.ids import Attempt, AttemptKey, JobId, NodeId, TaskId
from nanoboost.master.agents import Agents, Run
from nanoboost.master.dispatcher import Demand, Dispatcher, Placement
from nanoboost.master.estimates import Estimates
from nanoboost.master.taskqueue import TaskQueue, Waiting
from nanoboost.plan import PlanClass
from nanoboost.wire.messages import AgentHello
from tests.master.plans import nano, node

JOB = JobId("job")
PC, PI = node(1), node(2)


class Shop:
    """Agents, a queue and a dispatcher; all tasks take `work_s[task]` on the reference machine."""

    def __init__(self, work_s: list[float], speeds: dict[NodeId, tuple[int, float]]) -> None:
        self.work_s = work_s
        self.classes: list[PlanClass] = [nano()]
        self.agents, self.queue, self.estimates = Agents(), TaskQueue(), Estimates()
        self.dispatcher = Dispatcher(self.agents, self.queue, self.estimates)
        for each, (slots, speed) in speeds.items():
            self.agents.hello(0.0, each, AgentHello(1, slots, speed, (), (), (), "", False))
            self.estimates.meet(each, speed)
        self.queue.open(JOB, 0)
        for task, seconds in enumerate(work_s):
            self.push(task, seconds)

    def push(self, task: int, level: float, cls: int = 0) -> None:
        self.queue.push(Waiting(JOB, cls, TaskId(task), level))

    def place(self, now: float = 0.0) -> list[Placement]:
        placed = self.dispatcher.place(now, self.demand)
        for each in placed:
            key = AttemptKey(JOB, each.waiting.task, Attempt(1, 1))
            self.agents.begin(Run(key, each.node, now, now + each.seconds, each.cores))
        return placed

    def demand(self, waiting: Waiting) -> Demand:
        cls = self.classes[waiting.cls]
        return Demand(cls, ("Graph", cls.name), self.work_s[waiting.task], 0.0)

    def makespan(self) -> float:
        """Run everything in virtual time."""
        now, ends = 0.0, list[tuple[float, int]]()
        while True:
            for each in self.place(now):
                heapq.heappush(ends, (now + each.seconds, each.waiting.task))
            if not ends:
                return now
            now, task = heapq.heappop(ends)
            (run,) = self.agents.runs_of(JOB, TaskId(task))
            self.agents.end(run)


def where(placed: list[Placement]) -> list[tuple[int, NodeId]]:
    return [(int(each.waiting.task), each.node) for each in placed]


def test_a_slow_machine_idles_when_the_fast_one_will_be_sooner() -> None:
    shop = Shop([1.0, 1.0], {PI: (1, 0.1), PC: (1, 1.0)})
    assert where(shop.place()) == [(0, PC)]
    assert len(shop.queue) == 1
    assert shop.place(0.5) == []


def test_a_slow_machine_works_when_the_queue_is_long() -> None:
    shop = Shop([1.0] * 20, {PI: (1, 0.1), PC: (1, 1.0)})
    assert sorted(node for _, node in where(shop.place())) == [PC, PI]
    assert len(shop.queue) == 18


def test_the_end_is_not_held_up_by_a_slow_machine() -> None:
    """Never idle would give the last task to the Pi: 10 s more.  19 s of work, 1.1 machines."""
    shop = Shop([1.0] * 19, {PC: (1, 1.0), PI: (1, 0.1)})
    assert shop.makespan() <= 18.0
    assert Shop([1.0] * 5, {PC: (1, 1.0), PI: (1, 0.1)}).makespan() == pytest.approx(5.0)


def test_an_overdue_run_does_not_look_free_and_its_slot_is_waited_for_ever_less() -> None:
    shop = Shop([1.0, 1.0], {PI: (1, 0.5), PC: (1, 1.0)})
    shop.push(0, 1.0)
    shop.queue.discard(JOB, TaskId(1))
    assert where(shop.place()) == [(0, PC)]
    shop.push(1, 1.0)
    assert where(shop.place(30.0)) == [(1, PI)], "what is late by 30 s may be late by 3 s more"


def test_equal_machines_share() -> None:
    shop = Shop([1.0] * 4, {PC: (4, 1.0), PI: (4, 1.0)})
    assert sorted(node for _, node in where(shop.place())) == [PC, PC, PI, PI]


def test_a_class_that_only_a_busy_machine_can_run_does_not_starve_the_others() -> None:
    shop = Shop([1.0] * 100, {PC: (1, 1.0), PI: (1, 1.0)})
    shop.classes = [nano("Free"), nano("Picky", tools=("x",))]
    for task in range(100):
        shop.queue.discard(JOB, TaskId(task))
        shop.push(task, 100.0 - task, cls=1 if task < 99 else 0)
    shop.agents.avoid(0.0, PI, (JOB, 1), "needs x")
    assert where(shop.place()) == [(0, PC), (99, PI)]


def test_a_wide_task_waits_for_all_its_slots_and_is_not_overtaken_for_ever() -> None:
    shop = Shop([1.0, 1.0, 1.0, 1.0], {PC: (2, 1.0)})
    shop.classes = [nano("Narrow"), nano("Wide", cores=2)]
    for task in range(4):
        shop.queue.discard(JOB, TaskId(task))
    shop.push(0, 9.0)
    assert where(shop.place()) == [(0, PC)]
    shop.push(1, 8.0, cls=1)
    shop.push(2, 1.0)
    assert shop.place(0.5) == [], "the second slot is kept for the wide one"
    (run,) = shop.agents.runs_of(JOB, TaskId(0))
    shop.agents.end(run)
    assert where(shop.place(1.0)) == [(1, PC)]


def test_a_small_estimate_does_not_make_a_busy_slot_look_free() -> None:
    shop = Shop([0.0] * 10, {PC: (2, 1.0)})
    assert len(shop.place()) == 2
    assert shop.place() == []
