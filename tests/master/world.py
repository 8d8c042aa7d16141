"""A small world in virtual time for the master's core: agents, a log, a NAS, coming and going.

Nothing here is clever: a heap of moments, messages that are late or lost, processes that die.
**What must always hold is checked where it happens.**
"""

import heapq
import itertools
from collections.abc import Callable
from random import Random
from typing import Any

from attrs import define, field

from nanoboost.config import MasterTiming
from nanoboost.consensus.registry import Registry
from nanoboost.core import Woke
from nanoboost.frontier import Frontier
from nanoboost.ids import AttemptKey, JobId, NodeId
from nanoboost.master.events import (
    Answer,
    Asked,
    Chore,
    ChoreDone,
    ChoreFailed,
    CleanJob,
    DoneReceived,
    FrontierRead,
    HelloReceived,
    Journal,
    MastershipChanged,
    MemberLost,
    MemberRefused,
    MemberUp,
    PlanRead,
    ProposalRefused,
    Propose,
    PublishResults,
    ReadFrontier,
    ReadPlan,
    RecordCommitted,
    Send,
)
from nanoboost.master.pipeline import Pipeline
from nanoboost.plan import Plan
from nanoboost.wire.messages import (
    Acknowledge,
    AgentHello,
    CancelAttempt,
    Execute,
    JobState,
    MasterHere,
    Outcome,
    Parent,
    Submit,
    TaskDone,
)
from nanoboost.wire.records import FrontierSet

TIMING = MasterTiming(flush_interval_s=0.02, hello_grace_s=1.0, hello_repeat_s=0.25)
REPEAT_S = 1.0


@define(eq=False)
class FakeAgent:
    """What `agent/runner.py` promises, in a few lines.  `life` grows with each restart."""

    node: NodeId
    slots: int
    speed: float
    alive: bool = True
    life: int = 0
    term: int = 0
    running: dict[AttemptKey, float] = field(factory=dict)
    held: dict[AttemptKey, TaskDone] = field(factory=dict)

    def hello(self) -> AgentHello:
        return AgentHello(
            self.term, self.slots, self.speed, (), tuple(self.running), tuple(self.held), "", False
        )


class World:
    """Runs one pipeline at a time; `work_s(key)` is what an attempt takes at speed 1,
    `outcome(key)` how it ends."""

    def __init__(self, seed: int, *, loss: float = 0.0) -> None:
        self.rng = Random(seed)
        self.loss = loss
        self.now = 0.0
        self.registry = Registry()
        self.plans: dict[str, Plan] = {}
        self.agents: dict[NodeId, FakeAgent] = {}
        self.answers: list[tuple[int, Any]] = []
        self.journal: list[tuple[str, dict[str, Any]]] = []
        self.executed: dict[AttemptKey, tuple[Parent, ...]] = {}
        """Every attempt that was ever sent, and what it was to read."""
        self.published: list[Any] = []
        self.cleaned: list[JobId] = []
        self.nas_fails = 0.0
        self.commit_s = 0.005
        self.term = 0
        self.master: Pipeline | None = None
        self.me = NodeId("")
        self.work_s: Callable[[AttemptKey], float] = lambda key: 1.0
        self.outcome: Callable[[AttemptKey], Outcome] = lambda key: Outcome.DONE
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._ties = itertools.count()
        self._wake: float | None = None
        self._log: list[tuple[int, Any]] = []

    # --- time ------------------------------------------------------------------------------------

    def later(self, delay_s: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (self.now + delay_s, next(self._ties), do))

    def run(self, until: Callable[[], bool], limit_s: float) -> None:
        end = self.now + limit_s
        while not until():
            assert self.now < end, "it takes too long"
            assert self._heap, "nothing will ever happen"
            self.now, _, do = heapq.heappop(self._heap)
            do()

    def latency(self) -> float:
        return self.rng.uniform(0.001, 0.03)

    # --- the master ------------------------------------------------------------------------------

    def elect(self, node: NodeId) -> None:
        """A new term; what the old master had in flight is committed or lost."""
        for term, record in self._log:
            if self.rng.random() < 0.5:
                break  # this one and those behind it were never replicated
            self._apply(term, record)
        self._log = []
        self.term += 1
        self.me = node
        self.master = Pipeline(node, TIMING)
        for agent in self.agents.values():
            if agent.alive:
                self.feed(MemberUp(agent.node, f"name-{agent.node}"))
        self.feed(MastershipChanged(self.term, True))

    def feed(self, event: Any) -> None:
        if self.master is None:
            return
        pending = [event]
        while pending:
            for effect in self.master.step(self.now, pending.pop(0)):
                pending += self._perform(effect)
        self._arm()

    def _arm(self) -> None:
        assert self.master is not None
        deadline, master = self.master.deadline(), self.master
        if deadline is None or deadline == self._wake:
            return
        self._wake = deadline

        def wake() -> None:
            if self.master is master and self._wake == deadline:
                self._wake = None
                self.feed(Woke())

        self.later(max(0.0, deadline - self.now), wake)

    def _perform(self, effect: Any) -> list[Any]:
        master, term = self.master, self.term

        def answer(event: Any, delay_s: float) -> None:
            self.later(delay_s, lambda: self.feed(event) if self.master is master else None)

        match effect:
            case Send(node, message):
                self._send(node, message)
            case ReadFrontier(asked):
                answer(FrontierRead(asked, self.registry.entries()), 0.01)
            case Propose(asked, record):
                if self.rng.random() < self.loss:
                    return [ProposalRefused(asked, record)]
                self._log.append((term, record))
                self.later(self.commit_s, lambda: self._commit(term))
            case ReadPlan(job, digest):
                if self.rng.random() < self.nas_fails or digest not in self.plans:
                    answer(ChoreFailed(job, Chore.PLAN, "the NAS is away"), 0.05)
                else:
                    answer(PlanRead(job, digest, self.plans[digest]), 0.05)
            case PublishResults(job, results):
                if self.rng.random() < self.nas_fails:
                    answer(ChoreFailed(job, Chore.PUBLISH, "the NAS is away"), 0.05)
                else:
                    self.published.append(results)
                    answer(ChoreDone(job, Chore.PUBLISH), 0.05)
            case CleanJob(job):
                running = [key for each in self.agents.values() for key in each.running]
                if not self.loss:
                    assert not any(key.job == job for key in running)
                self.cleaned.append(job)
                answer(ChoreDone(job, Chore.CLEAN), 0.05)
            case Answer(ticket, message):
                self.answers.append((ticket, message))
            case Journal(event, facts):
                self.journal.append((event, dict(facts)))
        return []

    def _commit(self, term: int) -> None:
        if self._log and self._log[0][0] == term == self.term:
            _, record = self._log.pop(0)
            self._apply(term, record)
            self.feed(RecordCommitted(term, record))

    def _apply(self, term: int, record: Any) -> None:
        if isinstance(record, FrontierSet):
            mine = self.frontier(record.job)
            newer = Frontier.decode(record.frontier, mine.tasks)
            for task in mine.done():
                if newer.is_done(task):
                    assert newer.winner(task) == mine.winner(task), "a winner never changes"
        self.registry.apply(record)

    def frontier(self, job: JobId) -> Frontier:
        (entry,) = (each for each in self.registry.entries() if each.submitted.job == job)
        return Frontier.decode(entry.frontier, entry.submitted.tasks)

    def state(self, job: JobId) -> JobState | None:
        for entry in self.registry.entries():
            if entry.submitted.job == job:
                return entry.state
        return None

    def submit(self, job: JobId, plan: Plan, digest: str, priority: int = 0) -> None:
        self.plans[digest] = plan
        self.feed(Asked(1, Submit(1, job, "Graph", digest, "c" * 64, priority)))

    # --- the agents ------------------------------------------------------------------------------

    def add(self, node: NodeId, slots: int, speed: float) -> FakeAgent:
        agent = self.agents[node] = FakeAgent(node, slots, speed)
        self._repeat(agent, 0)
        self.feed(MemberUp(node, f"name-{node}"))
        return agent

    def crash(self, node: NodeId, *, refused: bool) -> None:
        agent = self.agents[node]
        agent.alive = False
        agent.life += 1
        agent.term = 0
        agent.running.clear()
        agent.held.clear()
        if refused:
            self.later(0.1, lambda: self.feed(MemberRefused(node)))
        self.later(2.0, lambda: None if agent.alive else self.feed(MemberLost(node)))

    def restart(self, node: NodeId, *, noticed: bool) -> None:
        agent = self.agents[node]
        agent.alive = True
        self._repeat(agent, agent.life)
        if noticed:
            self.feed(MemberUp(node, f"name-{node}"))

    def _send(self, node: NodeId, message: Any) -> None:
        if isinstance(message, Execute):
            key = message.key
            assert key not in self.executed, "an attempt is never used twice"
            self.executed[key] = message.parents
            assert not self.frontier(key.job).is_done(key.task), "finished work is not repeated"
        if self.rng.random() >= self.loss:
            life = self.agents[node].life
            self.later(self.latency(), lambda: self._deliver(node, life, message))

    def _deliver(self, node: NodeId, life: int, message: Any) -> None:
        agent = self.agents[node]
        if not agent.alive or agent.life != life:
            return
        if isinstance(message, Acknowledge):
            for key in message.keys:
                agent.held.pop(key, None)
        elif message.term < agent.term:
            return
        elif isinstance(message, MasterHere):
            agent.term = message.term
            self._say(agent, agent.hello())
            for done in agent.held.values():
                self._say(agent, done)
        elif isinstance(message, CancelAttempt):
            if agent.running.pop(message.key, None) is not None:
                self._end(agent, TaskDone(message.key, Outcome.CANCELLED, (), 0.1, 0.1))
        elif isinstance(message, Execute):
            agent.term = message.term
            agent.running[message.key] = self.now
            if not self.loss:
                assert len(agent.running) <= agent.slots
            seconds = self.work_s(message.key) / agent.speed
            self.later(seconds, lambda: self._finish(agent, message, life))

    def _finish(self, agent: FakeAgent, execute: Execute, life: int) -> None:
        began = agent.running.get(execute.key)
        if not agent.alive or agent.life != life or began is None:
            return
        del agent.running[execute.key]
        took = self.now - began
        outcome = self.outcome(execute.key)
        self._end(agent, TaskDone(execute.key, outcome, execute.parents, took, took, "oh", "log"))

    def _end(self, agent: FakeAgent, done: TaskDone) -> None:
        agent.held[done.key] = done
        self._say(agent, done)

    def _repeat(self, agent: FakeAgent, life: int) -> None:
        if agent.alive and agent.life == life:
            for done in agent.held.values():
                self._say(agent, done)
            self.later(REPEAT_S, lambda: self._repeat(agent, life))

    def _say(self, agent: FakeAgent, message: Any) -> None:
        if self.rng.random() < self.loss:
            return
        event = (
            HelloReceived(agent.node, message)
            if isinstance(message, AgentHello)
            else DoneReceived(agent.node, message)
        )
        master = self.master
        self.later(self.latency(), lambda: self.feed(event) if self.master is master else None)
