"""What this node believes of every member, and what follows from each new claim.

**News moves a record only as `decide` says, and every move is announced upwards once**: up,
updated, suspected, down, left.  Claims about oneself are refuted instead.
"""

from random import Random

from attrs import evolve

from nanoboost.config import GossipTiming
from nanoboost.gossip.effects import (
    Effect,
    MemberDown,
    MemberLeft,
    MemberSuspected,
    MemberUp,
    MemberUpdated,
    SaveGeneration,
)
from nanoboost.gossip.health import LocalHealth
from nanoboost.gossip.members import (
    NOBODY,
    Member,
    Meta,
    Record,
    Ring,
    Rumor,
    State,
    Table,
    Verdict,
    decide,
    refuted,
)
from nanoboost.gossip.messages import RUMOR_BYTES_MAX, STREAM_BYTES_MAX, Header, within
from nanoboost.gossip.rumors import Rumors
from nanoboost.gossip.suspicion import Suspicion, bounds
from nanoboost.ids import NodeId

ACCUSED_GAP_S = 10.0
"""A peer is told at most this often that it is held dead, or two would tell each other for ever."""
_ORDER_OF_ROWS = {State.ALIVE: 0, State.SUSPECT: 0, State.LEFT: 1, State.DEAD: 2}


class View:
    """The table, the suspicions and the rumors of one node, kept consistent with one another."""

    def __init__(self, me: Member, timing: GossipTiming, rng: Random, outbox: list[Effect]) -> None:
        self._me = me.node
        self._timing = timing
        self._rng = rng
        self._outbox = outbox
        self._table = Table()
        self._suspicion_by_node: dict[NodeId, Suspicion] = {}
        self._accusations = 0
        self._reproached_at: dict[NodeId, float] = {}
        self.ring = Ring(rng)
        self.rumors = Rumors(me.node)
        self.health = LocalHealth()
        self.risen: NodeId | None = None
        """A member that was held dead or gone and is there again: it has seen other things."""
        own = Record(me.node, me.incarnation, State.ALIVE, me.since, me.description)
        self._table.put(own)
        self.rumors.add(own.claim(me.node))

    # --- what is believed ------------------------------------------------------------------------

    @property
    def own(self) -> Record:
        """This node's own record."""
        own = self._table.get(self._me)
        assert own is not None
        return own

    @property
    def digest(self) -> bytes:
        """The table's digest."""
        return self._table.digest

    @property
    def live_count(self) -> int:
        """How many members are there, this node and the suspected included."""
        return max(1, self._table.live_count)

    def get(self, node: NodeId) -> Record | None:
        """What is held of `node`."""
        return self._table.get(node)

    def members(self) -> tuple[Member, ...]:
        """Everybody, this node and the remembered dead included, by order of acquaintance."""
        members = (record.member() for record in self._table)
        return tuple(member for member in members if member is not None)

    def others(self) -> list[Member]:
        """The live members but this one."""
        return [member for member in self._table.live() if member.node != self._me]

    def live_member(self, node: NodeId) -> Member | None:
        """`node`, if it is another one and live."""
        record = self._table.get(node)
        if node == self._me or record is None or not record.state.is_live:
            return None
        return record.member()

    def dead_member(self, node: NodeId) -> Member | None:
        """`node`, if it is held dead."""
        record = self._table.get(node)
        return record.member() if record is not None and record.state is State.DEAD else None

    def some_dead(self) -> Member | None:
        """One of the remembered dead, at random."""
        dead = [member for member in self.members() if member.state is State.DEAD]
        return self._rng.choice(dead) if dead else None

    def rows(self) -> tuple[Rumor, ...]:
        """The whole table, live members first, within what one frame carries."""
        records = sorted(self._table, key=lambda record: _ORDER_OF_ROWS[record.state])
        rows = [record.claim(self._me, described=True) for record in records]
        return within(rows, STREAM_BYTES_MAX)

    def tell(self, receiver: NodeId | None, first: Rumor | None = None) -> tuple[Rumor, ...]:
        """The rumors for a datagram to `receiver`; what is held against it comes first, so that it
        can refute (Lifeguard's buddy system)."""
        held = None if receiver is None else self._table.get(receiver)
        if first is None and held is not None and held.state is not State.ALIVE:
            first = held.claim(self._me)
        mult = self._timing.retransmit_mult
        return self.rumors.take(RUMOR_BYTES_MAX, self.live_count, mult, first)

    # --- claims ----------------------------------------------------------------------------------

    def believe(self, now: float, claim: Rumor) -> None:
        """Take a claim from a datagram."""
        if claim.node == self._me:
            self._refute(claim)
            return
        record = self._table.get(claim.node)
        verdict = decide(None if record is None else record.known, claim.kind, claim.incarnation)
        if verdict is Verdict.ADOPT:
            self._adopt(now, record, claim)
        elif verdict is Verdict.CONFIRM:
            if self._suspicion_by_node[claim.node].confirm(claim.accuser):
                self.rumors.add(evolve(claim, description=None))
        elif verdict is Verdict.RETELL:
            # As a suspicion: if the two halves of a network have just met again, it is alive.
            assert record is not None
            if claim.node not in self.rumors:
                self.rumors.add(Rumor(State.SUSPECT, claim.node, record.incarnation, self._me))
        elif verdict is Verdict.BURY:
            self._bury(now, claim)

    def merge(self, now: float, rows: tuple[Rumor, ...]) -> None:
        """Take the whole table of another node.

        It may be old, and it never kills: whom it holds dead and we do not is suspected first, so
        that it can refute.
        """
        for row in rows:
            record = self._table.get(row.node)
            if row.node == self._me:
                self._refute(row)
            elif row.kind.is_live:
                if row.description is not None:
                    # A rumor has it from here on, so that it spreads as fast as any.
                    alive = evolve(row, kind=State.ALIVE, accuser=NOBODY)
                    if record is None or row.incarnation > record.incarnation:
                        self.believe(now, alive)
                if row.kind is State.SUSPECT:
                    self.believe(now, row)
            elif row.kind is State.DEAD and record is not None and record.state.is_live:
                self.believe(now, evolve(row, kind=State.SUSPECT))
            else:
                self.believe(now, row)

    def accuse(self, now: float, node: NodeId, *, refused: bool) -> None:
        """An own probe of `node` has failed; `refused`: its host says that no process is there."""
        record = self._table.get(node)
        if record is None or not record.state.is_live or not self.own.state.is_live:
            return
        if node not in self._suspicion_by_node:
            # Whoever misses many at once is more likely to be cut off himself.
            if self._accusations >= 2 + self.live_count // 10:
                return
            self._accusations += 1
        self.believe(now, Rumor(State.SUSPECT, node, record.incarnation, self._me))
        if refused and node in self._suspicion_by_node:
            self._suspicion_by_node[node].condemn()

    def reproach(self, now: float, header: Header) -> Record | None:
        """What is held against the sender of `header`, if it is to be told: as suspected, dead or
        gone it cannot know, and its own rumors may never say."""
        record = self._table.get(header.sender)
        if record is None or record.state is State.ALIVE:
            return None
        if header.incarnation > record.incarnation:
            return None  # it has refuted already; its rumor is on the way
        told = self._reproached_at.get(header.sender)
        if told is not None and now - told < ACCUSED_GAP_S:
            return None
        self._reproached_at[header.sender] = now
        return record

    # --- time ------------------------------------------------------------------------------------

    def deadline(self) -> float | None:
        """When the next suspicion ends."""
        return min((each.deadline for each in self._suspicion_by_node.values()), default=None)

    def expire(self, now: float) -> None:
        """Hold dead whose time to refute is over."""
        for node, suspicion in list(self._suspicion_by_node.items()):
            if suspicion.deadline <= now:
                record = self._table.get(node)
                assert record is not None
                assert record.state is State.SUSPECT
                self._adopt(now, record, Rumor(State.DEAD, node, record.incarnation, self._me))

    def forgive(self, seconds: float) -> None:
        """This process did not run for so long: whoever refuted meanwhile could not be heard."""
        for suspicion in self._suspicion_by_node.values():
            suspicion.shift(seconds)

    def round(self, now: float) -> list[Member]:
        """A new probe round: own accusations count anew, and the long gone are forgotten.  Returns
        those of them who went without a goodbye."""
        self._accusations = 0
        self._reproached_at = {
            node: at for node, at in self._reproached_at.items() if now - at < ACCUSED_GAP_S
        }
        memory = {
            State.DEAD: self._timing.dead_memory_s,
            State.LEFT: self._timing.left_memory_s,
        }
        lost = []
        for record in self._table:
            limit = memory.get(record.state)
            if limit is not None and record.node != self._me and now - record.since > limit:
                self._table.forget(record.node)
                member = record.member()
                if member is not None and member.state is State.DEAD:
                    lost.append(member)
        return lost

    # --- oneself ---------------------------------------------------------------------------------

    def describe(self, meta: Meta) -> None:
        """Say something new about this machine."""
        description = self.own.description
        assert description is not None
        changed = evolve(description, meta=meta)
        self._speak(evolve(self.own, incarnation=self.own.incarnation.next(), description=changed))

    def leave(self, now: float) -> None:
        """Say goodbye."""
        self._speak(evolve(self.own, state=State.LEFT, since=now))

    def _refute(self, claim: Rumor) -> None:
        if not self.own.state.is_live:
            return  # we are leaving; there is nothing to refute
        raised = refuted(self.own, claim)
        if raised is None:
            return
        if claim.kind is not State.ALIVE:
            self.health.adjust(+1)
        if raised.incarnation.generation > self.own.incarnation.generation:
            self._outbox.append(SaveGeneration(raised.incarnation.generation))
        self._speak(raised)

    def _speak(self, own: Record) -> None:
        self._table.put(own)
        self.rumors.add(own.claim(self._me))

    # --- others ----------------------------------------------------------------------------------

    def _adopt(self, now: float, old: Record | None, claim: Rumor) -> None:
        known = None if old is None else old.description
        description = claim.description if claim.kind is State.ALIVE else known
        if description is None and claim.kind.is_live:
            return  # we could not reach it; an exchange of tables will bring the description
        since = old.since if old is not None and old.state is claim.kind else now
        new = Record(claim.node, claim.incarnation, claim.kind, since, description)
        if not self._table.put(new):
            return
        self._suspicion_by_node.pop(claim.node, None)
        if claim.kind is State.SUSPECT:
            limits = bounds(self._timing, self.live_count)
            self._suspicion_by_node[claim.node] = Suspicion(now, claim.accuser, limits)
        if claim.kind.is_live:
            self.ring.add(claim.node)
        else:
            self.ring.remove(claim.node)
        self.rumors.add(claim if claim.kind is State.ALIVE else evolve(claim, description=None))
        self._announce(old, new)

    def _announce(self, old: Record | None, new: Record) -> None:
        member = new.member()
        if member is None:
            return
        was_live = old is not None and old.state.is_live
        before = old.member() if was_live and old is not None else None
        if before is not None and new.incarnation.generation > before.incarnation.generation:
            # It died and was started again before anybody missed it; what it ran is gone.
            self._outbox.append(MemberDown(evolve(before, state=State.DEAD, since=new.since)))
            was_live = False
        if member.state is State.DEAD:
            if was_live:
                self._outbox.append(MemberDown(member))
        elif member.state is State.LEFT:
            self._outbox.append(MemberLeft(member))
        elif not was_live:
            self._outbox.append(MemberUp(member))
            if before is None and old is not None:
                self.risen = member.node
        elif member.state is State.ALIVE:
            self._outbox.append(MemberUpdated(member))
        else:  # also with a newer incarnation: the room above holds the same record as this one
            self._outbox.append(MemberSuspected(member))

    def _bury(self, now: float, claim: Rumor) -> None:
        """Remember the end of somebody unknown, so that older news does not bring it to life."""
        self._table.put(Record(claim.node, claim.incarnation, claim.kind, now, claim.description))
