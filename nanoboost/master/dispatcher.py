"""Which task goes to which agent now: late binding, earliest finish first.

**A task is bound only when slots are really free for it, and stays in the queue when a slot that is
still busy would finish it sooner**: a slow machine idles rather than hold up the end.  Each task
that stays is booked in thought, so that those behind it see the queue at the fast machine grow
until the slow one is worth it.
"""

from bisect import insort
from collections.abc import Callable

from attrs import define, frozen

from nanoboost.ids import NodeId
from nanoboost.master.agents import Agent, Agents, Pool
from nanoboost.master.estimates import ClassKey, Estimates
from nanoboost.master.taskqueue import TaskQueue, Waiting
from nanoboost.plan import PlanClass

LOOKS = 6
"""So many tasks are looked at for each slot before the rest of the queue is left for later."""
OVERDUE = 0.1
"""A run that takes longer than expected is expected to take this part of its time so far more."""
SOON_S = 0.001


@frozen
class Demand:
    """What a waiting task asks of a machine."""

    cls: PlanClass
    key: ClassKey
    work_s: float
    wait_s: float
    is_risky: bool = False
    """It has failed before: better not where the master is, which it might take along."""
    failed_on: frozenset[NodeId] = frozenset()
    """Where it has, as far as this master knows: better not there again, it may be the machine."""


@frozen
class Placement:
    """The task goes to the agent, where it is expected to take `seconds`."""

    waiting: Waiting
    node: NodeId
    cores: int
    work_s: float
    seconds: float


@define(eq=False)
class _Bench:
    """An agent's slots in thought: how many are free now, and when each will be."""

    agent: Agent
    free: int
    times: list[float]
    """Ascending."""

    def book(self, cores: int, until: float) -> None:
        del self.times[:cores]
        for _ in range(cores):
            insort(self.times, until)


class Dispatcher:
    """Places waiting tasks; keeps nothing between two calls.  `home` is the master's own node."""

    def __init__(
        self, agents: Agents, queue: TaskQueue, estimates: Estimates, home: NodeId | None = None
    ) -> None:
        self._home = home
        self._agents = agents
        self._queue = queue
        self._estimates = estimates

    def place(self, now: float, demand: Callable[[Waiting], Demand]) -> list[Placement]:
        """Take from the queue what should start now, and say where."""
        benches = [
            self._bench(now, agent)
            for agent in self._agents.by_node.values()
            if agent.takes_work(now)
        ]
        placed: list[Placement] = []
        left: list[tuple[Waiting, float]] = []
        fit: dict[Pool, list[tuple[_Bench, float]]] = {}
        looks: dict[Pool, int] = {}
        blocked: dict[Pool, None] = {}
        budget = LOOKS * sum(len(bench.times) for bench in benches)
        while budget > 0 and any(bench.free > 0 for bench in benches):
            waiting = self._queue.pop(blocked)
            if waiting is None:
                break
            wanted = demand(waiting)
            pool = (waiting.job, waiting.cls)
            if pool not in fit:
                fit[pool] = self._fit(now, pool, wanted, benches)
                looks[pool] = LOOKS * sum(len(bench.times) for bench, _ in fit[pool])
            if looks[pool] <= 0:
                blocked[pool] = None
                left.append((waiting, 0.0))
                continue
            best, seconds, starts_now = self._earliest(now, wanted, self._wary(wanted, fit[pool]))
            self._queue.charge(waiting.job, wanted.work_s)
            if starts_now:
                cores = max(1, wanted.cls.cores)
                best.free -= cores
                placed.append(Placement(waiting, best.agent.node, cores, wanted.work_s, seconds))
            else:
                looks[pool] -= 1
                budget -= 1
                left.append((waiting, wanted.work_s))
        for waiting, charged in left:
            self._queue.push(waiting)
            self._queue.charge(waiting.job, -charged)
        return placed

    def refusals(self, now: float, pool: Pool, cls: PlanClass) -> list[tuple[NodeId, str]]:
        """If no agent can run tasks of the class: what each lacks.  Nodes without slots are left
        out: nobody expects anything of them."""
        found = []
        for agent in self._agents.by_node.values():
            if agent.slots:
                refusal = agent.refusal(pool, cls, now)
                if not refusal:
                    return []
                found.append((agent.node, refusal))
        return found

    def _bench(self, now: float, agent: Agent) -> _Bench:
        """Free slots are free now; a busy one never looks free, however small the estimate."""
        times = []
        for run in agent.runs.values():
            if not run.is_held:
                end = max(run.ends, now + OVERDUE * (now - run.since), now + SOON_S)
                times += [end] * run.cores
        times.sort()
        free = max(0, agent.slots - agent.busy)
        return _Bench(agent, free, ([now] * free + times)[: agent.slots])

    def _fit(
        self, now: float, pool: Pool, wanted: Demand, benches: list[_Bench]
    ) -> list[tuple[_Bench, float]]:
        """Who can run tasks like this one, and how much longer than the reference machine it takes
        for that."""
        cores = max(1, wanted.cls.cores)
        return [
            (bench, self._estimates.factor(wanted.key, bench.agent.node))
            for bench in benches
            if len(bench.times) >= cores and not bench.agent.refusal(pool, wanted.cls, now)
        ]

    def _wary(self, wanted: Demand, fit: list[tuple[_Bench, float]]) -> list[tuple[_Bench, float]]:
        """Of those who can run the task, whom it may be given, now that it may have failed."""
        if not wanted.is_risky:
            return fit
        fit = [each for each in fit if each[0].agent.node not in wanted.failed_on] or fit
        return [each for each in fit if each[0].agent.node != self._home] or fit

    def _earliest(
        self, now: float, wanted: Demand, fit: list[tuple[_Bench, float]]
    ) -> tuple[_Bench, float, bool]:
        """Where the task ends first; of equals where most slots are free.  The booking is made."""
        place = max(1, wanted.cls.cores) - 1
        work_s = wanted.work_s
        chosen, factor = fit[0]
        ends = chosen.times[place] + work_s * factor
        for bench, each in fit:
            found = bench.times[place] + work_s * each
            if found < ends or (found == ends and bench.free > chosen.free):
                chosen, factor, ends = bench, each, found
        seconds = wanted.wait_s + work_s * factor
        starts_now = chosen.free > place and chosen.times[place] <= now
        chosen.book(place + 1, max(ends + wanted.wait_s, now + SOON_S))
        return chosen, seconds, starts_now
