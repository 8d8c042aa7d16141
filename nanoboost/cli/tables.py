"""The tables of `status` and `nodes`, and the logs: for eyes, or as JSON."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from nanoboost.ids import NodeId
from nanoboost.wire.messages import MissingVoter, NodeReport, StatusReport, TaskFound
from nanoboost.wire.operating import CountersReport

STYLES = {"alive": "green", "suspect": "yellow", "dead": "red", "left": "dim"}

VOTERS_TO_SURVIVE = 3
"""So many nodes survive the loss of one."""


def survival(report: StatusReport) -> str:
    """What the cluster could lose now, what is missing, and what would mend that: a line each."""
    lines = [] if report.master else [_without_master(report)]
    if report.master:
        lines.append(f"Survives the loss of: {_nodes(report.survives)}.{_advice(report)}")
    if report.missing:
        names = ", ".join(map(_missing, report.missing))
        lines.append(f"Missing voters: {len(report.missing)} of {report.voters}: {names}.")
        lines.append(_remedy(report))
    return "\n".join(lines)


def _without_master(report: StatusReport) -> str:
    if report.lacks:
        return (
            "No master: more than half of the voters are missing.  What runs is finished and kept; "
            "nothing new starts."
        )
    if not report.voters:
        return "No master is known to this node, which has no copy of the log: ask another one."
    return "No master: an election is running."


def _advice(report: StatusReport) -> str:
    if report.survives or report.missing:
        return ""
    alive = sum(node.state == "alive" for node in report.nodes)
    if alive >= VOTERS_TO_SURVIVE:
        return "  There are enough: they become voters in a moment."
    return "  Three nodes survive the loss of any one."


def _missing(voter: MissingVoter) -> str:
    name = voter.name or f"node {voter.node}"
    gone = "since before this node started" if voter.gone_s < 0 else f"for {_span(voter.gone_s)}"
    return f"{name} ({gone})"


def _remedy(report: StatusReport) -> str:
    """What would fix it."""
    if report.lacks:
        which = "it" if len(report.missing) == 1 else f"{report.lacks} of them"
        names = {node.node: node.name for node in report.nodes}
        return (
            f"Start {which} again (nanoboost up).  If that can never be: stop the node that knows "
            "most, nanoboost recover there, then start it.\n"
            f"The log of {names.get(report.node, 'this node')} ends in term {report.log_term} at "
            f"entry {report.log_index}; a later term, then a later entry, knows more."
        )
    those = "it" if len(report.missing) == 1 else "them"
    stands_by = any(node.part != "voter" and node.state == "alive" for node in report.nodes)
    other = (
        "or wait: another node takes the place of whoever stays away"
        if stands_by
        else "or add a node (nanoboost up --join): it takes the place of whoever stays away"
    )
    return f"Start {those} again (nanoboost up), {other}."


def _nodes(count: int) -> str:
    return "1 node" if count == 1 else f"{count} nodes"


def _span(seconds: float) -> str:
    """A time as people say it."""
    for unit_s, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * unit_s:
            return f"{seconds / unit_s:.0f} {unit}"
    return f"{seconds:.0f} s"


def show_status(report: StatusReport, *, as_json: bool) -> None:
    """The cluster in one line, its jobs in a table."""
    if as_json:
        click.echo(json.dumps(_plain(report)))
        return
    names = {node.node: node.name for node in report.nodes}
    alive = sum(node.state == "alive" for node in report.nodes)
    master = names.get(report.master, "none")
    click.echo(f"cluster {report.cluster}   {_nodes(alive)}   master {master} (term {report.term})")
    click.echo(survival(report))
    for node in report.nodes:
        if node.note:
            click.echo(f"{node.name}: {node.note}")
    if not report.jobs:
        click.echo("no jobs")
        return
    table = _table("job", "state", "done", "graph")
    for job in report.jobs:
        table.add_row(Text(job.job), job.state.value, f"{job.done}/{job.total}", Text(job.graph))
    Console().print(table)


def show_counters(report: CountersReport, names: Mapping[str, str], *, as_json: bool) -> None:
    """All that a node has counted; `names` are what people call the nodes."""
    if as_json:
        measures = {measure.name: measure.value for measure in report.measures}
        click.echo(json.dumps({"node": report.node, "measures": measures}))
        return
    click.echo(f"counted by {names.get(report.node, report.node)}, since its start")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    for measure in report.measures:
        words = [names.get(word, word) for word in measure.name.split(".")]
        table.add_row(Text(".".join(words)), f"{measure.value:.6g}")
    Console().print(table)


def show_nodes(report: StatusReport, *, as_json: bool) -> None:
    """One row a machine."""
    if as_json:
        click.echo(json.dumps(_plain(report.nodes)))
        return
    Console().print(nodes_table(report))
    click.echo(survival(report))


def names(report: StatusReport) -> dict[NodeId, str]:
    """What to call each node: its name, with the first digits of its id where two have the same."""
    count = Counter(each.name for each in report.nodes)
    return {
        each.node: each.name if count[each.name] == 1 else f"{each.name}~{each.node[:4]}"
        for each in report.nodes
    }


def nodes_table(report: StatusReport) -> Table:
    """One row a machine."""
    called = names(report)
    table = _table("node", "address", "state", "part", "slots", "speed", "labels", "")
    for node in sorted(report.nodes, key=lambda each: called[each.node]):
        table.add_row(
            Text(called[node.node]),
            f"{node.host}:{node.port}",
            Text(node.state, style=STYLES.get(node.state, "")),
            _part(node, report),
            "" if node.slots < 0 else f"{node.busy}/{node.slots}",
            f"{node.speed:.2f}",
            Text(" ".join(node.labels)),
            Text(node.note),
        )
    return table


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
