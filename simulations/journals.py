"""Holds what real nodes have written against the invariants: `python -m simulations.journals DIR`.

Each DIR is a node's state directory, or has such in it.  The records of all of them (`raft.jsonl`,
`journal.jsonl`) are put in the order in which they happened and shown to the same checkers that
judge the simulator's runs.  Then what lies on the disks of nodes that do not run is compared with
what the records say must lie there, and with `--nas` each frontier with its plan.

**What cannot be seen is said, never assumed**: how often each invariant was looked at, and what of
it a journal does not show.  The exit status is 1 if one is broken.
"""

import argparse
import heapq
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from attrs import define, field

from nanoboost.consensus.chronicle import beginning
from nanoboost.consensus.recovery import jobs_of
from nanoboost.consensus.store import decoded
from nanoboost.errors import NanoBoostError
from nanoboost.identity import NODE_ID_KEY
from nanoboost.ids import NodeId
from nanoboost.nas.layout import plan_path
from nanoboost.plan import decode_plan
from nanoboost.wire.records import JobEntry
from nanoboost.world.journal import JOURNAL, RAFT_JOURNAL, Tail
from nanoboost.world.real import is_in_use
from nanoboost.world.store import read_pairs
from simulations.checkers.frontiers import AttemptsAreUnique, FinishedIsForEver, must_be_closed
from simulations.checkers.judge import Broken, Checker
from simulations.checkers.masters import NobodyObeysAnOldMaster, OneMasterATerm
from simulations.checkers.raft import INVARIANTS, RaftHolds
from simulations.kernel.journal import Record
from simulations.kernel.world import SECOND

ONE_CLOCK_S = 1.0
"""Monotonic clocks that agree with the wall so well are one: the nodes share a machine."""
UNSEEN = {
    "I1": "votes of nodes whose journals are not given",
    "I6": "what lies on a disk while its node runs: a write is durable when its node says so",
    "I8": "the state between two digests (each snapshot, and every 1024th entry)",
    "I9": "dependencies, unless --nas is given",
    "I13": "memory other than of uncommitted entries and messages in flight",
    "I14": "whether rest came in time, unless --rested says that the end should be at rest",
}
"""What of an invariant no journal shows."""
Line = dict[str, Any]


@define(eq=False)
class Journals:
    """The checkers, and what they have been shown.  `feed` as often as there is more."""

    raft: RaftHolds = field(factory=RaftHolds)
    finished: FinishedIsForEver = field(factory=FinishedIsForEver)
    names: dict[NodeId, str] = field(factory=dict)
    records: int = 0
    closed: int = 0
    """Frontiers that were held against their plans."""
    broken: list[str] = field(factory=list)
    _others: list[Checker] = field(init=False)

    def __attrs_post_init__(self) -> None:
        others = OneMasterATerm(self.names), NobodyObeysAnOldMaster(), AttemptsAreUnique()
        self._others = [self.finished, *others]

    def feed(self, lines: Iterable[Line]) -> None:
        """More records, in the order in which they happened; nothing more is looked at once one is
        broken."""
        for line in lines:
            if self.broken:
                return
            self.records += 1
            record = Record(int(line["monotonic"] * SECOND), line["at"], line["event"], line)
            if "begins" in line:
                self.names[line["begins"]["me"]] = record.node
            for checker in (self.raft, *self._others):
                try:
                    checker.saw(record)
                except Broken as broken:
                    when = f"{record.node} at {line['monotonic']:.6f} s"
                    claim = broken.claim or checker.claim
                    self.broken.append(f"{when}: {claim}: {broken}")

    def disk(self, state_dir: Path, node: str, nas: Path | None) -> str:
        """Compare the disk of a node that does not run with its records, its frontiers with their
        plans; return what was looked at."""
        if not (state_dir / "node.db").exists() or is_in_use(str(state_dir)):
            return "not looked at: its node runs"
        try:
            pairs = dict(read_pairs(str(state_dir / "node.db"), b""))
            me, stored = NodeId(pairs[NODE_ID_KEY].decode()), decoded(pairs)
            jobs = jobs_of(stored)
            self.raft.take(node, {"begins": beginning(me, stored)})
            closed = sum(self._is_closed(job, nas) for job in jobs) if nas is not None else 0
        except (Broken, NanoBoostError) as broken:
            self.broken.append(f"the disk of {node}: {broken}")
        else:
            self.closed += closed
            return f"{len(stored.entries)} entries, {len(jobs)} jobs, {closed} held against plans"
        return "broken"

    @staticmethod
    def _is_closed(job: JobEntry, nas: Path) -> bool:
        path = nas / plan_path(job.submitted.plan)
        if not path.exists():
            return False  # the job has ended and is cleaned away
        must_be_closed(job, decode_plan(path.read_bytes(), job.submitted.plan))
        return True

    def rest(self) -> None:
        """The faults were over, and there was time."""
        try:
            self.raft.rest()
        except Broken as broken:
            self.broken.append(f"at the end: {broken.claim}: {broken}")


class Reader:
    """Reads the journals of some nodes, again and again while they are written."""

    def __init__(self, state_dirs: Sequence[Path]) -> None:
        names = (RAFT_JOURNAL, JOURNAL)
        self._tails = [Tail(path, name=name) for path in state_dirs for name in names]
        self._kept: list[list[Line]] = [[] for _ in self._tails]

    def read(self, until: float = float("inf")) -> Iterator[Line]:
        """What happened before `until` and was not read yet, in its order.  (A record is written a
        moment after its time: say a second or two ago.)"""
        ripe = []
        for place, tail in enumerate(self._tails):
            lines = self._kept[place] + tail.read()
            count = sum(line["monotonic"] < until for line in lines)
            ripe.append(lines[:count])
            self._kept[place] = lines[count:]
        return heapq.merge(*ripe, key=lambda line: float(line["monotonic"]))

    def has_one_clock(self) -> bool:
        """Whether the times of all nodes can be compared: one machine, since its last start."""
        offsets = []
        for tail, kept in list(zip(self._tails, self._kept, strict=True))[1::2]:
            kept += tail.read()
            offsets += [line["time"] - line["monotonic"] for line in kept[:1] + kept[-1:]]
        return not offsets or max(offsets) - min(offsets) < ONE_CLOCK_S


def state_dirs(paths: Iterable[Path]) -> list[Path]:
    """The state directories that are or lie in `paths`, by name."""
    found = []
    for path in paths:
        inside = (path, *sorted(path.iterdir())) if path.is_dir() else ()
        dirs = [each for each in inside if (each / RAFT_JOURNAL).exists()]
        if not dirs:
            raise SystemExit(f"{path}: no {RAFT_JOURNAL} there: give a node's state directory")
        found += dirs
    return found


def told(journals: Journals) -> Iterator[str]:
    """How often each invariant was looked at, and what cannot be seen."""
    raft = journals.raft
    yield f"{journals.records} records of {len(raft.nodes)} nodes"
    for name, claim in INVARIANTS.items():
        count, skipped = raft.checked.get(name, 0), raft.skipped.get(name, 0)
        if name == "I9":
            count = len(journals.finished.winners) + journals.closed
        missing = f"; {skipped} times not, for want of a node's records" if skipped else ""
        yield f"{name:>4}  checked {count} times{missing}: {claim}"
        if name in UNSEEN:
            yield f"      not visible in journals: {UNSEEN[name]}"


def judged(
    paths: Iterable[Path], nas: Path | None = None, *, rested: bool = False
) -> tuple[Journals, list[str]]:
    """Hold the journals, and then the disks, of all nodes in `paths` against the invariants; what
    was found at the disks."""
    found = state_dirs(paths)
    reader, journals = Reader(found), Journals()
    journals.raft.is_ordered = reader.has_one_clock()
    journals.feed(reader.read())
    if rested and not journals.broken:
        journals.rest()
    names = {node.name: place for place, node in journals.raft.nodes.items()}
    disks = found if not journals.broken else []
    lines = [f"disk of {path.name}: {disk_of(journals, path, names, nas)}" for path in disks]
    return journals, lines


def main() -> int:
    """Check, and tell."""
    parser = argparse.ArgumentParser(
        prog="python -m simulations.journals", description="hold journals against the invariants"
    )
    parser.add_argument("dirs", nargs="+", type=Path, metavar="DIR")
    parser.add_argument("--nas", type=Path, help="the NAS, for the plans of the jobs")
    parser.add_argument("--rested", action="store_true", help="at the end all should be at rest")
    options = parser.parse_args()
    journals, disks = judged(options.dirs, options.nas, rested=options.rested)
    if not journals.raft.is_ordered:
        print("the nodes' clocks cannot be compared: what needs an order between nodes is left out")
    for line in (*told(journals), *disks):
        print(line)
    for line in journals.broken:
        print(f"BROKEN  {line}")
    return 1 if journals.broken else 0


def disk_of(journals: Journals, path: Path, names: dict[NodeId, str], nas: Path | None) -> str:
    """Look at a node's disk, if its records tell which node it is."""
    try:
        pairs = dict(read_pairs(str(path / "node.db"), NODE_ID_KEY))
        me = NodeId(pairs[NODE_ID_KEY].decode())
    except (KeyError, NanoBoostError) as error:
        return f"not looked at: {error}"
    return journals.disk(path, names[me], nas) if me in names else "not in the journals"


if __name__ == "__main__":
    sys.exit(main())
