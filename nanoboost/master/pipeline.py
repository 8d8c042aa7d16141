"""The master: what runs where.  Listener, Scheduler, TaskQueue and Dispatcher, joined in one core.

    Asked ----------> desk --Propose(JobSubmitted)--> the log --RecordCommitted--.
    HelloReceived --> agents                                                     v
    DoneReceived ---> scheduler --ready--> queue --dispatcher--> Send(Execute)  jobs
                          '--ledger--Propose(FrontierSet)--> the log --> Send(Acknowledge)

**An agent is told to forget a result only when a committed frontier covers it, or when nobody wants
it.**  Children start before their parents' commit: a result says which attempts it read, and counts
only if those are the ones that won.
"""

from collections.abc import Mapping
from typing import assert_never

from nanoboost.config import MasterTiming
from nanoboost.core import Woke
from nanoboost.frontier import Frontier
from nanoboost.ids import AttemptKey, JobId, NodeId
from nanoboost.master.agents import Run
from nanoboost.master.closing import Closing
from nanoboost.master.desk import Desk
from nanoboost.master.estimates import Estimates
from nanoboost.master.events import (
    Answer,
    Asked,
    Chore,
    ChoreDone,
    ChoreFailed,
    DoneReceived,
    Effect,
    Event,
    FrontierFailed,
    FrontierRead,
    HelloReceived,
    MastershipChanged,
    MemberLost,
    MemberRefused,
    MemberUp,
    PlanRead,
    ProposalRefused,
    ReadFrontier,
    RecordCommitted,
)
from nanoboost.master.jobs import Job, Past
from nanoboost.master.reign import PROPOSE_AGAIN_S, Reign
from nanoboost.master.report import AgentView, agent_views, summary
from nanoboost.master.results import Results
from nanoboost.master.roster import Roster
from nanoboost.master.salvage import Salvaging
from nanoboost.master.scheduler import Scheduler
from nanoboost.master.takeover import Takeover
from nanoboost.plan import Plan
from nanoboost.wire.messages import Acknowledge, Execute, JobState, JobSummary, NotMaster
from nanoboost.wire.records import FrontierSet, JobEnded, JobSubmitted, Record

READ_AGAIN_S = 0.05
RECONSIDER_S = 0.5
"""While slots idle because busy ones seemed better, that is thought over so often."""
KEYS_MAX = 1000
"""Results acknowledged in one message."""


class Pipeline:
    """The core.  `me` is this node, which is a member like the others."""

    def __init__(self, me: NodeId, timing: MasterTiming) -> None:
        self._me = me
        self._timing = timing
        self._members: dict[NodeId, None] = {me: None}
        self._names: dict[NodeId, str] = {}
        self._estimates = Estimates()
        self._outbox: list[Effect] = []
        self._wanted_term: int | None = None
        """This node is master of this term, and reads what is committed."""
        self._read_at: float | None = None
        self._deadline: float | None = None
        self._reign: Reign | None = None
        self._desk: Desk
        self._closing: Closing
        self._results: Results
        self._roster: Roster

    # --- what others may look at -----------------------------------------------------------------

    def agents(self, now: float) -> Mapping[NodeId, AgentView]:
        """The agents of this master; none if this node is not master."""
        return {} if self._reign is None else agent_views(now, self._reign)

    def summaries(self) -> tuple[JobSummary, ...]:
        """All jobs, in order of submission; none if this node is not master."""
        return () if self._reign is None else tuple(map(summary, self._reign.jobs.values()))

    def tasks_of(self, job: JobId) -> int | None:
        """How many tasks a job has, if it is known here."""
        found = None if self._reign is None else self._reign.jobs.get(job)
        return None if found is None else found.submitted.tasks

    # --- the contract of a core ------------------------------------------------------------------

    def deadline(self) -> float | None:
        """See `nanoboost.core`."""
        return self._deadline

    def step(self, now: float, event: Event | Woke) -> tuple[Effect, ...]:
        """Take one event; see `nanoboost.core`."""
        self._outbox.clear()
        match event:
            case Woke():
                pass
            case MastershipChanged(term, is_me):
                self._change(now, term if is_me else None)
            case FrontierRead(term, _):
                if term == self._wanted_term and self._reign is None:
                    self._begin(now, event)
            case FrontierFailed(term):
                if term == self._wanted_term and self._reign is None:
                    self._read_at = now + READ_AGAIN_S
            case MemberUp(node, name):
                self._members[node] = None
                self._names[node] = name
                if self._reign is not None:
                    self._roster.up(now, node)
            case MemberLost(node):
                self._members.pop(node, None)
                if self._reign is not None:
                    self._roster.lost(node)
            case Asked(ticket, question):
                if self._reign is not None:
                    self._desk.asked(now, ticket, question)
                else:
                    self._outbox.append(Answer(ticket, NotMaster(question.request, "", 0)))
            case _:
                if self._reign is not None:
                    self._work(now, self._reign, event)
        self._go_on(now)
        return tuple(self._outbox)

    def _work(
        self,
        now: float,
        reign: Reign,
        event: HelloReceived
        | DoneReceived
        | MemberRefused
        | RecordCommitted
        | ProposalRefused
        | PlanRead
        | ChoreDone
        | ChoreFailed,
    ) -> None:
        """What only a master hears."""
        match event:
            case DoneReceived(node, message):
                self._results.take(now, node, message)
            case HelloReceived(node, message):
                self._roster.hello(now, node, message)
            case MemberRefused(node):
                self._results.died(now, self._roster.refused(now, node))
            case RecordCommitted(_, record):
                self._committed(now, reign, record)
            case ProposalRefused(term, record):
                if term == reign.term:
                    self._refused(now, reign, record)
            case PlanRead(name, digest, plan):
                if self._desk.is_submitting(name):
                    self._desk.submission_read(name, digest, plan)
                elif name in reign.jobs and reign.jobs[name].submitted.plan == digest:
                    self._plan_read(now, reign, reign.jobs[name], plan)
            case ChoreDone(name, chore):
                if name in reign.jobs:
                    self._closing.done(reign.jobs[name], chore)
            case ChoreFailed(name, chore, reason):
                if self._desk.is_submitting(name):
                    self._desk.submission_failed(name, reason)
                elif name in reign.jobs:
                    self._closing.failed(now, reign.jobs[name], chore, reason)
                    if chore is Chore.PLAN:
                        self._desk.plan_failed(now, reign.jobs[name], reason)
            case _:
                assert_never(event)

    def _go_on(self, now: float) -> None:
        """What follows from any event: ask, repeat, place, flush."""
        if self._read_at is not None and self._read_at <= now:
            assert self._wanted_term is not None
            self._read_at = None
            self._outbox.append(ReadFrontier(self._wanted_term))
        self._deadline = self._read_at
        reign = self._reign
        if reign is not None:
            self._roster.ask(now)
            self._open_jobs(reign, now)
            self._closing.work(now)
            self._propose_again(now, reign)
            self._place(now, reign)
            self._flush(now, reign)
            self._deadline = self._next(now, reign)

    # --- terms -----------------------------------------------------------------------------------

    def _change(self, now: float, term: int | None) -> None:
        """This node is master of `term`, or not at all."""
        if term is not None and term == self._wanted_term:
            return
        if self._reign is not None:
            self._desk.close()
        self._reign = None
        self._wanted_term = term
        self._read_at = None if term is None else now

    def _begin(self, now: float, read: FrontierRead) -> None:
        """All that is committed is known: this is where a reign starts."""
        takeover = Takeover(now, self._timing, list(self._members))
        self._reign = reign = Reign(
            read.term, self._timing, self._estimates, self._names, takeover, self._outbox, self._me
        )
        self._closing = Closing(reign)
        self._results = Results(reign, self._closing)
        self._desk = Desk(reign, self._closing, Salvaging(reign, self._results))
        self._roster = Roster(reign, self._members)
        for entry in read.entries:
            reign.jobs[entry.submitted.job] = Job.inherited(entry)
        self._closing.begin(now)

    def _plan_read(self, now: float, reign: Reign, job: Job, plan: Plan) -> None:
        if job.scheduler is None:
            job.scheduler = Scheduler(plan, job.frontier)
            if job.state is JobState.RUNNING:
                reign.prepare(job)
                self._results.plan_read(now, job)
        self._closing.plan_read(now, job)
        self._desk.plan_read(now, job)

    def _open_jobs(self, reign: Reign, now: float) -> None:
        """Start with the jobs whose plan is known; with inherited ones once the agents are."""
        for job in reign.jobs.values():
            if job.is_open or job.scheduler is None or job.is_ending:
                continue
            if not job.is_inherited or reign.takeover.is_over(now):
                reign.open(job)

    # --- the log ---------------------------------------------------------------------------------

    def _committed(self, now: float, reign: Reign, record: Record) -> None:
        job = reign.jobs.get(record.job)
        if isinstance(record, JobSubmitted):
            plan = self._desk.submitted(record.job)
            if job is None:
                for run in reign.agents.runs(record.job):
                    reign.agents.end(run)  # whatever claims that name is older than the job
                job = reign.jobs[record.job] = Job(record, Frontier.empty(record.tasks))
                reign.journal("submitted", job=record.job)
                if plan is None:
                    self._closing.want_plan(now, job)
                else:
                    self._plan_read(now, reign, job, plan)
        elif job is None:
            return
        elif isinstance(record, JobEnded):
            if self._closing.moved(now, job, record) and job.state.is_final:
                self._acknowledge(reign, job)
                self._desk.ended(job)
        elif record.frontier == job.ledger.in_flight:
            self._acknowledge(reign, job)
            self._results.counted(job)
            self._desk.progressed(job)
            self._closing.check(job)

    def _acknowledge(self, reign: Reign, job: Job) -> None:
        """A frontier is committed (or the job's end): the agents may forget what it covers."""
        keys_by_node: dict[NodeId, list[AttemptKey]] = {}
        covered = job.ledger.abandon() if job.state.is_final else job.ledger.committed()
        for task, owed in covered.items():
            winner = job.frontier.winner(task)
            for node, key in owed:
                keys_by_node.setdefault(node, []).append(key)
                if key.attempt == winner and not job.state.is_final:
                    attempt = str(key.attempt)
                    reign.journal("finished", job=job.name, task=task, attempt=attempt)
        for node, keys in keys_by_node.items():
            for start in range(0, len(keys), KEYS_MAX):
                some = tuple(keys[start : start + KEYS_MAX])
                reign.send(node, Acknowledge(reign.term, some))

    def _refused(self, now: float, reign: Reign, record: Record) -> None:
        if isinstance(record, FrontierSet):
            if record.job in reign.jobs:
                reign.jobs[record.job].ledger.refused()
        else:
            reign.refused.append((now + PROPOSE_AGAIN_S, record))

    def _propose_again(self, now: float, reign: Reign) -> None:
        due = [record for moment, record in reign.refused if moment <= now]
        reign.refused = [(moment, record) for moment, record in reign.refused if moment > now]
        for record in due:
            reign.propose(record)

    def _flush(self, now: float, reign: Reign) -> None:
        """Put into the log what is new in each job's frontier."""
        for job in reign.jobs.values():
            due_at = job.ledger.due_at
            if due_at is not None and due_at <= now:
                frontier = job.frontier.encode()
                job.ledger.propose(now, frontier, self._timing.flush_interval_s)
                reign.propose(FrontierSet(job.name, frontier))

    # --- the work --------------------------------------------------------------------------------

    def _place(self, now: float, reign: Reign) -> None:
        """Give free slots what they finish first."""
        if not reign.queue:
            return
        for place in reign.dispatcher.place(now, reign.demand):
            job = reign.jobs[place.waiting.job]
            task = place.waiting.task
            plan = job.plan_scheduler.plan
            key = job.next_attempt(task, reign.term)
            run = Run(key, place.node, now, now + place.seconds, place.cores, place.work_s)
            reign.agents.begin(run)
            job.ran += 1
            job.remember(key, Past(place.node))
            submitted = job.submitted
            name = plan.name(task)
            reign.send(
                place.node,
                Execute(
                    reign.term,
                    key,
                    submitted.plan,
                    submitted.code,
                    job.plan_scheduler.parents(task),
                    plan.class_of(task).timeout_s,
                    name,
                ),
            )
            reign.journal(
                "execute",
                job=job.name,
                task=task,
                attempt=str(key.attempt),
                name=name,
                agent=place.node,
                term=reign.term,
            )

    def _next(self, now: float, reign: Reign) -> float | None:
        """When something is to be done even if nothing happens."""
        moments = [self._read_at, reign.takeover.deadline(now), self._closing.deadline(now)]
        moments += [moment for moment, _ in reign.refused]
        moments += [job.ledger.due_at for job in reign.jobs.values()]
        if reign.queue:
            moments.append(reign.agents.next_change(now))
            agents = reign.agents.by_node.values()
            if any(agent.runs for agent in agents) and any(
                agent.busy < agent.slots and agent.takes_work(now) for agent in agents
            ):
                moments.append(now + RECONSIDER_S)
        return min((moment for moment in moments if moment is not None), default=None)
