"""`nanoboost key rotate`: give the cluster another credential while it runs.

Three steps: all nodes accept the new key, then all use it, then the old one is dropped.  **No step
begins before every node has confirmed the last**, so at any moment all understand one another; a
command that is interrupted leaves a cluster that works, and is simply given again.
"""

from collections.abc import Sequence
from typing import Any

import click
from twisted.internet.task import deferLater

from nanoboost import tap
from nanoboost.cli.cluster import ANSWER_S, Cluster
from nanoboost.errors import UserError
from nanoboost.ids import Address, NodeId
from nanoboost.net.client import connect
from nanoboost.net.credential import Credential, load, replace
from nanoboost.net.tls import PinnedTls
from nanoboost.wire.codec import Catalog
from nanoboost.wire.messages import CLIENT, SESSION, NodeReport, RequestRefused
from nanoboost.wire.rekeying import REKEYING, Rekey, Rekeyed

CATALOG = Catalog((*SESSION, *CLIENT, *REKEYING))
TRIES = 6
RETRY_S = 1.0


async def rotate(reactor: Any, path: str | None, address: Address, without: Sequence[str]) -> int:
    """Change the credential of the cluster whose node is at `address`; return the exit status.

    Nodes called as in `without` are not told.
    """
    credential = load(path or tap.default_credential())
    rotation = _Rotation(reactor, address, without)
    if len(credential.identities) == 1:
        await rotation.look(credential)  # before anything is changed
        credential = credential.with_successor()
    if credential.is_to_be_promoted:
        replace(credential)
        await rotation.tell(credential, using=credential)
        click.echo(f"1 of 3  every node accepts the new key {credential.fingerprints[1]}")
        credential = credential.promoted()
    replace(credential)
    await rotation.tell(credential, using=credential)
    click.echo(f"2 of 3  every node uses the new key {credential.fingerprints[0]}")
    await rotation.tell(credential.settled(), using=credential)
    replace(credential.settled())
    click.echo(f"3 of 3  the old key {credential.fingerprints[1]} is accepted no more")
    for name in rotation.absent:
        click.echo(f"        {name} has not heard of it: copy {credential.path} there by hand")
    return 0


class _Rotation:
    """Tells all nodes of a cluster, beginning at one address."""

    def __init__(self, reactor: Any, address: Address, without: Sequence[str]) -> None:
        self._reactor = reactor
        self._addresses = {address: None}
        self._without = without
        self.absent: tuple[str, ...] = ()
        """Who is known, and was not there or not wanted."""

    async def look(self, using: Credential) -> tuple[NodeReport, ...]:
        """The nodes that are there and wanted."""
        cluster = Cluster(self._reactor, PinnedTls(using, self._reactor), list(self._addresses))
        try:
            report = await cluster.status()
        finally:
            cluster.close()
        unknown = set(self._without) - {each.name for each in report.nodes}
        if unknown:
            raise UserError(f"no node is called {', '.join(sorted(unknown))}: see nanoboost nodes")
        there = tuple(
            each
            for each in report.nodes
            if each.state in ("alive", "suspect") and each.name not in self._without
        )
        self._addresses |= {Address(each.host, each.port): None for each in there}
        self.absent = tuple(
            each.name for each in report.nodes if each not in there and each.state != "left"
        )
        return there

    async def tell(self, ring: Credential, using: Credential) -> None:
        """Have all nodes use `ring`, those too that come in meanwhile.  Raises `UserError`."""
        confirmed: dict[NodeId, None] = {}
        trouble = ""
        for _ in range(TRIES):
            missing = [each for each in await self.look(using) if each.node not in confirmed]
            if not missing:
                return
            for node in missing:
                try:
                    await self._tell_one(node, ring, using)
                    confirmed[node.node] = None
                except UserError as error:
                    trouble = f"{node.name}: {error}"
            if trouble:
                await deferLater(self._reactor, RETRY_S)
        raise UserError(
            f"{trouble or 'nodes keep coming in'}.  The step is not over; all nodes understand one "
            "another.  Go on with the same command, for a node that is lost: --without NAME"
        )

    async def _tell_one(self, node: NodeReport, ring: Credential, using: Credential) -> None:
        security = PinnedTls(using, self._reactor)
        address = Address(node.host, node.port)
        client = await connect(self._reactor, security, CATALOG, address, timeout_s=ANSWER_S)
        try:
            answer = await client.ask(Rekey(1, ring.pem()), timeout_s=ANSWER_S)
        finally:
            client.close()
        if isinstance(answer, RequestRefused):
            raise UserError(answer.reason)
        if not isinstance(answer, Rekeyed) or answer.fingerprints != ring.fingerprints:
            raise UserError("answers with something else: use one NanoBoost version")
