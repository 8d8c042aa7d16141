"""What must have happened in some run of a sweep, or the scenario does not do what it says.

**A check that never had anything to look at is no evidence**: each scenario names its marks, and a
sweep in which one was never seen is told of it.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from simulations.kernel.world import SECOND

if TYPE_CHECKING:
    from simulations.stage.scenario import Stage


def _said(event: str, **facts: object) -> "Callable[[Stage], bool]":
    def look(stage: "Stage") -> bool:
        return any(
            record.event == event and all(record[name] == value for name, value in facts.items())
            for record in stage.lab.records.records
        )

    return look


def _during_a_fault(event: str) -> "Callable[[Stage], bool]":
    def look(stage: "Stage") -> bool:
        times = [record.at for record in stage.lab.records.records if record.event == event]
        return any(fault.at < at < fault.until for fault in stage.lab.deeds for at in times)

    return look


def _count(stage: "Stage", event: str) -> int:
    return sum(record.event == event for record in stage.lab.records.records)


MARKS: "dict[str, Callable[[Stage], bool]]" = {
    "job done": _said("job", state="done"),
    "a new master": lambda stage: stage.masters.count > 1,
    "three masters": lambda stage: stage.masters.count > 2,
    "a task started again": lambda stage: stage.finished.again > 0,
    "progress during a fault": _during_a_fault("finished"),
    "a node lost in the middle": lambda stage: any(
        record.event == "down" and any(each.at < record.at for each in stage.submissions)
        for record in stage.lab.records.records
    ),
    "a snapshot installed": lambda stage: any(
        life.node.consensus.counters.snapshots_installed for life in stage.lab.lives.values()
    ),
    "no master for 3 s": lambda stage: stage.longest_without_master_ns > 3 * SECOND,
    "other voters": lambda stage: (
        len({each["voters"] for each in stage.lab.records.records if each.event == "voters"}) > 2
    ),
    "a node joined": lambda stage: _count(stage, "listening") > len(stage.lab.model.nodes),
    "a node left": _said("left"),
    "somebody was found": _said("found"),
    "a disk failed": _said("disk_failed"),
    "a disk damaged": _said("unusable"),
    "a disk full": _said("disk_full"),
    "a machine unfit": _said("done", outcome="UNFIT"),
    "a result repeated": _said("repeated"),
    "a zombie wrote": _said("zombie"),
    "user code went wrong": _said("misdeed"),
    "a timeout": _said("ended", outcome="FAILED"),
    "a job failed": _said("job", state="failed"),
    "a job cancelled": _said("job", state="cancelled"),
}
"""How each mark is seen at the end of a run."""
