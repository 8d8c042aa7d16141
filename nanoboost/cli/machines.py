"""The verbs about machines: who is there, what is wrong with the network, and the cluster's key.

**None of them needs a master**: they are for when the cluster is not as it should be.
"""

from typing import Any

import click

from nanoboost.cli import tables
from nanoboost.cli.diagnosis import Finding
from nanoboost.cli.doctor import as_json as findings_as_json
from nanoboost.cli.doctor import examine, show
from nanoboost.cli.finding import cluster_at, needed_address
from nanoboost.cli.key import rotate
from nanoboost.cli.verbs import (
    credential_option,
    json_option,
    node_option,
    run_in_reactor,
    state_option,
)
from nanoboost.cli.watch import screen_for, watch


@click.command()
@credential_option
@node_option
@state_option
@click.option("--watch", "is_watched", is_flag=True, help="Go on, and show what changes.")
@json_option
def nodes(
    credential: str | None, node: str | None, state: str | None, is_watched: bool, as_json: bool
) -> None:
    """List the machines of the cluster."""

    async def work(reactor: Any) -> int:
        cluster = cluster_at(reactor, credential, needed_address(node, state))
        if is_watched:
            return await watch(reactor, cluster, screen_for(as_json=as_json))
        tables.show_nodes(await cluster.status(), as_json=as_json)
        return 0

    run_in_reactor(work)


@click.command()
@credential_option
@node_option
@state_option
@click.option("--nas", default=None, metavar="DIR", help="Look at this NAS, too.")
@json_option
def doctor(
    credential: str | None, node: str | None, state: str | None, nas: str | None, as_json: bool
) -> None:
    """Say why a machine does not show up, and what to do.

    On any node, or on a machine that has the credential alone.  Ends with 1 if anything is wrong.
    """

    async def work(reactor: Any) -> int:
        findings: list[Finding] = []

        def tell(finding: Finding) -> None:
            findings.append(finding)
            if not as_json:
                show(finding)

        await examine(reactor, credential, node, state, nas, tell)
        if as_json:
            click.echo(findings_as_json(findings))
        return int(any(each.is_wrong for each in findings))

    run_in_reactor(work)


@click.group()
def key() -> None:
    """The cluster's credential."""


@key.command(name="rotate")
@credential_option
@node_option
@state_option
@click.option("--without", multiple=True, metavar="NAME", help="A node that must not get the key.")
def key_rotate(
    credential: str | None, node: str | None, state: str | None, without: tuple[str, ...]
) -> None:
    """Change the credential of all nodes while they run.

    Who has only the old one is a stranger afterwards.  If the old one is in wrong hands, the new
    one should not be sent under its protection: stop the nodes, and begin with `nanoboost init`.
    """
    run_in_reactor(
        lambda reactor: rotate(reactor, credential, needed_address(node, state), without)
    )


MACHINES = (nodes, doctor, key)
