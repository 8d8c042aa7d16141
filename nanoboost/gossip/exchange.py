"""Tables exchanged over TCP: with whom, when, and of two tables only what differs.

Whoever asks sends its own row and the prints of all that it holds (8 bytes each).  The answer
brings the rows that it has not, and names the prints that the other one has not; those rows follow
in a second question.  **Two tables that differ in k rows are the same after k rows, whatever their
size.**
"""

from random import Random

from attrs import frozen

from nanoboost.config import GossipTiming
from nanoboost.gossip.members import Member, Rumor
from nanoboost.gossip.messages import PRINT_BYTES, Sync, Synced
from nanoboost.gossip.sync import JoinClock, SyncClock
from nanoboost.gossip.view import View
from nanoboost.gossip.voice import Voice
from nanoboost.ids import Address, NodeId

SYNC_TIMEOUT_S = 5.0


@frozen
class _Asked:
    address: Address
    is_second: bool


def _split(prints: bytes) -> list[bytes]:
    return [prints[i : i + PRINT_BYTES] for i in range(0, len(prints), PRINT_BYTES)]


class Exchange:
    """Asks others for their tables, and answers them."""

    def __init__(
        self, view: View, voice: Voice, timing: GossipTiming, rng: Random, now: float
    ) -> None:
        self._view = view
        self._voice = voice
        self._timing = timing
        self._rng = rng
        self._sync = SyncClock(timing, rng, now)
        self._join = JoinClock(rng)
        self._asked: dict[int, _Asked] = {}

    # --- when ------------------------------------------------------------------------------------

    def deadline(self) -> float:
        """When `run` has something to do."""
        due = self._join.due
        return self._sync.due if due is None else min(due, self._sync.due)

    def run(self, now: float) -> None:
        """Ask whoever is to be asked by now."""
        if self._join.due is not None and now >= self._join.due:
            for address in self._join.asked(now, self._known()):
                self.ask(address)
        if now >= self._sync.due:
            self._regular(now)

    def round(self, now: float) -> None:
        """A probe round begins: have digests differed for long?  Is nobody left?"""
        partner = self._sync.round(now)
        member = None if partner is None else self._view.live_member(partner)
        if member is not None:
            self.ask(member.address)
        if not self._view.ring.is_empty and not self._view.is_isolated:
            self._join.found()
        elif self._timing.own_rules:
            self._join.again(now)

    def _regular(self, now: float) -> None:
        """The regular exchange; and a look at where somebody was who is forgotten by now: the other
        half of a network that has been broken for longer than the dead are remembered."""
        self._sync.passed(now, self._view.live_count)
        others = [member.address for member in self._view.others()]
        if others:
            self.ask(self._rng.choice(others))
            lost = self._join.lost(self._known()) if self._timing.own_rules else None
            if lost is not None:
                self.ask(lost)

    def _known(self) -> set[Address]:
        """Where we need not look: others that we know, and ourselves."""
        return {member.address for member in self._view.others()} | {self._own_address()}

    def _own_address(self) -> Address:
        told = self._view.own.description
        assert told is not None
        return told.address

    # --- what happens ----------------------------------------------------------------------------

    def join(self, now: float, seeds: tuple[Address, ...], peers: tuple[Address, ...]) -> None:
        """Look for the cluster, from now on."""
        self._join.begin(now, seeds, peers)

    def forgotten(self, member: Member) -> None:
        """`member` was held dead, and is remembered no more: it may be worth a look later."""
        self._join.remember(member.address)

    def seen(self, node: NodeId, digest: bytes) -> None:
        """`node` has `digest`."""
        self._sync.seen(node, digest == self._view.digest)

    def risen(self, now: float, member: Member) -> None:
        """`member`, held dead or gone, is there again: it knows other things than we."""
        if self._sync.wanted(now, self._view.live_count):
            self.ask(member.address)

    # --- questions and answers -------------------------------------------------------------------

    def ask(self, address: Address) -> None:
        """Exchange tables with whoever is at `address`.  Whoever has not answered yet is not asked
        again: it may be asked by a crowd."""
        if address != self._own_address():
            self._ask(address, (), is_second=False)

    def _ask(self, address: Address, rows: tuple[Rumor, ...], *, is_second: bool) -> None:
        own = self._view.own
        if own.state.is_live and all(each.address != address for each in self._asked.values()):
            question = Sync((own.claim(own.node), *rows), b"".join(self._view.prints))
            ticket = self._voice.ask(address, question, SYNC_TIMEOUT_S)
            self._asked[ticket] = _Asked(address, is_second)

    def answer(self, now: float, question: Sync) -> Synced:
        """What a member gets for `question`, whose rows have been taken."""
        theirs = dict.fromkeys(_split(question.prints))
        ours = dict.fromkeys(self._view.prints)
        rows = self._view.rows(now, ours.keys() - theirs.keys())
        return Synced(rows, b"".join(each for each in theirs if each not in ours))

    def answered(self, now: float, ticket: int, answer: Synced) -> None:
        """The table, or what of it we have not, has come."""
        asked = self._asked.pop(ticket, None)
        self._view.heard(now)
        is_newcomer = self._view.ring.is_empty
        self._view.merge(now, answer.rows)
        if is_newcomer and self._timing.own_rules:
            # All others know all that already: it has nobody to tell of but itself.
            for row in answer.rows:
                if row.node != self._view.own.node:
                    self._view.rumors.forget(row.node)
        if asked is None:
            return
        self._join.answered(asked.address)
        if not self._view.ring.is_empty:
            self._join.found()
        if answer.wanted and not asked.is_second:
            rows = self._view.rows(now, set(_split(answer.wanted)))
            if rows:
                self._ask(asked.address, rows, is_second=True)

    def unanswered(self, ticket: int) -> None:
        """Nobody has answered in time."""
        self._asked.pop(ticket, None)
