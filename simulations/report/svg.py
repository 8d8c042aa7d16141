"""A run as a drawing: the lanes of the whole run, and a Lamport diagram of its last messages.

**Drawn from the journal's records, the deeds and the trace, nothing else**, so the same run gives
the same file.
"""

import re
from collections.abc import Iterator
from html import escape

from attrs import frozen

from simulations.kernel.journal import Record
from simulations.kernel.world import MS, SECOND
from simulations.stage.scenario import Result

WIDTH, LEFT, LANE = 1200, 90, 34
LAST_NS = 500 * MS
"""How much of the end is shown message by message."""
MESSAGES_MAX = 400
COLOURS = {"DONE": "#4c9f70", "FAILED": "#d1495b", "CRASHED": "#d1495b", "": "#c9c9c9"}
_PACKET = re.compile(r"(tcp|udp) (\S+?)>(\S+) (?:(\w+) )?sent (\d+) ")
_STYLE = (
    "text{font:12px sans-serif}.small{font-size:10px}.master{fill:#e0b13c}.down{fill:#555}"
    ".member{fill:#dfe6ee}.deed{fill:#d1495b;opacity:.18}.message{stroke:#3567a8;stroke-width:.7}"
    ".datagram{stroke:#3f9a68;stroke-width:.7;stroke-dasharray:3 2}.axis{stroke:#999}"
)


@frozen
class _Scale:
    """Virtual time to the horizontal place."""

    begin: int
    end: int

    def __call__(self, at: int) -> float:
        span = max(1, self.end - self.begin)
        return LEFT + (WIDTH - LEFT - 50) * (min(max(at, self.begin), self.end) - self.begin) / span


def drawn(result: Result) -> str:
    """The SVG.  (Messages are there if the run has kept its trace.)"""
    nodes = result.stage.lab.model.nodes
    top = 40
    whole = [*_lanes(result, _Scale(0, result.end), top)]
    second = top + LANE * len(nodes) + 60
    last = [*_lamport(result, _Scale(max(0, result.end - LAST_NS), result.end), second)]
    height = second + LANE * (len(nodes) + 2) + 20
    stage = result.stage
    verdict = str(stage.judge.violation or "; ".join(stage.complaints) or "passed")
    title = f"{stage.scenario.name}, seed {result.seed}, trace {result.trace}: {verdict}"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}">',
            f"<style>{_STYLE}</style>",
            _text(10, 20, title[:180]),
            *whole,
            *last,
            "</svg>",
            "",
        ]
    )


def _text(x: float, y: float, text: str, css: str = "") -> str:
    kind = f' class="{css}"' if css else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{kind}>{escape(text)}</text>'


def _bar(x: float, right: float, y: float, height: float, kind: str, tip: str) -> str:
    width = max(0.6, right - x)
    look = f'fill="{kind}"' if kind.startswith("#") else f'class="{kind}"'
    shape = f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" {look}>'
    return f"{shape}<title>{escape(tip)}</title></rect>"


# --- the whole run -------------------------------------------------------------------------------


def _lanes(result: Result, scale: _Scale, top: int) -> Iterator[str]:
    lab = result.stage.lab
    nodes = lab.model.nodes
    bottom = top + LANE * len(nodes)
    for number, node in enumerate(nodes):
        y = top + LANE * number
        yield _text(10, y + 16, node)
        for begin, end, part in _parts(node, lab.records.records, result.end):
            yield _bar(scale(begin), scale(end), y + 4, 10, part, f"{node}: {part}")
        for begin, end, outcome, name in _attempts(node, lab.records.records, result.end):
            colour = COLOURS.get(outcome, COLOURS[""])
            yield _bar(scale(begin), scale(end), y + 18, 8, colour, f"{name} {outcome}")
    for deed in lab.deeds:
        yield _bar(scale(deed.at), scale(deed.until), top, bottom - top, "deed", deed.text)
    yield from _axis(scale, bottom + 14)


def _parts(node: str, records: list[Record], end: int) -> Iterator[tuple[int, int, str]]:
    """When the node was master, member, down."""
    since, part = 0, ""
    for record in records:
        now = part
        if record.event == "down" and record["node"] == node:
            now = "down"
        elif record.node == node and record.event == "listening":
            now = "member"
        elif record.node == node and record.event == "mastership":
            now = "master" if record["is_me"] else "member"
        if now != part:
            if part:
                yield since, record.at, part
            since, part = record.at, now
    if part:
        yield since, end, part


def _attempts(node: str, records: list[Record], end: int) -> Iterator[tuple[int, int, str, str]]:
    """What the node has run: from, until, outcome, name."""
    running: dict[tuple[int, str], Record] = {}
    for record in records:
        if record.node == node and record.event == "started":
            running[record["task"], record["attempt"]] = record
        elif record.node == node and record.event == "ended":
            begun = running.pop((record["task"], record["attempt"]), None)
            if begun is not None:
                yield begun.at, record.at, record["outcome"], begun["name"]
        elif record.event == "down" and record["node"] == node:
            for begun in running.values():
                yield begun.at, record.at, "", begun["name"]
            running.clear()
    for begun in running.values():
        yield begun.at, end, "", begun["name"]


def _axis(scale: _Scale, y: float) -> Iterator[str]:
    yield f'<line class="axis" x1="{LEFT}" x2="{WIDTH - 50}" y1="{y - 10}" y2="{y - 10}"/>'
    for tick in range(11):
        at = scale.begin + (scale.end - scale.begin) * tick // 10
        yield _text(scale(at), y + 4, f"{at / SECOND:.2f} s", "small")


# --- the last messages ---------------------------------------------------------------------------


def _lamport(result: Result, scale: _Scale, top: int) -> Iterator[str]:
    lab = result.stage.lab
    places = {name: top + LANE * (row + 1) for row, name in enumerate((*lab.model.nodes, "client"))}
    yield _text(10, top, f"the last {LAST_NS // MS} ms, message by message")
    for name, y in places.items():
        yield _text(10, y + 4, name)
        yield f'<line class="axis" x1="{LEFT}" x2="{WIDTH - 50}" y1="{y}" y2="{y}"/>'
    arrows = [
        (sent, at, source, target, kind, what)
        for sent, at, source, target, kind, what in _messages(lab.world.trace.lines or ())
        if at >= scale.begin and source in places and target in places and source != target
    ]
    for sent, at, source, target, kind, what in arrows[-MESSAGES_MAX:]:
        css = "message" if kind == "tcp" else "datagram"
        tip = f"{source} → {target} {what}, {(at - sent) / MS:.2f} ms"
        yield (
            f'<line class="{css}" x1="{scale(sent):.1f}" y1="{places[source]}" '
            f'x2="{scale(at):.1f}" y2="{places[target]}"><title>{escape(tip)}</title></line>'
        )
    for record in lab.records.records:
        if record.at >= scale.begin and record.node in places:
            x, y = scale(record.at), places[record.node]
            tip = f"{record.event} {record.facts}"
            circle = f'<circle cx="{x:.1f}" cy="{y}" r="2.5"><title>{escape(tip)}</title></circle>'
            yield circle
    yield from _axis(scale, top + LANE * (len(places) + 1))


def _messages(lines: list[str] | tuple[()]) -> Iterator[tuple[int, int, str, str, str, str]]:
    """What has arrived: sent at, arrived at, from, to, `tcp` or `udp`, what."""
    now = 0
    for line in lines:
        if line[:1].isdigit():
            now = int(line.partition(" ")[0])
        elif found := _PACKET.match(line):
            kind, source, target, what, sent = found.groups()
            yield int(sent), now, source, target, kind, what or "datagram"
