"""`nanoboost nodes --watch`: the machines of the cluster as they come, go and change.

A table that is redrawn on a terminal, with the last changes below it; elsewhere only the changes, a
line each.  **It goes on whatever happens to the cluster**: if the node that it asks dies, it asks
another one; while none answers the last table stays, and a line says so.
"""

import json
import time
from collections import deque
from collections.abc import Iterator
from typing import Any, Protocol

import click
from attrs import define, field
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text
from twisted.internet.task import deferLater

from nanoboost.cli import tables
from nanoboost.cli.cluster import Cluster
from nanoboost.errors import UserError
from nanoboost.ids import NodeId
from nanoboost.wire.messages import NodeReport, StatusReport

LOOK_S = 1.0
CHANGES_SHOWN = 10


class Screen(Protocol):
    """What shows the machines."""

    def show(self, report: StatusReport) -> None:
        """They are as `report` says now."""

    def tell(self, at: str, node: str, change: str) -> None:
        """Something has changed at `at`; `node` is empty if it is about all of them."""

    def close(self) -> None:
        """Leave the terminal as it should be."""


def changes(before: StatusReport | None, now: StatusReport) -> Iterator[tuple[str, str]]:
    """What has changed: a node's name, and how it is now.  Nothing at the first look."""
    if before is None:
        return
    names = tables.names(now)
    known = {each.node: each for each in before.nodes}
    for node in now.nodes:
        change = _change(known.get(node.node), node)
        if change:
            yield names[node.node], change
    gone = {each.node for each in before.nodes} - {each.node for each in now.nodes}
    for old in before.nodes:
        if old.node in gone:
            yield old.name, "forgotten"
    if now.master != before.master:
        yield names.get(now.master, ""), "master" if now.master else "no master"


def _change(before: NodeReport | None, now: NodeReport) -> str:
    if before is None:
        return "joined" if now.state == "alive" else now.state
    if before.state != now.state:
        return now.state if now.state != "alive" else "alive again"
    if before.note != now.note:
        return now.note or "fit again"
    return ""


async def watch(reactor: Any, cluster: Cluster, screen: Screen) -> int:
    """Look again and again, until the user has seen enough."""
    before: StatusReport | None = None
    trouble = ""
    try:
        while True:
            at = time.strftime("%H:%M:%S")
            try:
                report = await cluster.status()
            except UserError as error:
                if str(error) != trouble:
                    screen.tell(at, "", f"{error}; asking on")
                trouble = str(error)
            else:
                for name, change in changes(before, report):
                    screen.tell(at, name, change)
                screen.show(report)
                before, trouble = report, ""
            await deferLater(reactor, LOOK_S)
    finally:
        screen.close()


@define
class LiveScreen:
    """A table that is redrawn, and the last changes."""

    _console: Console = field(factory=Console)
    _told: deque[tuple[str, str, str]] = field(
        factory=lambda: deque(maxlen=CHANGES_SHOWN), init=False
    )
    _report: StatusReport | None = field(default=None, init=False)
    _live: Live = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._live = Live(console=self._console, auto_refresh=False)
        self._live.start()

    def show(self, report: StatusReport) -> None:
        """Redraw."""
        self._report = report
        self._draw()

    def tell(self, at: str, node: str, change: str) -> None:
        """Put the change on top of the list."""
        self._told.appendleft((at, node, change))
        self._draw()

    def close(self) -> None:
        """The last table stays on the screen."""
        self._live.stop()

    def _draw(self) -> None:
        parts: list[Any] = []
        if self._report is not None:
            parts += [tables.nodes_table(self._report), Text(tables.survival(self._report))]
        if self._told:
            parts.append(Text())
        for at, node, change in self._told:
            words = [(at, "dim"), (f"  {node}" if node else "", "bold")]
            parts.append(Text.assemble(*words, (f"  {change}", tables.STYLES.get(change, ""))))
        self._live.update(Group(*parts), refresh=True)


@define
class PlainScreen:
    """A line for each change."""

    _is_first: bool = field(default=True, init=False)

    def show(self, report: StatusReport) -> None:
        """Begin with who is there."""
        if self._is_first:
            self._is_first = False
            tables.show_nodes(report, as_json=False)

    def tell(self, at: str, node: str, change: str) -> None:
        """Print it."""
        click.echo("  ".join(each for each in (at, node, change) if each))

    def close(self) -> None:
        """Nothing to restore."""


@define
class JsonScreen:
    """One JSON object for each change, for programs; the first lists who is there."""

    _is_first: bool = field(default=True, init=False)

    def show(self, report: StatusReport) -> None:
        """Begin with who is there."""
        if self._is_first:
            self._is_first = False
            states: dict[NodeId, str] = {each.node: each.state for each in report.nodes}
            click.echo(json.dumps({"event": "nodes", "states": states}))

    def tell(self, at: str, node: str, change: str) -> None:
        """Print it."""
        click.echo(json.dumps({"event": "change", "at": at, "node": node, "change": change}))

    def close(self) -> None:
        """Nothing to restore."""


def screen_for(*, as_json: bool) -> Screen:
    """The screen that fits where the output goes."""
    if as_json:
        return JsonScreen()
    console = Console()
    return LiveScreen(console) if console.is_terminal else PlainScreen()
