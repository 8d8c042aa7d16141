"""What a node's consensus has done, as facts for whoever checks it afterwards.

A core around the core: the same `step`, and one record (plain JSON) for each step in which anything
was written, became durable, was committed, applied, promised or read.  The checkers of the unit
tests, of the simulator and of real runs (`simulations/checkers/raft.py`) read the same records.
**What leaves the core is told as it leaves it; nothing is decided here**, and a record is told
before the effects of its step are performed.
"""

import struct
from collections.abc import Callable, Sequence
from typing import Any
from zlib import crc32

from nanoboost.consensus.effects import (
    Effect,
    Event,
    Persist,
    Persisted,
    ReadAsked,
    ReadReady,
    Send,
)
from nanoboost.consensus.membership import Configuration
from nanoboost.consensus.messages import (
    Appended,
    Entry,
    EntryKind,
    Message,
    RequestVote,
    Snapshot,
    Vote,
)
from nanoboost.consensus.raft import Raft
from nanoboost.consensus.state import Role, State, Stored
from nanoboost.core import Woke
from nanoboost.ids import NodeId

Facts = dict[str, Any]
View = tuple[int, int, bool, int, Configuration]


class Chronicle:
    """One node's core, and `tell(facts)` for each step in which something happened.

    The facts: `begins` with what was stored; then `writes` (a `Persist`), `synced` (its token),
    `commit`, `applied`, `leads`, `effective` where they are new; `says` what promises something or
    asks for votes; `asked` and `read` the tickets of reads; of a leader that writes, `open` bytes
    and messages in `flight`.
    """

    def __init__(self, raft: Raft, stored: Stored, tell: Callable[[Facts], None]) -> None:
        self._raft = raft
        self._tell = tell
        self._seen: View | None = None
        tell({"begins": beginning(raft.state.me, stored)})

    def step(self, now: float, event: Event | Woke) -> tuple[Effect, ...]:
        """Take one event; see `nanoboost.core`."""
        effects = self._raft.step(now, event)
        was, self._seen = self._seen, view(self._raft.state)
        facts = facts_of(self._raft.state, was, self._seen, event, effects)
        if facts:
            self._tell(facts)
        return effects

    def deadline(self) -> float | None:
        """When to be woken next."""
        return self._raft.deadline()


def view(state: State) -> View:
    """What of a node's state is told when it is another."""
    log, membership = state.log, state.membership
    return (
        log.commit,
        log.applied,
        state.is_leader,
        membership.effective_index,
        membership.effective,
    )


def facts_of(
    state: State, was: View | None, now: View, event: object, effects: Sequence[Effect]
) -> Facts:
    """What a step has done; empty if nothing that matters."""
    facts: Facts = {}
    kind = type(event)
    if kind is Persisted:
        facts["synced"] = event.token  # type: ignore[attr-defined]
    elif kind is ReadAsked:
        facts["asked"] = event.ticket  # type: ignore[attr-defined]
    for effect in effects:
        if isinstance(effect, Send):
            said = _promise(state, effect.to, effect.message)
            if said is not None:
                facts.setdefault("says", []).append(said)
        elif isinstance(effect, Persist):
            facts["writes"] = written(effect)
            if state.is_leader:
                facts["open"] = state.log.bytes_to_commit
                flights = (len(each.inflight) for each in state.progress.values())
                facts["flight"] = max(flights, default=0)
        elif isinstance(effect, ReadReady):
            facts.setdefault("read", []).append(effect.ticket)
    if now != was:
        commit, applied, leads, index, configuration = now
        if was is None or commit != was[0]:
            facts["commit"] = commit
        if was is None or applied != was[1]:
            facts["applied"] = applied
        if leads != (was is not None and was[2]):
            facts["leads"] = state.term if leads else 0
        if was is None or (index, configuration) != was[3:]:
            facts["effective"] = [index, *members(configuration)]
    return facts


def _promise(state: State, to: NodeId, message: Message) -> list[str | int] | None:
    """[what, to whom, term, index]: a vote, a request for one, entries acknowledged."""
    if isinstance(message, Appended):
        return ["has", to, message.term, message.index]
    if isinstance(message, Vote) and message.is_granted:
        return ["would vote" if message.is_pre else "votes", to, message.term, 0]
    if isinstance(message, RequestVote) and not message.is_pre:
        asks = "asks as told" if message.is_transfer else "asks"
        if state.role is not Role.CANDIDATE:
            asks = "asks late"  # the candidacy is over: perhaps so is what its log was then
        return [asks, to, message.term, message.last_index]
    return None


# --- what is written, in plain JSON --------------------------------------------------------------


def beginning(me: NodeId, stored: Stored) -> Facts:
    """What a node has when it starts.  `digest` is that of all stored entries."""
    hard_state, entries = stored.hard_state, stored.entries
    digest = 0
    for entry in entries:
        digest = chained(digest, entry.term, crc32(entry.data))
    return {
        "me": me,
        "term": hard_state.term,
        "vote": hard_state.vote,
        "log": [hard_state.founder, hard_state.generation],
        "snapshot": _snapshot(stored.snapshot),
        "first": entries[0].index if entries else 0,
        "last": [entries[-1].index, entries[-1].term] if entries else [0, 0],
        "digest": digest,
        "configurations": _configurations(entries),
    }


def written(persist: Persist) -> Facts:
    """A `Persist`; entries as text: `3:` and the digests of those of term 3, 8 digits each, ..."""
    facts: Facts = {"token": persist.token, "first": persist.first, "last": persist.last}
    hard_state, entries = persist.hard_state, persist.entries
    if hard_state is not None:
        facts["term"], facts["vote"] = hard_state.term, hard_state.vote
        facts["log"] = [hard_state.founder, hard_state.generation]
    if persist.snapshot is not None:
        facts["snapshot"] = _snapshot(persist.snapshot)
    if entries:
        facts["from"], facts["entries"] = entries[0].index, _digests(entries)
        configurations = _configurations(entries)
        if configurations:
            facts["configurations"] = configurations
    return facts


def _digests(entries: Sequence[Entry]) -> str:
    first, last = entries[0].term, entries[-1].term
    if first == last:  # nearly always, and there may be many
        digests = [crc32(entry.data) for entry in entries]
        return f"{first}:{struct.pack(f'>{len(digests)}I', *digests).hex()}"
    rest = [entry for entry in entries if entry.term != first]
    return f"{_digests(entries[: -len(rest)])} {_digests(rest)}"


def chained(digest: int, entry_term: int, entry_digest: int) -> int:
    """The digest of some entries and the one that follows."""
    return crc32(b"%d %d" % (entry_term, entry_digest), digest)


def members(configuration: Configuration) -> list[list[NodeId]]:
    """Voters, outgoing voters, learners."""
    return [
        list(configuration.voters),
        list(configuration.outgoing),
        list(configuration.learners),
    ]


def _snapshot(snapshot: Snapshot | None) -> list[Any]:
    """[index, term, digest of the state, voters, outgoing, learners]; [] for none."""
    if snapshot is None:
        return []
    state = crc32(snapshot.data)
    return [snapshot.index, snapshot.term, state, *members(snapshot.configuration)]


def _configurations(entries: Sequence[Entry]) -> list[list[Any]]:
    """[index, voters, outgoing, learners] of each that is among the entries."""
    return [
        [entry.index, *members(Configuration.decode(entry.data))]
        for entry in entries
        if entry.kind is EntryKind.CONFIGURATION
    ]
