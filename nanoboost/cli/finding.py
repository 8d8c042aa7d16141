"""What the user's words stand for: parameters, nodes, the NAS, jobs.

**What cannot be found is told in one line that lists what there is**, or says how to name it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from nanoboost import tap
from nanoboost.cli.cluster import Cluster
from nanoboost.errors import UserError
from nanoboost.ids import Address, JobId
from nanoboost.net.credential import Credential, create, load
from nanoboost.net.tls import PinnedTls
from nanoboost.wire.messages import StatusReport
from nanoboost.world.real import is_in_use


def graph_params(arguments: list[str]) -> dict[str, str]:
    """`--name value` and `--name=value` pairs; raises `UserError` for anything else."""
    params: dict[str, str] = {}
    rest = iter(arguments)
    for argument in rest:
        name, equals, value = argument.removeprefix("--").partition("=")
        if not argument.startswith("--") or not name:
            raise UserError(f"{argument!r}: parameters are written --name value")
        if not equals:
            try:
                value = next(rest)
            except StopIteration:
                raise UserError(f"--{name} has no value: write --{name} VALUE") from None
        key = name.replace("-", "_")
        if key in params:
            raise UserError(f"--{name} is given twice")
        params[key] = value
    return params


def node_address(node: str | None, state: str | None) -> Address | None:
    """Where the user's node is: named, or the one that runs on this machine; None without one."""
    if node is not None:
        return tap.parse_address(node)
    state_dir = Path(state or tap.default_state_dir())
    try:
        noted = (state_dir / "address").read_text().strip()
    except OSError:
        return None
    # A node that was killed could not take its note back.
    return tap.parse_address(noted) if is_in_use(str(state_dir)) else None


def needed_address(node: str | None, state: str | None) -> Address:
    """The same for a verb that makes no sense without a cluster."""
    found = node_address(node, state)
    if found is None:
        raise UserError("no node runs here: start one (nanoboost up) or say --node HOST:PORT")
    return found


def asked_name(report: StatusReport) -> str:
    """What people call the node that has answered."""
    names = {each.node: each.name for each in report.nodes}
    return names.get(report.node, report.node)


def nas_here(nas: str | None, report: StatusReport) -> Path:
    """Where the NAS is mounted on this machine: as the user says, or as the node does."""
    found = Path(nas or report.nas)
    if not found.is_dir():
        where = "" if nas else f", where node {asked_name(report)} has the NAS,"
        raise UserError(f"{found}{where} is no directory here: say --nas DIR")
    return found


def cluster_at(reactor: Any, credential: str | None, address: Address) -> Cluster:
    """The cluster whose node is at `address`."""
    security = PinnedTls(load(credential or tap.default_credential()), reactor)
    return Cluster(reactor, security, [address], security.refresh)


def load_or_create(credential: str | None) -> Credential:
    """The user's credential, made at the first use so that the first job needs no ceremony."""
    path = Path(credential or tap.default_credential())
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        create(str(path))
    return load(str(path))


def asking(*, yes: bool) -> Callable[[str], bool]:
    """Asks the user, unless `--yes` was said; where nobody answers, that is a no."""

    def ask(question: str) -> bool:
        try:
            return yes or click.confirm(question)
        except click.Abort:
            return False

    return ask


def one_job(report: StatusReport, wanted: str) -> JobId:
    """The job called `wanted`: its id, the beginning of one, or `last`."""
    jobs = [each.job for each in report.jobs]
    if wanted == "last" and jobs:
        return jobs[-1]
    found = [job for job in jobs if job == wanted] or [
        job for job in jobs if job.startswith(wanted)
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(f"{wanted!r} could be {', '.join(found)}: write more of it")
    raise UserError(f"no job {wanted!r}; there is: {', '.join(jobs) or 'none'}")
