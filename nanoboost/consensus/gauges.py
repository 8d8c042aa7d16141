"""How consensus stands now, in numbers: what grows and shrinks, where `counters` only grow.

**A picture of one moment, made when somebody asks**; nothing is kept for it.
"""

from collections.abc import Callable, Mapping

from attrs import frozen

from nanoboost.consensus.raft import Raft
from nanoboost.ids import NodeId, Term


@frozen
class Missing:
    """A voter that is not there: its name if it was ever known, and since when (None: unknown)."""

    node: NodeId
    name: str
    since: float | None


@frozen
class PeerGauge:
    """A member as its leader sees it now; `state` is probe, replicate or snapshot."""

    state: str
    match: int
    lag: int
    inflight: int
    heard_s: float


@frozen
class Gauges:
    """How things stand now.  `healthy` voters are there, `tolerance` of them may be lost; the
    others are `missing`, and `lacks` of them must come back before there can be a leader;
    `storage_queue` batches are on their way to the disk; `apply_lag` entries are committed and not
    applied; `busy_s` is the processor time of the reactor's thread since its start."""

    term: Term
    role: str
    leader: NodeId | None
    commit: int
    applied: int
    last: int
    last_term: Term
    apply_lag: int
    uncommitted_bytes: int
    storage_queue: int
    voters: int
    healthy: int
    tolerance: int
    lacks: int
    missing: tuple[Missing, ...]
    busy_s: float
    peers: Mapping[NodeId, PeerGauge]


def gauges(now: float, raft: Raft, name_of: Callable[[NodeId], str], busy_s: float) -> Gauges:
    """The picture of this moment."""
    state, log = raft.state, raft.state.log
    missing, spare = raft.missing(now), raft.spare(now)
    voters = [node for node in state.configuration.members if state.configuration.is_voter(node)]
    return Gauges(
        term=state.term,
        role=state.role.name.lower(),
        leader=state.leader,
        commit=log.commit,
        applied=log.applied,
        last=log.last_index,
        last_term=log.last_term,
        apply_lag=log.commit - log.applied,
        uncommitted_bytes=log.bytes_to_commit,
        storage_queue=state.durability.queue,
        voters=len(voters),
        healthy=len(voters) - len(missing),
        tolerance=max(0, spare),
        lacks=max(0, -spare),
        missing=tuple(Missing(node, name_of(node), missing[node]) for node in sorted(missing)),
        busy_s=busy_s,
        peers={
            node: PeerGauge(
                each.phase.name.lower(),
                each.match,
                log.last_index - each.match,
                len(each.inflight),
                now - each.heard_at,
            )
            for node, each in state.progress.items()
        },
    )
