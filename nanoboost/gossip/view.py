"""What this node believes of every member, and what follows from each new claim.

**News moves a record only as `decide` says, and every move is announced upwards once**: up,
updated, suspected, down, left.  Claims about oneself are refuted instead.
"""

from collections.abc import Collection, Container
from math import inf
from random import Random

from attrs import evolve

from nanoboost.config import GossipTiming
from nanoboost.gossip.effects import Effect, Isolation, SaveGeneration
from nanoboost.gossip.health import LocalHealth
from nanoboost.gossip.lifecycle import announcements, is_return
from nanoboost.gossip.members import (
    NOBODY,
    Description,
    Member,
    Meta,
    Record,
    Rumor,
    State,
    Verdict,
    decide,
    refuted,
)
from nanoboost.gossip.messages import RUMOR_BYTES_MAX, STREAM_BYTES_MAX, Header, within
from nanoboost.gossip.rumors import Rumors, transmit_limit
from nanoboost.gossip.suspicion import CONDEMNED_SHARE, Refutations, Suspicion, Suspicions, bounds
from nanoboost.gossip.table import Ring, Table
from nanoboost.ids import Address, NodeId

ACCUSED_GAP_S = 10.0
"""A peer is told at most this often that it is held dead, or two would tell each other for ever."""
ISOLATED_MIN = 3


class View:
    """The table, the suspicions and the rumors of one node, kept consistent with one another."""

    def __init__(self, me: Member, timing: GossipTiming, rng: Random, outbox: list[Effect]) -> None:
        self._me = me.node
        self._timing = timing
        self._rng = rng
        self._outbox = outbox
        self._table = Table()
        self._grace_s = CONDEMNED_SHARE * timing.probe_interval_s
        self.suspicions = Suspicions(self._grace_s if timing.own_rules else 0.0)
        self._refutations = Refutations()
        self._accusations = 0
        self._isolated_until: float | None = None
        self._reproached_at: dict[NodeId, float] = {}
        self.ring = Ring(rng)
        self.rumors = Rumors(me.node)
        self.health = LocalHealth(timing.health_max)
        self.risen: NodeId | None = None
        """A member that was held dead or gone and is there again: it has seen other things."""
        self.doubtful: list[NodeId] = []
        """Of whom somebody else may know better than we: they are to be asked at once."""
        self.to_call: list[NodeId] = []
        """Who is about to be held dead, and to be told so."""
        self.twin_address: Address | None = None
        """Where somebody else says that it is this node."""
        own = Record(me.node, me.incarnation, State.ALIVE, me.since, me.description)
        self._table.put(own)
        self.rumors.add(own.claim(me.node))

    # --- what is believed ------------------------------------------------------------------------

    @property
    def own(self) -> Record:
        """This node's own record."""
        return self._table[self._me]

    @property
    def digest(self) -> bytes:
        """The table's digest."""
        return self._table.digest

    @property
    def live_count(self) -> int:
        """How many members are there, this node and the suspected included."""
        return max(1, self._table.live_count)

    @property
    def is_isolated(self) -> bool:
        """Whether this node is the one that is cut off, rather than all others dead."""
        return self._isolated_until is not None

    def get(self, node: NodeId) -> Record | None:
        """What is held of `node`."""
        return self._table.get(node)

    def members(self) -> tuple[Member, ...]:
        """Everybody, this node and the remembered dead included, by order of acquaintance."""
        return tuple(self._table.members())

    def others(self) -> list[Member]:
        """The live members but this one."""
        return [m for m in self._table.members() if m.state.is_live and m.node != self._me]

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
        """One of the remembered dead; see `Table`."""
        return self._table.some_dead(self._rng)

    def has_gone(self) -> bool:
        """Whether somebody is remembered who is not there."""
        return bool(self._table.gone)

    @property
    def prints(self) -> Collection[bytes]:
        """What stands for each row of the table."""
        return self._table.prints.values()

    def rows(self, now: float, prints: Container[bytes] | None = None) -> tuple[Rumor, ...]:
        """The rows of these `prints` (None: the whole table), live members first, within what one
        frame carries.

        An end is told for half the time that it is remembered, or tables would remind one another
        of it for ever.
        """
        live = [record for record in self._table if record.state.is_live]
        gone = [each for each in self._table.gone if now - each.since <= self._memory_s(each) / 2]
        gone.sort(key=lambda record: record.state is State.DEAD)
        wanted = [
            each.claim(self._accuser(each), described=True)
            for each in (*live, *gone)
            if prints is None or self._table.prints[each.node] in prints
        ]
        return within(wanted, STREAM_BYTES_MAX)

    def _accuser(self, record: Record) -> NodeId:
        """Whose word a row of our table passes on.  Of a suspicion not our own, or each table in
        which it has come to lie would count as one more accuser."""
        return self.suspicions.accuser(record.node) if record.state is State.SUSPECT else self._me

    def tell(self, receiver: NodeId | None, first: Rumor | None = None) -> tuple[Rumor, ...]:
        """The rumors for a datagram to `receiver`; first what is held against it, so that it can
        refute (Lifeguard's buddy system)."""
        if first is None and receiver is not None and self._timing.buddy:
            held = self._table.get(receiver)
            if held is not None and held.state is not State.ALIVE:
                first = held.claim(self._me)
        if not self.rumors:
            return () if first is None else (first,)
        limit = transmit_limit(self._timing, self.live_count)
        return self.rumors.take(RUMOR_BYTES_MAX, limit, first)

    # --- claims ----------------------------------------------------------------------------------

    def believe(self, now: float, claim: Rumor) -> None:
        """Take a claim from a datagram."""
        if claim.node == self._me:
            self._refute(claim)
            return
        record = self._table.get(claim.node)
        verdict = decide(None if record is None else record.known, claim.kind, claim.incarnation)
        if verdict is Verdict.ADOPT:
            is_live = record is not None and record.state.is_live
            if claim.kind is State.DEAD and is_live and self._timing.own_rules:
                self._doubt(now, record, claim)
            else:
                self._adopt(now, record, claim)
        elif verdict is Verdict.CONFIRM:
            if self.suspicions.confirm(claim.node, claim.accuser):
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
            elif record is not None and record.known == (row.kind, row.incarnation):
                if row.kind is State.SUSPECT:
                    self.believe(now, row)
            elif row.kind.is_live:
                # A rumor has it from here on, so that it spreads as fast as any.
                is_new = record is None or row.incarnation > record.incarnation
                if row.kind is State.ALIVE and is_new:
                    self.believe(now, row)
                elif row.kind is State.SUSPECT:
                    if is_new and row.description is not None:
                        self.believe(now, evolve(row, kind=State.ALIVE, accuser=NOBODY))
                    self.believe(now, row)
            elif record is None:
                self._bury(now, row, is_hearsay=True)
            elif row.kind is State.DEAD and record.state.is_live:
                self.believe(now, evolve(row, kind=State.SUSPECT))
            else:
                self.believe(now, row)

    def accuse(self, now: float, node: NodeId, *, refused: bool) -> bool:
        """An own probe of `node` has failed; `refused`: its host says that no process is there.
        Whether it is suspected from now on."""
        record = self._table.get(node)
        if record is None or not record.state.is_live or not self.own.state.is_live:
            return False
        is_new = node not in self.suspicions
        if is_new and not refused and self._timing.own_rules:
            # Whoever misses many at once is more likely to be cut off himself.
            if self._isolated_until is not None and now < self._isolated_until:
                return False
            if self._accusations >= 2 + self.live_count // 10:
                return False
            self._accusations += 1
        self.believe(now, Rumor(State.SUSPECT, node, record.incarnation, self._me))
        if refused and node in self.suspicions:
            self.suspicions.condemn(node, self._grace_s)
        if self._timing.own_rules:
            self._question_oneself(now)
        return is_new

    def _question_oneself(self, now: float) -> None:
        """If nobody shares most of our suspicions, we are the odd one out."""
        mine = self.suspicions.resting_on(self._me)
        is_odd = len(mine) >= ISOLATED_MIN and 2 * len(mine) >= self.live_count
        if is_odd and self._isolated_until is None:
            self._isolated_until = now + bounds(self._timing, self.live_count).max_s
            self.suspicions.begin_anew(now, mine)
            self.health.adjust(self._timing.health_max)
            self._outbox.append(Isolation(True))

    def heard(self, now: float) -> None:
        """Another member has spoken: we are not cut off (any more)."""
        if self._isolated_until is not None:
            self._isolated_until = None
            self.suspicions.begin_anew(now, self.suspicions.resting_on(self._me))
            self._outbox.append(Isolation(False))

    def reproach(self, now: float, header: Header) -> Record | None:
        """What is held against the sender of `header`, if it is to be told: suspected, dead or gone
        it cannot know; and its refutation, if it has made one, may be lost: that is said soon."""
        record = self._table.get(header.sender)
        if record is None or record.state is State.ALIVE or not self._timing.own_rules:
            return None
        has_refuted = header.incarnation > record.incarnation
        gap = self._timing.probe_interval_s if has_refuted else ACCUSED_GAP_S
        if now - self._reproached_at.get(header.sender, -inf) < gap:
            return None
        self._reproached_at[header.sender] = now
        return record

    # --- time ------------------------------------------------------------------------------------

    def deadline(self) -> float | None:
        """When the next suspicion ends."""
        return self.suspicions.deadline

    def expire(self, now: float) -> None:
        """Hold dead whose time to refute is over; call those of whom it nearly is."""
        self.to_call += self.suspicions.to_ask(now)
        for node in self.suspicions.ended(now):
            record = self._table[node]
            assert record.state is State.SUSPECT
            self._adopt(now, record, Rumor(State.DEAD, node, record.incarnation, self._me))

    def forgive(self, seconds: float) -> None:
        """This process did not run for so long: whoever refuted meanwhile could not be heard, and
        gets a probe interval to do it again."""
        self.suspicions.shift(seconds + self._timing.probe_interval_s)

    def round(self, now: float) -> list[Member]:
        """A new probe round: own accusations count anew, and the long gone are forgotten.  Returns
        those of them who went without a goodbye."""
        self._accusations = 0
        if self._reproached_at:
            self._reproached_at = {
                node: at for node, at in self._reproached_at.items() if now - at < ACCUSED_GAP_S
            }
        for node in self._refutations.calmed(now):
            record = self._table.get(node)
            if record is not None and record.is_unstable:
                self._table.put(calm := evolve(record, is_unstable=False))
                if calm.state is State.ALIVE:
                    self._outbox += announcements(record, calm)
        old = [each for each in self._table.gone if now - each.since > self._memory_s(each)]
        lost = []
        for record in old:
            if record.node != self._me:
                self._table.forget(record.node)
                member = record.member()
                if member is not None and member.state is State.DEAD:
                    lost.append(member)
        return lost

    def _memory_s(self, record: Record) -> float:
        left = record.state is State.LEFT
        return self._timing.left_memory_s if left else self._timing.dead_memory_s

    # --- oneself ---------------------------------------------------------------------------------

    def describe(self, meta: Meta | None = None, address: Address | None = None) -> None:
        """Say something new about this machine."""
        told = self.own.description
        assert told is not None
        new = Description(told.name, address or told.address, meta or told.meta, told.boot)
        if new != told:
            incarnation = self.own.incarnation.next()
            self._speak(evolve(self.own, incarnation=incarnation, description=new))

    def leave(self, now: float) -> None:
        """Say goodbye."""
        self._speak(evolve(self.own, state=State.LEFT, since=now))

    def _refute(self, claim: Rumor) -> None:
        own = self.own
        told, mine = claim.description, own.description
        if told is not None and mine is not None and told.boot != mine.boot:
            if told.address != mine.address:
                self.twin_address = told.address
        if not own.state.is_live:
            return  # we are leaving; there is nothing to refute
        raised = refuted(own, claim)
        if raised is None:
            return
        if claim.kind is not State.ALIVE:
            self.health.adjust(+1)
        if raised.incarnation.generation > own.incarnation.generation:
            self._outbox.append(SaveGeneration(raised.incarnation.generation))
        self._speak(raised)

    def _speak(self, own: Record) -> None:
        self._table.put(own)
        self.rumors.add(own.claim(self._me))

    # --- others ----------------------------------------------------------------------------------

    def _doubt(self, now: float, record: Record | None, claim: Rumor) -> None:
        """Somebody holds dead whom nobody has suspected here, or only just: perhaps halves of a
        network have met.  The member is asked at once, and has little time."""
        if record is None or record.known != (State.SUSPECT, claim.incarnation):
            self._adopt(now, record, evolve(claim, kind=State.SUSPECT, description=None))
            self.doubtful.append(claim.node)
        if claim.node in self.suspicions:
            self.suspicions.condemn(claim.node, self._grace_s)
            self.expire(now)

    def _adopt(self, now: float, old: Record | None, claim: Rumor) -> None:
        known = None if old is None else old.description
        description = claim.description if claim.kind is State.ALIVE else known
        if description is None and claim.kind.is_live:
            return  # we could not reach it; an exchange of tables will bring the description
        since = old.since if old is not None and old.state is claim.kind else now
        patience = self._refutations.patience(now, old, claim) if self._timing.own_rules else 1
        there = None if description is None else self._table.at(description.address)
        new = Record(claim.node, claim.incarnation, claim.kind, since, description, patience > 1)
        if claim.kind is State.ALIVE:
            new.keep(claim)
        if not self._table.put(new):
            return
        self.suspicions.end(claim.node)
        if claim.kind is State.SUSPECT:
            limits = bounds(self._timing, self.live_count, patience)
            self.suspicions.begin(claim.node, Suspicion(now, claim.accuser, limits))
        if claim.kind.is_live:
            self.ring.add(claim.node)
        else:
            self.ring.remove(claim.node)
        if claim.kind is State.ALIVE and there not in (None, claim.node):
            assert there is not None
            self.doubtful.append(there)  # two cannot listen at one address
        bare = claim.kind is State.ALIVE or claim.description is None
        self.rumors.add(claim if bare else evolve(claim, description=None))
        self._outbox += announcements(old, new)
        if is_return(old, new) and description is not None and self._timing.own_rules:
            self.risen = claim.node

    def _bury(self, now: float, claim: Rumor, *, is_hearsay: bool = False) -> None:
        """Remember the end of somebody unknown, so that older news does not bring it to life; of
        hearsay only for as long as nothing is told on."""
        gone = Record(claim.node, claim.incarnation, claim.kind, now, claim.description)
        if is_hearsay:
            gone = evolve(gone, since=now - self._memory_s(gone) / 2 - 1e-6)
        self._table.put(gone)
