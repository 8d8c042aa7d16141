"""What the master tells people about jobs, tasks and agents.

**Nodes are named as people name them, and whatever keeps a job from going on is said**: who lacks
what, what the NAS answers, that nobody has a slot.
"""

from collections.abc import Mapping

from attrs import frozen

from nanoboost.ids import Attempt, AttemptKey, NodeId, TaskId
from nanoboost.master.jobs import Job, Past
from nanoboost.master.reign import Reign
from nanoboost.nas.layout import log_path
from nanoboost.wire.messages import (
    ClassProgress,
    FailureReport,
    JobReport,
    JobState,
    JobSummary,
    Outcome,
    TaskFound,
)

ATTEMPTS_SHOWN = 20
NOTE_MAX = 2000


@frozen
class AgentView:
    """An agent as the node tables show it."""

    slots: int
    busy: int
    speed: float
    note: str


def agent_views(now: float, reign: Reign) -> Mapping[NodeId, AgentView]:
    """All agents that have said hello in this term."""
    found = {}
    for node, agent in reign.agents.by_node.items():
        note = agent.fit
        if agent.is_draining:
            note = "leaving"
        elif not note and agent.aside_until > now:
            note = "set aside: everything crashes here"
        found[node] = AgentView(agent.slots, agent.busy, reign.estimates.speed(node), note)
    return found


def summary(job: Job) -> JobSummary:
    """One line about the job."""
    submitted = job.submitted
    done = job.frontier.done_count
    return JobSummary(submitted.job, submitted.graph, job.state, done, submitted.tasks)


def job_report(now: float, reign: Reign, job: Job, request: int) -> JobReport:
    """How far the job is."""
    failures = [_failure(reign, job, task, attempt) for task, attempt in job.failures]
    return JobReport(
        request=request,
        job=job.name,
        graph=job.submitted.graph,
        state=job.state,
        classes=_classes(reign, job),
        failures=tuple(failures),
        ran=job.ran,
        left_s=_left_s(reign, job),
        note=job.reason if job.state.is_final else _note(now, reign, job),
    )


def task_found(reign: Reign, job: Job, task: TaskId, request: int) -> TaskFound:
    """All that is known of the task's attempts."""
    past = dict(job.past.get(task, {}))
    winner = job.frontier.winner(task)
    if winner is not None and winner not in past:
        past[winner] = Past(NodeId(""), Outcome.DONE)  # an earlier master knew where
    scheduler = job.plan_scheduler
    if winner is not None:
        state = "done"
    elif reign.agents.is_wanted(job.name, task):
        state = "running"
    elif job.state.is_final:
        state = job.state.value
    else:
        state = "waiting for a node" if scheduler.is_ready(task) else "waiting for its parents"
    attempts = tuple(
        _failure(reign, job, task, attempt) for attempt in sorted(past)[-ATTEMPTS_SHOWN:]
    )
    return TaskFound(request, state, attempts)


def _failure(reign: Reign, job: Job, task: TaskId, attempt: Attempt) -> FailureReport:
    key = AttemptKey(job.name, task, attempt)
    scheduler = job.scheduler
    past = job.recall(key) or Past(NodeId(""), Outcome.DONE)
    return FailureReport(
        task=scheduler.plan.name(task) if scheduler is not None else f"task {task}",
        attempt=attempt,
        node=reign.name(past.node),
        error=past.error,
        tail=past.tail,
        log=log_path(key, finished=past.outcome is Outcome.DONE),
    )


def _classes(reign: Reign, job: Job) -> tuple[ClassProgress, ...]:
    scheduler = job.scheduler
    if scheduler is None:
        return ()
    plan = scheduler.plan
    running: list[dict[str, int]] = [{} for _ in plan.classes]
    for run in reign.agents.runs(job.name):
        if not run.is_held:
            nodes = running[plan.tasks[run.key.task].cls]
            name = reign.name(run.node)
            nodes[name] = nodes.get(name, 0) + 1
    failed = [0] * len(plan.classes)
    for task in job.frontier.failed():
        if not job.frontier.is_done(task):
            failed[plan.tasks[task].cls] += 1
    return tuple(
        ClassProgress(
            cls.name,
            scheduler.total[number],
            scheduler.done[number],
            failed[number],
            tuple(sorted(running[number].items())),
        )
        for number, cls in enumerate(plan.classes)
    )


def _left_s(reign: Reign, job: Job) -> float:
    """How long the work that is left takes all slots that there are; negative while unknown."""
    scheduler = job.scheduler
    if job.state is not JobState.RUNNING or scheduler is None:
        return 0.0 if job.state.is_final else -1.0
    agents = [agent for agent in reign.agents.by_node.values() if agent.slots]
    if not agents or not job.frontier.done_count:
        return -1.0
    total_s, longest_s = 0.0, 0.0
    for number in range(len(scheduler.plan.classes)):
        tasks = scheduler.total[number] - scheduler.done[number]
        key = job.class_key(number)
        if not tasks or not reign.estimates.knows(key):
            continue  # what a class takes that has not begun is anybody's guess
        size = (scheduler.size_total[number] - scheduler.size_done[number]) / tasks
        work_s, wait_s = reign.estimates.work_s(key, size), reign.estimates.wait_s(key)
        each_s = {
            agent.node: work_s * reign.estimates.factor(key, agent.node) + wait_s
            for agent in agents
        }
        total_s += tasks / sum(agent.slots / each_s[agent.node] for agent in agents)
        longest_s = max(longest_s, min(each_s.values()))
    return max(longest_s, total_s)


def _note(now: float, reign: Reign, job: Job) -> str:
    """What the job waits for; "" if for nothing but its turn."""
    if job.trouble:
        return job.trouble
    if job.scheduler is None:
        return "the plan is being read"
    if job.state is JobState.PUBLISHING:
        return "the results are being published"
    missing = [reign.name(node) for node in reign.takeover.missing()]
    if not job.is_open and not job.is_ending and missing:
        return f"a new master waits for {', '.join(missing)}"
    if not any(agent.slots for agent in reign.agents.by_node.values()):
        return "no node has a slot"
    plan = job.scheduler.plan
    notes = []
    for cls in reign.queue.classes(job.name):
        refusals = reign.dispatcher.refusals(now, (job.name, cls), plan.classes[cls])
        if refusals:
            said = ", ".join(f"{reign.name(node)}: {refusal}" for node, refusal in refusals)
            notes.append(f"no node can run {plan.classes[cls].name} ({said})")
    return "; ".join(notes)[:NOTE_MAX]
