"""Who works for this master, and what each of them runs: hellos, losses, and asking again.

**A run that an agent names is believed, a run that it does not name any more is lost**, once the
hello is later than the Execute could be late.  A lost run goes to the front of the queue at once,
and its result still counts if it comes before another one.
"""

from nanoboost.ids import AttemptKey, NodeId
from nanoboost.master.agents import Agent, Run
from nanoboost.master.jobs import Job, Past
from nanoboost.master.reign import Reign
from nanoboost.wire.messages import AgentHello, CancelAttempt, JobState, MasterHere


class Roster:
    """Keeps the agents of one reign."""

    def __init__(self, reign: Reign, members: dict[NodeId, None]) -> None:
        self._reign = reign
        self._members = members

    def ask(self, now: float) -> None:
        """Ask those agents that have been silent for too long."""
        agents = self._reign.agents.by_node
        busy = {node: None for node, agent in agents.items() if agent.runs}
        for node in self._reign.takeover.ask(now, busy):
            self._reign.send(node, MasterHere(self._reign.term))

    def up(self, now: float, node: NodeId) -> None:
        """A member is there."""
        self._reign.takeover.up(now, node)

    def lost(self, node: NodeId) -> None:
        """A member is gone: what it ran starts again elsewhere."""
        self._reign.takeover.gone(node)
        self._reign.lose(self._reign.agents.lose(node))

    def refused(self, now: float, node: NodeId) -> list[Run]:
        """A member's process is gone, and with it what it ran; return what may have been why."""
        agents = self._reign.agents
        self._reign.takeover.refused(now, node)
        runs = agents.by_node[node].runs.values() if node in agents.by_node else ()
        suspects = [run for run in runs if not run.is_held and not run.is_cancelled]
        self._reign.lose(agents.lose(node))
        return suspects

    def hello(self, now: float, node: NodeId, hello: AgentHello) -> None:
        """An agent says what it is, runs and holds."""
        reign = self._reign
        if hello.term != reign.term or node not in self._members:
            return  # it speaks to an earlier master, or comes from the dead
        reign.estimates.meet(node, hello.speed)
        agent = reign.agents.hello(now, node, hello)
        reign.takeover.heard(now, node)
        named = dict.fromkeys(hello.running, False) | dict.fromkeys(hello.held, True)
        for key, is_held in named.items():
            self._believe(now, agent, key, is_held=is_held)
        late = now - reign.timing.hello_grace_s
        lost = [run for key, run in agent.runs.items() if key not in named and run.since <= late]
        for run in lost:
            reign.agents.end(run)
        reign.lose(lost)

    def _believe(self, now: float, agent: Agent, key: AttemptKey, *, is_held: bool) -> None:
        reign = self._reign
        run = reign.agents.find(key)
        if run is not None and run.node != agent.node:
            return  # an attempt runs where it was sent; the other one is mistaken
        if run is not None and is_held:
            reign.agents.hold(run)
        elif run is not None and run.is_cancelled:
            reign.send(agent.node, CancelAttempt(reign.term, key))  # the first one was lost
        elif run is None and key.attempt.term <= reign.term:
            job = reign.jobs.get(key.job)
            if job is not None and self._is_wanted(job, key):
                self._adopt(now, agent, job, key, is_held=is_held)
            elif not is_held:
                self._disown(now, agent, key)

    def _is_wanted(self, job: Job, key: AttemptKey) -> bool:
        """Whether its result would be news: it is not one that is only not acknowledged yet."""
        if job.state is not JobState.RUNNING or job.frontier.is_done(key.task):
            return False
        return not job.has_ended(key)

    def _adopt(self, now: float, agent: Agent, job: Job, key: AttemptKey, *, is_held: bool) -> None:
        """The attempt runs, whoever has started it: no other is needed."""
        reign = self._reign
        cores, seconds = 1, 1.0
        if job.scheduler is not None:
            task = job.scheduler.plan.tasks[key.task]
            cores = max(1, job.scheduler.plan.classes[task.cls].cores)
            name = job.class_key(task.cls)
            work_s = reign.estimates.work_s(name, task.size)
            seconds = work_s * reign.estimates.factor(name, agent.node)
        reign.agents.begin(Run(key, agent.node, now, now + seconds, cores, is_held=is_held))
        reign.queue.discard(key.job, key.task)
        if job.recall(key) is None:
            job.remember(key, Past(agent.node))
        if key.attempt.term == reign.term:
            job.started[key.task] = max(key.attempt.n, job.started.get(key.task, 0))

    def _disown(self, now: float, agent: Agent, key: AttemptKey) -> None:
        """It runs what nobody wants: it may stop, and until it does its slot is taken."""
        self._reign.agents.begin(Run(key, agent.node, now, now, is_cancelled=True))
        self._reign.send(agent.node, CancelAttempt(self._reign.term, key))
