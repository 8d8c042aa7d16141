"""A pipeline on the table: what the tests of the master's core poke, and short names for it."""

from typing import Any

from nanoboost.config import MasterTiming
from nanoboost.frontier import Frontier
from nanoboost.ids import Attempt, AttemptKey, JobId, NodeId, TaskId
from nanoboost.master.events import (
    Asked,
    DoneReceived,
    FrontierRead,
    HelloReceived,
    Journal,
    MastershipChanged,
    MemberUp,
    PlanRead,
    Propose,
    ReadPlan,
    RecordCommitted,
)
from nanoboost.master.pipeline import Pipeline
from nanoboost.plan import Plan
from nanoboost.wire.messages import (
    AgentHello,
    Execute,
    GetJob,
    JobReport,
    JobState,
    Outcome,
    Parent,
    Submit,
    TaskDone,
)
from nanoboost.wire.records import FrontierSet, JobEntry, JobSubmitted
from tests.master.plans import CODE, DIGEST, node, plan

TIMING = MasterTiming(flush_interval_s=0.02, hello_grace_s=1.0, hello_repeat_s=0.25)
ME, OTHER = node(1), node(2)
JOB = JobId("job")
CHAIN = plan([[], [0]])
SUBMIT = Submit(7, JOB, "Graph", DIGEST, CODE, 0)


class Bench:
    """A pipeline on the table: `poke` it, look at what it wants."""

    def __init__(self) -> None:
        self.now = 100.0
        self.core = Pipeline(ME, TIMING)

    def poke(self, event: Any, after: float = 0.001) -> list[Any]:
        self.now += after
        return list(self.core.step(self.now, event))

    def poke_quietly(self, event: Any, after: float = 0.001) -> list[Any]:
        """The same without what goes to the journal."""
        return [each for each in self.poke(event, after) if not isinstance(each, Journal)]

    def reign(self, term: int = 3, entries: tuple[JobEntry, ...] = (), slots: int = 1) -> None:
        """Become the master, with this node as the only agent."""
        self.poke(MemberUp(ME, "one"))
        self.poke(MastershipChanged(term, True))
        self.poke(FrontierRead(term, entries))
        self.hello(term, slots=slots)

    def hello(self, term: int, who: NodeId = ME, **facts: Any) -> list[Any]:
        return self.poke_quietly(HelloReceived(who, hello(term, **facts)))

    def run(self, found: Plan = CHAIN) -> list[Any]:
        """Submit the job; return what that starts."""
        self.poke(Asked(1, SUBMIT))
        self.poke(PlanRead(JOB, DIGEST, found))
        return self.poke_quietly(RecordCommitted(3, submitted(len(found.tasks))))

    def done(self, key: AttemptKey, **facts: Any) -> list[Any]:
        return self.poke_quietly(DoneReceived(facts.pop("who", ME), done(key, **facts)))

    def report(self) -> JobReport:
        (answer,) = self.poke_quietly(Asked(9, GetJob(5, JOB)))
        assert isinstance(answer.message, JobReport)
        return answer.message


def hello(term: int, **facts: Any) -> AgentHello:
    defaults: dict[str, Any] = {"slots": 1, "speed": 1.0, "labels": (), "running": (), "held": ()}
    return AgentHello(term=term, **{**defaults, "fit": "", "draining": False, **facts})


def submitted(tasks: int) -> JobSubmitted:
    return JobSubmitted(JOB, "Graph", DIGEST, CODE, 0, tasks)


def key(task: int, term: int = 3, n: int = 1) -> AttemptKey:
    return AttemptKey(JOB, TaskId(task), Attempt(term, n))


def done(
    which: AttemptKey,
    outcome: Outcome = Outcome.DONE,
    read: tuple[Parent, ...] = (),
    error: str = "",
    tail: str = "",
) -> TaskDone:
    return TaskDone(which, outcome, read, 1.0, 1.0, error, tail)


def execute(which: AttemptKey, name: str, *parents: Parent, term: int = 3) -> Execute:
    return Execute(term, which, DIGEST, CODE, parents, 0.0, name)


def parent(task: int, term: int = 3, n: int = 1) -> Parent:
    return Parent(TaskId(task), Attempt(term, n))


def frontier(tasks: int, *finished: AttemptKey) -> bytes:
    made = Frontier.empty(tasks)
    for each in finished:
        made.finish(each.task, each.attempt)
    return made.encode()


def entry(state: JobState = JobState.RUNNING, *finished: AttemptKey, tasks: int = 2) -> JobEntry:
    return JobEntry(submitted(tasks), state, "", frontier(tasks, *finished))


def frontiers(effects: list[Any]) -> list[FrontierSet]:
    records = [each.record for each in effects if isinstance(each, Propose)]
    return [each for each in records if isinstance(each, FrontierSet)]


def takeover(*entries: JobEntry, members: tuple[NodeId, ...] = ()) -> Bench:
    """A master of term 4 that has read the log and waits for hellos."""
    bench = Bench()
    for each in members:
        bench.poke(MemberUp(each, "two"))
    bench.poke(MastershipChanged(4, True))
    effects = bench.poke_quietly(FrontierRead(4, entries))
    assert ReadPlan(JOB, DIGEST) in effects
    bench.poke(PlanRead(JOB, DIGEST, CHAIN))
    return bench
