"""The tables of `status` and `nodes`, and the logs: for eyes, or as JSON."""

import json
from pathlib import Path
from typing import Any

import attrs
import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from nanoboost.wire.messages import NodeReport, StatusReport, TaskFound


def survival(report: StatusReport) -> str:
    """What the cluster could lose now, in one sentence."""
    if not report.master:
        return "No master: more than half of the voters are missing, or an election is running."
    if report.survives == 0:
        return "Survives the loss of: 0.  Three nodes survive the loss of any one."
    return f"Survives the loss of: {report.survives}, any of them."


def show_status(report: StatusReport, *, as_json: bool) -> None:
    """The cluster in one line, its jobs in a table."""
    if as_json:
        click.echo(json.dumps(_plain(report)))
        return
    names = {node.node: node.name for node in report.nodes}
    alive = sum(node.state == "alive" for node in report.nodes)
    master = names.get(report.master, "none")
    nodes = f"{alive} node" if alive == 1 else f"{alive} nodes"
    click.echo(f"cluster {report.cluster}   {nodes}   master {master} (term {report.term})")
    click.echo(survival(report))
    if not report.jobs:
        click.echo("no jobs")
        return
    table = _table("job", "state", "done", "graph")
    for job in report.jobs:
        table.add_row(Text(job.job), job.state.value, f"{job.done}/{job.total}", Text(job.graph))
    Console().print(table)


def show_nodes(report: StatusReport, *, as_json: bool) -> None:
    """One row a machine."""
    if as_json:
        click.echo(json.dumps(_plain(report.nodes)))
        return
    table = _table("node", "address", "state", "part", "slots", "speed", "labels", "")
    for node in sorted(report.nodes, key=lambda each: each.name):
        table.add_row(
            Text(node.name),
            f"{node.host}:{node.port}",
            node.state,
            _part(node, report),
            "" if node.slots < 0 else f"{node.busy}/{node.slots}",
            f"{node.speed:.2f}",
            Text(" ".join(node.labels)),
            Text(node.note),
        )
    Console().print(table)
    click.echo(survival(report))


def show_logs(nas_dir: Path, task: str, found: TaskFound) -> None:
    """The logs of all attempts of a task, oldest first."""
    if not found.attempts:
        click.echo(f"{task} is {found.state}: no attempt has run yet")
    for attempt in found.attempts:
        click.echo(f"--- {task} attempt {attempt.attempt} on {attempt.node or 'an unknown node'}")
        try:
            click.echo((nas_dir / attempt.log).read_text(errors="replace"), nl=False)
        except OSError as error:
            click.echo(f"    ({attempt.log}: {error.strerror})")
        if attempt.error:
            click.echo(f"--- {attempt.error}")


def _part(node: NodeReport, report: StatusReport) -> str:
    return f"master, {node.part}" if node.node == report.master else node.part


def _table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in titles:
        table.add_column(title)
    return table


def _plain(value: Any) -> Any:
    """What `json` can write: classes as objects, enums by value."""
    if attrs.has(type(value)):
        return {
            field.name: _plain(getattr(value, field.name)) for field in attrs.fields(type(value))
        }
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return getattr(value, "value", value)
