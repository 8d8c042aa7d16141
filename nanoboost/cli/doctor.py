"""`nanoboost doctor`: look at the network, the nodes and this machine; say what is wrong.

Works beside a node, and on a machine that has nothing but the credential.  **It changes nothing**:
it asks the LAN, then every node that is known or has answered, over TCP and UDP.
"""

import json
import shutil
import socket
import sys
import textwrap
from collections.abc import Callable, Iterable
from typing import Any

import attrs
import click
from twisted.internet.defer import Deferred, gatherResults

from nanoboost import tap
from nanoboost.cli.cluster import ANSWER_S
from nanoboost.cli.diagnosis import Facts, Finding, Seen, diagnose
from nanoboost.cli.finding import node_address
from nanoboost.cli.lan import DIRECT, ask_lan
from nanoboost.errors import UserError
from nanoboost.gossip.beacon import CALL_S, SPREAD
from nanoboost.ids import Address, NodeId
from nanoboost.net.client import connect
from nanoboost.net.credential import Credential, load
from nanoboost.net.tls import PinnedTls
from nanoboost.runtime import Network
from nanoboost.wire.codec import Catalog
from nanoboost.wire.messages import CLIENT, SESSION, GetStatus, NodeReport, StatusReport
from nanoboost.world.host import networks

CATALOG = Catalog((*SESSION, *CLIENT))
LAN_S, DIRECT_S = 1.5, 1.0
"""How long to listen to the LAN, and for the answers of single nodes."""

STRANGERS_S = CALL_S * (1 + SPREAD)
"""Within so long a node with another credential calls out; it answers nobody that it does not
understand."""

Told = dict[Address, StatusReport | str]
"""By address, what a node said over TCP, or why it did not."""


async def examine(
    reactor: Any,
    credential: str | None,
    node: str | None,
    state: str | None,
    nas: str | None,
    tell: Callable[[Finding], None],
) -> None:
    """Tell all findings as they are made."""
    try:
        key = load(credential or tap.default_credential())
    except UserError as error:
        remedy = "the same file must lie on every machine: `scp` it from a node, then chmod 600"
        tell(Finding("credential", str(error), remedy))
        return
    pending = "a change of the key has been cut short: give `nanoboost key rotate` again"
    keys = " and ".join(key.fingerprints)
    remedy = pending if len(key.fingerprints) > 1 else ""
    tell(Finding("credential", f"cluster {key.cluster}, key {keys}", remedy))
    here = node_address(None, state)
    tell(Finding("this machine", f"node at {here}" if here else "no node runs here"))
    facts = await _facts(reactor, key, here, _numeric(node) if node else None)
    for finding in diagnose(facts):
        tell(finding)
    for seen in facts.nodes:
        if seen.address == here and seen.report is not None:
            nas = nas or seen.report.nas
    if nas is not None:
        tell(_nas(nas, key.cluster))


def _numeric(node: str) -> Address:
    """Where the user's node is, its host as a number: datagrams come from numbers."""
    address = tap.parse_address(node)
    try:
        return Address(socket.gethostbyname(address.host), address.port)
    except OSError as error:
        raise UserError(f"{address.host}: {error.strerror}; is the name right?") from None


async def _facts(
    reactor: Any, key: Credential, here: Address | None, named: Address | None
) -> Facts:
    """Ask the LAN and the nodes that are known here, then whomever those know."""
    known = [each for each in (here, named) if each is not None]
    around = [each for each in networks() if not each.is_loopback or _is_used(each, known)]
    heard = ask_lan(key, around, LAN_S)
    if not heard.replies and not known:
        click.echo(f"nobody answers; listening for {STRANGERS_S:.0f} s more", err=True)
        heard = ask_lan(key, around, STRANGERS_S, enough=lambda lan: bool(lan.strangers))
    at = dict.fromkeys((*known, *(each.here.address for each in heard.replies)))
    told = await _told(reactor, key, at)
    reports = [each for each in told.values() if isinstance(each, StatusReport)]
    members = {each.node: each for report in reports for each in report.nodes}
    for report in reports:  # whoever is the master knows best
        if report.node == report.master:
            members |= {each.node: each for each in report.nodes}
    others = [Address(each.host, each.port) for each in members.values() if each.state != "left"]
    told |= await _told(reactor, key, [each for each in others if each not in told])
    heard.replies += ask_lan(key, [], DIRECT_S, list(told)).replies
    nodes = tuple(_seen(address, told[address], members, heard.replies) for address in told)
    return Facts(key.cluster, tuple(each.address for each in networks()), here, heard, nodes)


def _is_used(network: Network, known: Iterable[Address]) -> bool:
    """Whether one of the nodes that are known listens there only."""
    return any(each.host == network.address for each in known)


async def _told(reactor: Any, key: Credential, addresses: Iterable[Address]) -> Told:
    """Ask all nodes at once how things stand."""
    where = list(addresses)
    asked = [Deferred.fromCoroutine(_status(reactor, key, each)) for each in where]
    return dict(zip(where, await gatherResults(asked), strict=True))


async def _status(reactor: Any, key: Credential, address: Address) -> StatusReport | str:
    security = PinnedTls(key, reactor)
    try:
        client = await connect(reactor, security, CATALOG, address, timeout_s=ANSWER_S)
        try:
            report = await client.ask(GetStatus(1), timeout_s=ANSWER_S)
        finally:
            client.close()
    except UserError as error:
        text = str(error).replace(f" at {address}", "")
        return text.removeprefix(f"{address} ").removeprefix(f"{address}: ")
    return report if isinstance(report, StatusReport) else "answers with something else"


def _seen(
    address: Address,
    told: StatusReport | str,
    members: dict[NodeId, NodeReport],
    replies: Iterable[Any],
) -> Seen:
    has_udp = any(each.source == address and each.way == DIRECT for each in replies)
    report = told if isinstance(told, StatusReport) else None
    held = {Address(each.host, each.port): each for each in members.values()}.get(address)
    heard = next((each.here for each in replies if each.here.address == address), None)
    own = report and members.get(report.node)
    return Seen(
        address,
        heard.name if heard else own.name if own else held.name if held else "",
        report.node if report else heard.node if heard else held.node if held else NodeId(""),
        held.state if held else "",
        told if isinstance(told, str) else "",
        has_udp,
        report,
    )


def _nas(directory: str, cluster: str) -> Finding:
    try:
        tap.check_nas(directory, cluster)
    except UserError as error:
        return Finding("NAS", str(error), "mount it here, then `nanoboost doctor` again")
    return Finding("NAS", f"{directory} is the cluster's NAS")


# --- for eyes, and for programs ------------------------------------------------------------------


def show(finding: Finding) -> None:
    """One line, or two if it is wrong."""
    mark = click.style("wrong ", fg="red", bold=True) if finding.is_wrong else "ok    "
    if finding.may_be_meant:
        mark = click.style("note  ", fg="yellow")
    click.echo(_wrapped(f"{mark}{finding.check:<13} ", finding.text))
    if finding.remedy:
        click.echo(_wrapped(f"{'':<20}{click.style('→', fg='yellow')} ", finding.remedy, 22))


def _wrapped(head: str, text: str, indent: int = 20) -> str:
    """The text after `head`, on as many lines as the terminal needs; on one line elsewhere."""
    if not sys.stdout.isatty():
        return head + text
    width = max(40, shutil.get_terminal_size().columns) - indent
    lines = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
    return head + ("\n" + " " * indent).join(lines)


def as_json(findings: Iterable[Finding]) -> str:
    """The findings as one JSON array."""
    return json.dumps([attrs.asdict(each) | {"wrong": each.is_wrong} for each in findings])
