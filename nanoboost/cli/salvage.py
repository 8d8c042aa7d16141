"""`nanoboost salvage`: bring back what a node of a lost side had finished.

The lost side's log lies on the disks of its nodes.  What one of them knows is offered to the
running master, job by job; the master takes what counts there (`nanoboost.master.salvage`).
**Only results whose files still lie on the NAS are offered, nothing that the cluster has finished
is touched, and a repeat changes nothing.**

A job that the cluster does not know, because it was submitted to the lost side, is submitted again
under its old name, after a yes.  One that the lost side has ended is left alone: what it published
is published.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
from attrs import frozen

from nanoboost.cli.cluster import Cluster
from nanoboost.cli.finding import nas_here
from nanoboost.cli.recover import stopped_node
from nanoboost.consensus.recovery import jobs_of
from nanoboost.consensus.store import RaftStore
from nanoboost.errors import NasError, UserError
from nanoboost.frontier import Frontier
from nanoboost.ids import AttemptKey, JobId
from nanoboost.nas.attempts import is_whole
from nanoboost.nas.files import fetch, look
from nanoboost.nas.layout import code_path, plan_path
from nanoboost.net.credential import Credential
from nanoboost.wire.messages import JobState, Submit, Submitted
from nanoboost.wire.operating import Salvage, Salvaged
from nanoboost.wire.records import JobEntry, JobSubmitted


@frozen
class LostSide:
    """What a lost node knows: the last term that it was in, and its jobs."""

    term: int
    jobs: tuple[JobEntry, ...]


async def salvage_from(
    reactor: Any,
    state_dir: str,
    credential: Credential,
    cluster: Cluster,
    nas: str | None,
    confirmed: Callable[[str], bool],
) -> int:
    """Offer the cluster what the stopped node of `state_dir` had finished; `confirmed(question)`
    decides about jobs that the cluster does not know.  Return the exit status."""
    async with stopped_node(reactor, state_dir, credential) as runtime:
        stored = RaftStore(runtime.store).load()
        lost = LostSide(stored.hard_state.term, jobs_of(stored))
    report = await cluster.status()
    if not report.master:
        raise UserError("the cluster has no master: see nanoboost status")
    nas_dir = nas_here(nas, report)
    if wrong := look(str(nas_dir), credential.cluster):
        raise UserError(wrong)
    await offer(cluster, lost, {job.job: job.state for job in report.jobs}, nas_dir, confirmed)
    return 0


async def offer(
    cluster: Cluster,
    lost: LostSide,
    here: Mapping[JobId, JobState],
    nas_dir: Path,
    confirmed: Callable[[str], bool],
) -> None:
    """Go through the jobs of the lost side; `here` are those of the cluster."""
    left_alone = 0
    for entry in lost.jobs:
        name, there = entry.submitted.job, entry.state
        known = here.get(name)
        if known is JobState.RUNNING and there is JobState.DONE:
            click.echo(
                f"{name}: the lost side has finished and published it, here it goes on; "
                f"if nobody needs that: nanoboost cancel {name}"
            )
        elif known is JobState.RUNNING:
            await _bring_back(cluster, nas_dir, lost.term, entry)
        elif known is not None or there.is_final:
            left_alone += 1
        elif await _submitted_again(cluster, nas_dir, entry.submitted, confirmed):
            await _bring_back(cluster, nas_dir, lost.term, entry)
    if left_alone:
        jobs = "1 job has" if left_alone == 1 else f"{left_alone} jobs have"
        click.echo(f"{jobs} ended, here or there: nothing to bring back")
    if not lost.jobs:
        click.echo("that node knows no jobs")


async def _submitted_again(
    cluster: Cluster, nas_dir: Path, job: JobSubmitted, confirmed: Callable[[str], bool]
) -> bool:
    try:
        for path, digest in ((plan_path(job.plan), job.plan), (code_path(job.code), job.code)):
            fetch(str(nas_dir), path, digest, wait_s=0.0)
    except NasError:
        click.echo(f"{job.job}: not known here, and its plan lies on the NAS no more; run it anew")
        return False
    if not confirmed(f"{job.job} ({job.graph}) is not known here.  Submit it again?"):
        click.echo(f"{job.job}: not known here, left alone")
        return False
    await cluster.ask(
        lambda request: Submit(request, job.job, job.graph, job.plan, job.code, job.priority),
        Submitted,
    )
    click.echo(f"{job.job}: submitted again")
    return True


async def _bring_back(cluster: Cluster, nas_dir: Path, term: int, entry: JobEntry) -> None:
    """Offer what was finished of one job, until the master has looked at all of it."""
    name, tasks = entry.submitted.job, entry.submitted.tasks
    finished = Frontier.decode(entry.frontier, tasks)
    offered = _lying_on(nas_dir, entry, finished)
    data = offered.encode()
    taken = first = 0
    while first < tasks:
        at = first
        answer = await cluster.ask(
            lambda request: Salvage(request, name, term, data, at),  # noqa: B023 - asked at once
            Salvaged,
        )
        taken, first = taken + answer.taken, answer.next
    lost = finished.done_count - offered.done_count
    click.echo(
        f"{name}: {finished.done_count} of {tasks} tasks were finished there, "
        f"{taken} of them were not here and count now"
        + (f"; the files of {lost} lie on the NAS no more" if lost else "")
    )


def _lying_on(nas_dir: Path, entry: JobEntry, finished: Frontier) -> Frontier:
    """What of a frontier still has its files."""
    found = Frontier.empty(finished.tasks)
    try:
        for task in finished.done():
            winner = finished.winner(task)
            assert winner is not None, "a done task has a winner"
            if is_whole(str(nas_dir), AttemptKey(entry.submitted.job, task, winner)):
                found.finish(task, winner)
    except NasError as error:
        raise UserError(str(error)) from None
    return found
