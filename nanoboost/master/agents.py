"""The agents as the master sees them: what each is, and which attempts occupy it.

**An attempt occupies its slots from the moment it is sent until its end is known**: a TaskDone, a
hello that no longer names it, or the loss of its node.  All of it is soft: a new master learns it
from the agents' hellos.
"""

from collections.abc import Iterator

from attrs import define, field, frozen

from nanoboost.ids import AttemptKey, JobId, NodeId, TaskId
from nanoboost.plan import PlanClass
from nanoboost.wire.messages import AgentHello

Pool = tuple[JobId, int]
STRIKES_MAX = 4
ASIDE_S = 30.0
"""A node on which so many tasks have crashed, and none was done, gets no work for so long."""
AVOID_S_MIN, AVOID_S_MAX = 2.0, 60.0
"""How long tasks of a class are not sent to a node that said that it cannot run them: twice as long
each time it says so again.  What it lacks may be a tool that is not installed, or the NAS for a
moment."""


@frozen
class Unfit:
    """A node must get no tasks of a class before `until`, because of what it `said`."""

    until: float
    gap_s: float
    said: str


@define(eq=False)
class Run:
    """An attempt that an agent runs, or whose result it still holds."""

    key: AttemptKey
    node: NodeId
    since: float
    ends: float
    """When it is expected to end."""
    cores: int = 1
    charged_s: float = 0.0
    is_held: bool = False
    """It has ended, and its TaskDone is on the way: it occupies no slot."""
    is_cancelled: bool = False
    """Nobody wants it any more, but it may still occupy its slots."""


@define(eq=False)
class Agent:
    """One agent that has said hello in this term."""

    node: NodeId
    slots: int = 0
    labels: tuple[str, ...] = ()
    fit: str = ""
    is_draining: bool = False
    heard_at: float = 0.0
    strikes: dict[tuple[JobId, TaskId], None] = field(factory=dict)
    """The tasks that have crashed there since one was done."""
    aside_until: float = 0.0
    runs: dict[AttemptKey, Run] = field(factory=dict)
    busy: int = 0
    """How many slots are taken."""
    unfit: dict[Pool, Unfit] = field(factory=dict)

    def takes_work(self, now: float) -> bool:
        """Whether it may get anything at all."""
        return bool(
            self.slots and not self.fit and not self.is_draining and self.aside_until <= now
        )

    def refusal(self, pool: Pool, cls: PlanClass, now: float) -> str:
        """Why it cannot run tasks of the class now; "" if it can."""
        if self.fit:
            return self.fit
        if self.is_draining:
            return "is leaving"
        if not set(cls.labels) <= set(self.labels):
            return f"lacks the label {', '.join(sorted(set(cls.labels) - set(self.labels)))}"
        if self.slots < max(1, cls.cores):
            return f"has {self.slots} of {max(1, cls.cores)} slots"
        if self.aside_until > now:
            return "is set aside because everything crashes there"
        unfit = self.unfit.get(pool)
        return unfit.said if unfit is not None and unfit.until > now else ""


class Agents:
    """All agents, by node and by what they run."""

    def __init__(self) -> None:
        self.by_node: dict[NodeId, Agent] = {}
        self._runs_by_task: dict[tuple[JobId, TaskId], list[Run]] = {}
        self._runs_by_job: dict[JobId, int] = {}

    # --- reading ---------------------------------------------------------------------------------

    def find(self, key: AttemptKey) -> Run | None:
        """The run of this attempt, if one is known."""
        for run in self._runs_by_task.get((key.job, key.task), ()):
            if run.key == key:
                return run
        return None

    def runs_of(self, job: JobId, task: TaskId) -> tuple[Run, ...]:
        """All runs of the task."""
        return tuple(self._runs_by_task.get((job, task), ()))

    def is_wanted(self, job: JobId, task: TaskId) -> bool:
        """Whether some run of the task is still wanted, so that no other is needed."""
        runs = self._runs_by_task.get((job, task), ())
        return any(not run.is_cancelled for run in runs)

    def runs(self, job: JobId) -> Iterator[Run]:
        """All runs of the job, agent by agent."""
        if self._runs_by_job.get(job):
            for agent in self.by_node.values():
                yield from [run for run in agent.runs.values() if run.key.job == job]

    def occupies(self, job: JobId) -> bool:
        """Whether any attempt of the job may still be running."""
        return bool(self._runs_by_job.get(job))

    # --- changing --------------------------------------------------------------------------------

    def hello(self, now: float, node: NodeId, hello: AgentHello) -> Agent:
        """The agent says what it is."""
        agent = self.by_node.setdefault(node, Agent(node))
        if agent.fit != hello.fit:  # what it could not because of that, it perhaps can now
            said = agent.fit
            agent.unfit = {pool: each for pool, each in agent.unfit.items() if each.said != said}
        agent.slots, agent.labels = hello.slots, hello.labels
        agent.fit, agent.is_draining = hello.fit, hello.draining
        agent.heard_at = now
        return agent

    def begin(self, run: Run) -> None:
        """The agent of the run is (about to be) occupied by it."""
        assert self.find(run.key) is None
        agent = self.by_node[run.node]
        agent.runs[run.key] = run
        agent.busy += 0 if run.is_held else run.cores
        task = (run.key.job, run.key.task)
        self._runs_by_task.setdefault(task, []).append(run)
        self._runs_by_job[run.key.job] = self._runs_by_job.get(run.key.job, 0) + 1

    def hold(self, run: Run) -> None:
        """The run has ended, though its TaskDone has not come (or cannot be judged) yet."""
        if not run.is_held:
            run.is_held = True
            self.by_node[run.node].busy -= run.cores

    def resize(self, run: Run, cores: int) -> None:
        """The plan has been read: this is what the run really occupies."""
        if not run.is_held:
            self.by_node[run.node].busy += cores - run.cores
        run.cores = cores

    def end(self, run: Run) -> None:
        """The run is over: its slots are free."""
        self.hold(run)
        del self.by_node[run.node].runs[run.key]
        task = (run.key.job, run.key.task)
        self._runs_by_task[task].remove(run)
        if not self._runs_by_task[task]:
            del self._runs_by_task[task]
        self._runs_by_job[run.key.job] -= 1
        if not self._runs_by_job[run.key.job]:
            del self._runs_by_job[run.key.job]

    def lose(self, node: NodeId) -> list[Run]:
        """The agent is gone; return what it ran."""
        agent = self.by_node.get(node)
        if agent is None:
            return []
        lost = list(agent.runs.values())
        for run in lost:
            self.end(run)
        del self.by_node[node]
        return lost

    def crashed(self, now: float, node: NodeId, key: AttemptKey) -> None:
        """An attempt has crashed there.  Many tasks in a row: it is the node, not the tasks; but
        somebody must go on working."""
        agent = self.by_node.get(node)
        if agent is None:
            return
        agent.strikes[key.job, key.task] = None
        others = [each for each in self.by_node.values() if each is not agent]
        if len(agent.strikes) >= STRIKES_MAX and any(each.takes_work(now) for each in others):
            agent.strikes.clear()
            agent.aside_until = now + ASIDE_S

    def succeeded(self, node: NodeId, pool: Pool) -> None:
        """An attempt of the class has succeeded there."""
        agent = self.by_node.get(node)
        if agent is not None:
            agent.strikes.clear()
            agent.unfit.pop(pool, None)

    def avoid(self, now: float, node: NodeId, pool: Pool, said: str) -> None:
        """The agent says that it cannot run tasks of the class."""
        agent = self.by_node.get(node)
        if agent is None:
            return
        remembered = [each for each in agent.unfit.items() if now - each[1].until < AVOID_S_MAX]
        agent.unfit = dict(remembered)  # and not what jobs that have ended long ago wanted
        gap_s = AVOID_S_MIN
        if (last := agent.unfit.get(pool)) is not None:  # several may say so at the same time
            gap_s = last.gap_s if last.until > now else min(AVOID_S_MAX, 2 * last.gap_s)
        agent.unfit[pool] = Unfit(now + gap_s, gap_s, said or "is not fit for it")

    def next_change(self, now: float) -> float | None:
        """When an agent that gets no work, or none of some class, may get some again."""
        moments = []
        for agent in self.by_node.values():
            moments += [agent.aside_until, *(unfit.until for unfit in agent.unfit.values())]
        return min((moment for moment in moments if moment > now), default=None)
