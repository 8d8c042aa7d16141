"""The verbs of `nanoboost`: each reads what the user says, and asks others to do it.

**No verb decides anything about the cluster**: it asks a node, and tells the answer.
"""

import os
import sys
from pathlib import Path
from typing import Any

import click
from twisted.python.usage import UsageError

from nanoboost import __version__, tap
from nanoboost.cli import tables
from nanoboost.cli.demo import demonstrate
from nanoboost.cli.finding import (
    asked_name,
    asking,
    cluster_at,
    graph_params,
    load_or_create,
    nas_here,
    needed_address,
    node_address,
    one_job,
)
from nanoboost.cli.machines import MACHINES
from nanoboost.cli.progress import display_for
from nanoboost.cli.recover import recover_here
from nanoboost.cli.run import Order, embedded, follow, prepare, submit_and_follow
from nanoboost.cli.salvage import salvage_from
from nanoboost.cli.verbs import (
    Verbs,
    credential_option,
    json_option,
    node_option,
    run_in_reactor,
    state_option,
)
from nanoboost.errors import UserError
from nanoboost.nas.files import claim
from nanoboost.net.credential import create, load
from nanoboost.wire.messages import (
    Cancel,
    Cancelled,
    FindTask,
    JobState,
    Leave,
    StatusReport,
    TaskFound,
)
from nanoboost.wire.operating import GetCounters


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="nanoboost")
def main() -> None:
    """Run one DAG of tasks on all the machines of a LAN; any of them may die."""


for verb in MACHINES:
    main.add_command(verb)


@main.command()
@credential_option
@click.option(
    "--nas", default=None, metavar="DIR", help="Mark this directory as the cluster's NAS."
)
def init(credential: str | None, nas: str | None) -> None:
    """Make a cluster's credential, and mark its NAS.

    Copy the credential to each machine (`scp`); who has it is a member with all rights.
    """
    path = Path(credential or tap.default_credential())
    if path.exists():
        click.echo(f"credential {path} exists and stays as it is")
    else:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        create(str(path))
        click.echo(f"made the credential {path}")
    cluster = load(str(path)).cluster
    if nas is not None:
        claim(os.path.abspath(nas), cluster)
        click.echo(f"{os.path.abspath(nas)} is the NAS of cluster {cluster}")
    where = f" --nas {os.path.abspath(nas)}" if nas else " --nas DIR"
    click.echo(f"next     nanoboost up{where}")
    click.echo(f"others   scp {path} OTHER:{path}")
    click.echo("         nanoboost up --nas ITS_MOUNT --join auto")


@main.command(
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
    add_help_option=False,
)
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def up(options: tuple[str, ...]) -> None:
    """Start a node in the foreground (as `twistd -n nanoboost` does)."""
    ours = tap.Options()
    ours.synopsis = "Usage: nanoboost up [options]"
    try:  # first, because twistd would print all its options with the complaint
        ours.parseOptions(list(options))
    except UsageError as error:
        raise UserError(str(error)) from None
    tap.run_twistd(["--nodaemon", "--pidfile=", "nanoboost", *options])


@main.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
@click.argument("spec", metavar="FILE[:GRAPH]")
@credential_option
@node_option
@state_option
@click.option("--nas", default=None, metavar="DIR", help="Where the NAS is mounted here.")
@click.option("--priority", default=0, help="Larger goes first.")
@click.option("--detach", is_flag=True, help="Return as soon as the job is safe in the cluster.")
@json_option
@click.pass_context
def run(
    ctx: click.Context,
    spec: str,
    credential: str | None,
    node: str | None,
    state: str | None,
    nas: str | None,
    priority: int,
    detach: bool,
    as_json: bool,
) -> None:
    """Run a NanoGraph: `nanoboost run film.py --video films/a.mkv`.

    The graph's parameters are given as options of their own.  Without a cluster the job runs on a
    node inside this command, with the current directory as the NAS.
    """
    if spec.startswith("-"):
        raise UserError(f"{spec!r} is no file: write it first, nanoboost run FILE --name value")
    order = Order(spec, graph_params(ctx.args), priority)

    async def work(reactor: Any) -> int:
        display = display_for(as_json=as_json)
        try:
            address = node_address(node, state)
            if address is None:
                own = load_or_create(credential)
                nas_dir = Path(nas or ".").resolve()
                claim(str(nas_dir), own.cluster)
                submit = prepare(order, nas_dir)
                if detach:
                    raise UserError("--detach needs a cluster: nanoboost up --nas DIR")
                async with embedded(reactor, own, nas_dir) as cluster:
                    return await submit_and_follow(
                        reactor, cluster, submit, display, outlives=False
                    )
            cluster = cluster_at(reactor, credential, address)
            nas_dir = nas_here(nas, await cluster.status())
            submit = prepare(order, nas_dir)
            return await submit_and_follow(reactor, cluster, submit, display, detach=detach)
        finally:
            display.close()

    run_in_reactor(work)


@main.command()
@click.argument("job", required=False)
@credential_option
@node_option
@state_option
@json_option
@click.option("--verbose", "-v", is_flag=True, help="And all that the master has counted.")
def status(
    job: str | None,
    credential: str | None,
    node: str | None,
    state: str | None,
    as_json: bool,
    verbose: bool,
) -> None:
    """Show the cluster and its jobs; with JOB, follow it to its end."""

    async def work(reactor: Any) -> int:
        cluster = cluster_at(reactor, credential, needed_address(node, state))
        report = await cluster.status()
        if job is None:
            tables.show_status(report, as_json=as_json)
            if verbose:
                names = {str(each.node): each.name for each in report.nodes}
                tables.show_counters(await cluster.ask_here(GetCounters), names, as_json=as_json)
            return 0
        display = display_for(as_json=as_json)
        try:
            return await follow(reactor, cluster, one_job(report, job), display)
        finally:
            display.close()

    run_in_reactor(work)


@main.command()
@click.argument("job")
@click.argument("task")
@credential_option
@node_option
@state_option
@click.option("--nas", default=None, metavar="DIR", help="Where the NAS is mounted here.")
def logs(
    job: str,
    task: str,
    credential: str | None,
    node: str | None,
    state: str | None,
    nas: str | None,
) -> None:
    """Print the log of each attempt of TASK (`Compress-0003`) of JOB."""

    async def work(reactor: Any) -> int:
        cluster = cluster_at(reactor, credential, needed_address(node, state))
        report = await cluster.status()
        name = one_job(report, job)
        found = await cluster.ask(lambda request: FindTask(request, name, task), TaskFound)
        tables.show_logs(nas_here(nas, report), task, found)
        return 0

    run_in_reactor(work)


@main.command()
@click.argument("job")
@credential_option
@node_option
@state_option
def cancel(job: str, credential: str | None, node: str | None, state: str | None) -> None:
    """Stop JOB for good."""

    async def work(reactor: Any) -> int:
        cluster = cluster_at(reactor, credential, needed_address(node, state))
        name = one_job(await cluster.status(), job)
        answer = await cluster.ask(lambda request: Cancel(request, name), Cancelled)
        early = "" if answer.state == JobState.CANCELLED.value else " before it could be cancelled"
        click.echo(f"{name} {answer.state}{early}")
        return 0

    run_in_reactor(work)


@main.command()
@credential_option
@node_option
@state_option
def leave(credential: str | None, node: str | None, state: str | None) -> None:
    """Let the node finish what it runs, hand over, and stop."""

    async def work(reactor: Any) -> int:
        cluster = cluster_at(reactor, credential, needed_address(node, state))
        report: StatusReport = await cluster.ask_here(Leave)
        click.echo(f"node {asked_name(report)} finishes what it runs, then leaves")
        return 0

    run_in_reactor(work)


@main.command()
@credential_option
@state_option
@click.option("--seeds", multiple=True, metavar="HOST:PORT", help="Nodes that must have no master.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def recover(credential: str | None, state: str | None, seeds: tuple[str, ...], yes: bool) -> None:
    """Go on with this node alone, when most voters are lost for good."""
    run_in_reactor(
        lambda reactor: recover_here(
            reactor, state or tap.default_state_dir(), credential, seeds, asking(yes=yes)
        )
    )


@main.command()
@click.argument("directory", metavar="DIR")
@credential_option
@node_option
@click.option("--nas", default=None, metavar="DIR", help="Where the NAS is mounted here.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def salvage(
    directory: str, credential: str | None, node: str | None, nas: str | None, yes: bool
) -> None:
    """Bring back what a node of a lost side had finished.

    DIR is the state directory of a node that `nanoboost recover` has left behind.
    """

    async def work(reactor: Any) -> int:
        cluster = cluster_at(reactor, credential, needed_address(node, None))
        own = load(credential or tap.default_credential())
        return await salvage_from(reactor, directory, own, cluster, nas, asking(yes=yes))

    run_in_reactor(work)


@main.command()
@click.option("--film", default=None, type=click.Path(exists=True, dir_okay=False), metavar="FILE")
@click.option("--seconds", default=60, help="The film is looped to at least this length.")
@click.option("--chunks", default=16)
@click.option("--keep", is_flag=True, help="Keep the demonstration's directory.")
def demo(film: str | None, seconds: int, chunks: int, keep: bool) -> None:
    """Show three nodes compress a film while the master is killed."""
    sys.exit(demonstrate(Path(film) if film else None, seconds, chunks, keep=keep))
