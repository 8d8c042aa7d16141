"""The way out when most of the voters are lost for good: one node goes on alone with what it has.

**Whoever recovers says that the others will not come back as they were**; no machine can know.  All
of this node's log counts as committed, this node is the only voter, and the generation goes up, so
that whoever of the lost side returns is fenced off instead of mixing two histories.
"""

from nanoboost.consensus.effects import Persist
from nanoboost.consensus.membership import Configuration
from nanoboost.consensus.messages import NOBODY_YET, EntryKind, HardState, Snapshot
from nanoboost.consensus.registry import Registry
from nanoboost.consensus.state import Stored
from nanoboost.errors import UserError
from nanoboost.ids import NodeId
from nanoboost.wire.records import RECORDS, JobEntry

TERM_STEP = 1_000_000
"""The lost side may still hold elections.  Terms name attempts, and results on the NAS: it must not
reach the terms of the recovered side."""


def jobs_of(stored: Stored) -> tuple[JobEntry, ...]:
    """The jobs as the whole log tells them, committed or not."""
    return _registry(stored).entries()


def recover(me: NodeId, stored: Stored) -> Persist:
    """What must be written, with no node running, to go on alone.  Raises `UserError` if there is
    nothing to go on with."""
    last = stored.entries[-1] if stored.entries else stored.snapshot
    if last is None or not stored.hard_state.founder:
        raise UserError("this node has nothing of the cluster: recover another one")
    hard_state = HardState(
        stored.hard_state.term + TERM_STEP,
        NOBODY_YET,
        stored.hard_state.founder,
        stored.hard_state.generation + 1,
    )
    state = _registry(stored).snapshot()
    snapshot = Snapshot(last.index, last.term, Configuration((me,)), state)
    return Persist(0, hard_state, snapshot, (), last.index + 1, last.index)


def _registry(stored: Stored) -> Registry:
    registry, base = Registry(), 0
    if stored.snapshot is not None:
        registry.restore(stored.snapshot.data)
        base = stored.snapshot.index
    for entry in stored.entries:
        if entry.index > base and entry.kind is EntryKind.RECORD:
            registry.apply(RECORDS.decode(entry.data))
    return registry
