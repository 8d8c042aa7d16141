"""`nanoboost run`: freeze a graph, put it on the NAS, submit it, and follow it to its end.

**Submitting is idempotent**: the job's id is drawn once, here, so a submission may be repeated
after any failure without running anything twice.  Without a cluster the same is done by a node
embedded in this process: a Raft of one, the same code path.
"""

import contextlib
import os
import re
import secrets
import socket
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen
from twisted.internet.defer import CancelledError
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from nanoboost.cli.cluster import Cluster
from nanoboost.cli.progress import Display
from nanoboost.code import bundle
from nanoboost.config import PROFILES, NodeConfig
from nanoboost.graph import graph_file, load_graph
from nanoboost.ids import Address, JobId
from nanoboost.nas.files import deposit
from nanoboost.nas.layout import code_path, plan_path
from nanoboost.net.credential import Credential
from nanoboost.node import compose
from nanoboost.plan import encode_plan, plan_digest
from nanoboost.wire.codec import evolve
from nanoboost.wire.messages import GetJob, JobReport, JobState, Submit, Submitted
from nanoboost.world.real import real_runtime

POLL_S = 0.25


@frozen
class Order:
    """What the user wants to be run."""

    spec: str
    params: Mapping[str, str]
    priority: int


def new_job_id(graph: str) -> JobId:
    """`video-compression-1a2b3c4d` for a graph `VideoCompression`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", graph).lower()
    name = re.sub("[^a-z0-9]+", "-", words).strip("-")[:60] or "job"
    return JobId(f"{name}-{secrets.token_hex(4)}")


def prepare(order: Order, nas_dir: Path) -> Submit:
    """Freeze the graph and put plan and code on the NAS; nothing is submitted yet.

    A path below `nas_dir` may be given as the shell completes it; inside it is relative.
    """
    graph_class = load_graph(order.spec)
    below = f"{nas_dir}/"
    params = {name: text.removeprefix(below) for name, text in order.params.items()}
    plan = encode_plan(graph_class.from_text(params).freeze(nas_dir))
    code, code_digest = bundle(graph_file(order.spec))
    digest = plan_digest(plan)
    deposit(str(nas_dir), plan_path(digest), plan)
    deposit(str(nas_dir), code_path(code_digest), code)
    name = graph_class.__name__
    return Submit(0, new_job_id(name), name, digest, code_digest, order.priority)


async def submit_and_follow(
    reactor: Any,
    cluster: Cluster,
    submit: Submit,
    display: Display,
    *,
    detach: bool = False,
    outlives: bool = True,
) -> int:
    """Submit what is prepared; return the exit status: 0 done (or detached), 1 failed.

    `outlives`: the job goes on if this command is interrupted, and the user is told how to come
    back to it.
    """
    job = submit.job
    display.tell(f"job {job}")
    await cluster.ask(lambda request: evolve(submit, request=request), Submitted)
    if detach:
        return 0
    try:
        return await follow(reactor, cluster, job, display)
    except CancelledError:
        if outlives:
            display.tell(f"{job} goes on.  Follow it: nanoboost status {job}")
            display.tell(f"Stop it for good: nanoboost cancel {job}")
        else:
            display.tell(f"{job} has ended with this command")
        raise


async def follow(reactor: Any, cluster: Cluster, job: JobId, display: Display) -> int:
    """Show a job until it ends; return the exit status."""
    told: set[object] = set()
    waited_for = ""

    def waiting(reason: str) -> None:
        nonlocal waited_for
        if reason != waited_for:
            waited_for = reason
            display.tell(f"waiting for a master: {reason}")

    while True:
        report = await cluster.ask(lambda request: GetJob(request, job), JobReport, waiting)
        waited_for = ""
        for failure in report.failures:
            if (failure.task, failure.attempt) not in told:
                told.add((failure.task, failure.attempt))
                display.fail(failure)
        display.show(report)
        if report.state.is_final:
            break
        await deferLater(reactor, POLL_S)
    if report.state is JobState.DONE:
        return 0
    display.tell(f"{job} {report.state.value}: {report.note}" if report.note else str(job))
    return 1


@contextlib.asynccontextmanager
async def embedded(reactor: Any, credential: Credential, nas_dir: Path) -> AsyncIterator[Cluster]:
    """A cluster of one node that lives in this process."""
    with tempfile.TemporaryDirectory(prefix="nanoboost-") as state_dir:
        config = NodeConfig(
            name=socket.gethostname().split(".")[0] or "here",
            state_dir=state_dir,
            nas_dir=str(nas_dir),
            listen=Address("127.0.0.1", 0),
            profile=PROFILES["local"],
            slots=len(os.sched_getaffinity(0)),
        )
        # No beacon: two of these on one machine must not take each other for one cluster.
        runtime = evolve(real_runtime(reactor, state_dir, credential), networks=None)

        def ended(failure: Failure | None) -> None:
            why = failure.getErrorMessage() if failure else "it has left"
            cluster.abandon(f"the node in this command has stopped: {why}")

        node = compose(config, runtime, ended)
        node.startService()
        cluster = Cluster(reactor, runtime.security, [node.address])
        try:
            yield cluster
        finally:
            cluster.close()
            await node.stopService()
            await runtime.store.close()
