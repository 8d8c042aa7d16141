"""A run as lanes over time: who was master when, what was done to them, how far the job was.

**Drawn from the journal's records and the list of faults, nothing else.**
"""

from collections.abc import Sequence

from attrs import frozen

from nanoboost.ids import NodeId
from simulations.kernel.journal import Record
from simulations.kernel.world import SECOND

CELLS = 72
MEMBER, MASTER, DOWN, UNBORN = "·", "M", "#", " "


@frozen
class Fault:
    """Something that was done to the cluster, from `at` to `until`."""

    at: int
    until: int
    text: str


def _cell(at: int, end: int) -> int:
    return min(CELLS - 1, at * CELLS // max(1, end))


def lanes(
    nodes: Sequence[str],
    records: Sequence[Record],
    faults: Sequence[Fault],
    tasks: int,
    end: int,
) -> list[str]:
    """The picture, as lines."""
    ids = {record["node"]: record.node for record in records if record.event == "listening"}
    lines = [f"          {_scale(end)}"]
    lines += [f"  {node:<8}{_lane(node, records, ids, end)}" for node in nodes]
    lines += [f"  {'fault':<8}{line}" for line in _faults(faults, end)]
    lines.append(f"  {'done %':<8}{_done(records, tasks, end)}")
    lines.append("          · member  M master (each by its own belief)  # down")
    return lines


def _scale(end: int) -> str:
    line = [" "] * (CELLS + 8)
    for tick in range(6):
        text = f"{end * tick / 6 / SECOND:.0f}s"
        start = CELLS * tick // 6
        line[start : start + len(text)] = list(text)
    return "".join(line).rstrip()


def _lane(node: str, records: Sequence[Record], ids: dict[NodeId, str], end: int) -> str:
    line = [UNBORN] * CELLS
    state, since = UNBORN, 0
    for record in records:
        if record.event == "down":
            is_down = record["node"] == node
        elif record.node == node and record.event in ("mastership", "listening"):
            is_down = False
        else:
            continue
        if record.event == "down" and not is_down:
            continue
        _fill(line, since, record.at, end, state)
        since = record.at
        if is_down:
            state = DOWN
        elif record.event == "mastership" and record["is_me"]:
            state = MASTER
        elif record.event == "mastership" or state in (UNBORN, DOWN):
            state = MEMBER
    _fill(line, since, end, end, state)
    return "".join(line)


def _fill(line: list[str], since: int, until: int, end: int, state: str) -> None:
    for cell in range(_cell(since, end), _cell(until, end) + 1):
        if state == MASTER or line[cell] != MASTER:  # a short reign must be seen
            line[cell] = state


def _faults(faults: Sequence[Fault], end: int) -> list[str]:
    """As many lines as it takes that no two faults hide one another."""
    lines: list[list[str]] = []
    for fault in faults:
        first, last = _cell(fault.at, end), _cell(fault.until, end)
        line = next((line for line in lines if not "".join(line[first : last + 1]).strip()), None)
        if line is None:
            line = [" "] * CELLS
            lines.append(line)
        room = max(0, last - first - 1)
        text = f" {fault.text} " if len(fault.text) + 2 <= room else fault.text[:room]
        line[first : last + 1] = list(f"├{text.center(room, '─')}┤")[: last - first + 1]
    return ["".join(line).rstrip() for line in lines]


def _done(records: Sequence[Record], tasks: int, end: int) -> str:
    line = [" "] * (CELLS + 4)
    finished: dict[tuple[str, int], int] = {}
    for record in records:
        if record.event == "finished":
            finished.setdefault((record["job"], record["task"]), record.at)
    for tick in range(0, CELLS, 9):
        upto = end * (tick + 1) // CELLS
        share = sum(at <= upto for at in finished.values()) * 100 // tasks
        text = str(share)
        line[tick : tick + len(text)] = list(text)
    text = str(len(finished) * 100 // tasks)
    line[CELLS - 1 : CELLS - 1 + len(text)] = list(text)
    return "".join(line).rstrip()
