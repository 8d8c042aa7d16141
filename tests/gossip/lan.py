"""A LAN of membership cores in virtual time: loss, delay, partitions, crashes, pauses, restarts.

Every datagram really travels as sealed bytes, and every step is checked against what must always
hold: incarnations only rise, a node never holds itself dead, each change is announced once.
"""

import heapq
from collections import Counter
from collections.abc import Callable
from itertools import count
from random import Random

from attrs import define, field, frozen

from nanoboost.config import PROFILES, GossipTiming
from nanoboost.core import Woke
from nanoboost.gossip.effects import (
    MEMBER_EVENTS,
    AddressChanged,
    Answered,
    AskStream,
    DatagramsLost,
    Effect,
    Event,
    Hinted,
    Isolation,
    JoinAsked,
    LeaveAsked,
    LeaveFinished,
    MemberDown,
    MemberEvent,
    MemberLeft,
    MemberSuspected,
    MemberUp,
    MemberUpdated,
    Received,
    SaveGeneration,
    SendDatagram,
    SyncAsked,
    TwinFound,
    Unanswered,
)
from nanoboost.gossip.members import Description, Incarnation, Member, Meta, State
from nanoboost.gossip.messages import DATAGRAM_BYTES_MAX, DATAGRAMS, StreamPong, Sync, Synced
from nanoboost.gossip.seal import Seal
from nanoboost.gossip.swim import Swim
from nanoboost.ids import Address, NodeId
from nanoboost.net.mesh import KNOCKS_S

LAN = PROFILES["lan"].gossip
KEY = bytes(range(32))
META = Meta(4, 4096, 1.5, 4, ("gpu", "disk:ssd"))
STREAM_ROUND_TRIP_S = 0.003
SOCKET_BUFFER = 300
"""What the kernel keeps for a process that does not read."""


def node_id(number: int) -> NodeId:
    return NodeId(f"{number + 1:016x}")


def address(number: int) -> Address:
    return Address(f"10.0.{number >> 8}.{number & 255}", 7470)


def described(number: int, meta: Meta = META) -> Description:
    return Description(f"node-{number}", address(number), meta)


@frozen
class Heard:
    """One change of a member, as one node announced it."""

    at: float
    observer: int
    event: MemberEvent


@define(eq=False)
class Node:
    """One machine with one process on it."""

    number: int = field()
    id: NodeId = field()
    address: Address = field()
    swim: Swim = field()
    seal: Seal = field()
    generation: int = field()
    cluster: str = field()
    is_running: bool = field(default=True)
    is_plugged_in: bool = field(default=True)
    """Whether the machine is reachable: a running machine without the process refuses TCP."""
    paused: list[Event] | None = field(default=None)
    """What waits while the process is stopped."""
    has_left: bool = field(default=False)
    lives: dict[NodeId, Incarnation] = field(factory=dict)
    """Who is there, according to the announcements."""


class Lan:
    """`n` nodes; number 0 founds, the others join through it when they are started."""

    def __init__(
        self, seed: int = 1, timing: GossipTiming = LAN, loss: float = 0.0, delay_s: float = 0.001
    ) -> None:
        self.now = 100.0
        self.timing = timing
        self.loss = loss
        self.nodes: dict[int, Node] = {}
        self.heard: list[Heard] = []
        self.noted: list[tuple[float, int, TwinFound | Isolation | DatagramsLost]] = []
        self.datagrams = 0
        self.bytes = 0
        self.largest = 0
        self.is_cut: Callable[[int, int], bool] = lambda a, b: False
        """Whether nothing travels from the first to the second."""
        self._delay_s = delay_s
        self._rng = Random(seed)
        self._number = count()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._number_by_address: dict[Address, int] = {}
        self.eats: Callable[[int, int], bool] = lambda a, b: False
        """Whether a firewall lets no datagram from the first to the second; TCP passes."""
        self.twice = 0.0
        """How likely a datagram is to arrive a second time, later."""
        self.jitter_s = 0.0
        self.said_by: Counter[tuple[int, int | None, type]] = Counter()
        """How many datagrams of each kind each node has sent to each other."""
        self.not_believed = 0
        """Datagrams that were replays, or of another cluster."""

    # --- machines --------------------------------------------------------------------------------

    def start(
        self,
        number: int,
        seeds: tuple[int, ...] = (0,),
        generation: int = 1,
        at: Address | None = None,
        copy_of: int | None = None,
        peers: tuple[int, ...] = (),
        name: str | None = None,
        meta: Meta = META,
        cluster: str = "lan",
    ) -> Node:
        """Start (again) the process of node `number`, at its own address or `at` another; on a copy
        of the card of node `copy_of`; with `peers` remembered from its last run."""
        where = at or address(number)
        me = node_id(number if copy_of is None else copy_of)
        boot = number.to_bytes(4, "big") + generation.to_bytes(4, "big")
        own = Member(
            me,
            Incarnation(generation, 0),
            State.ALIVE,
            self.now,
            Description(name or f"node-{number}", where, meta, boot),
        )
        swim = Swim(own, self.timing, Random(f"{number}/{generation}"), self.now)
        self.nodes[number] = node = Node(
            number, me, where, swim, Seal(KEY, cluster, boot), generation, cluster
        )
        self._number_by_address = {
            **{old: who for old, who in self._number_by_address.items() if who != number},
            where: number,
        }
        others = tuple(address(each) for each in seeds if each != number)
        self.tell(number, JoinAsked(others, tuple(map(address, peers))))
        return node

    def start_all(self, n: int) -> None:
        """Start `n` nodes at once and let them find one another."""
        for number in range(n):
            self.start(number)
        self.until(self.agreed, 20.0)

    def crash(self, number: int, *, unplug: bool = True) -> None:
        """The process ends without a word; `unplug`: the whole machine is gone."""
        self.nodes[number].is_running = False
        self.nodes[number].is_plugged_in = not unplug

    def pause(self, number: int) -> None:
        """The process does not run (a laptop sleeps, SIGSTOP)."""
        self.nodes[number].paused = []

    def resume(self, number: int) -> None:
        """It runs again, and finds what has come meanwhile."""
        waiting = self.nodes[number].paused or []
        self.nodes[number].paused = None
        for event in waiting:
            self.tell(number, event)
        self.tell(number, None)

    def move(self, number: int, to: Address) -> None:
        """The router gives that machine another address, and it notices."""
        node = self.nodes[number]
        del self._number_by_address[node.address]
        self._number_by_address[to] = number
        node.address = to
        self.tell(number, AddressChanged(to))

    def leave(self, number: int) -> None:
        """Say goodbye; the process ends when that is said."""
        self.tell(number, LeaveAsked())

    def hint(self, number: int, about: int) -> None:
        """An upper layer of `number` has lost its connection to `about`."""
        self.tell(number, Hinted(node_id(about)))

    def ask(self, number: int, question: Sync) -> None:
        """Somebody exchanges a table with `number`."""
        self.tell(number, SyncAsked(question.rows))

    # --- what is seen ----------------------------------------------------------------------------

    def running(self) -> list[Node]:
        """The nodes whose process runs."""
        return [node for node in self.nodes.values() if node.is_running]

    def state(self, observer: int, about: int) -> State | None:
        """What `observer` holds of `about`."""
        for member in self.nodes[observer].swim.members:
            if member.node == node_id(about):
                return member.state
        return None

    def agreed(self) -> bool:
        """Every running node holds exactly the running ones alive."""
        wanted = {node.id for node in self.running()}
        return all(
            {m.node for m in node.swim.members if m.state is State.ALIVE} == wanted
            and {m.node for m in node.swim.members if m.state is State.SUSPECT} == set()
            for node in self.running()
        )

    def all_hold(self, about: int, state: State) -> bool:
        """Every other running node holds `about` in `state`."""
        others = [node.number for node in self.running() if node.number != about]
        return all(self.state(other, about) is state for other in others)

    def said(self, kind: type[MemberEvent], about: int | None = None) -> list[Heard]:
        """The announcements of one kind so far."""
        return [
            heard
            for heard in self.heard
            if type(heard.event) is kind
            and (about is None or heard.event.member.node == node_id(about))
        ]

    # --- time ------------------------------------------------------------------------------------

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while self._due and self._due[0][0] <= end:
            self.now, _, action = heapq.heappop(self._due)
            action()
        self.now = end

    def until(self, is_so: Callable[[], bool], seconds: float) -> float:
        """Let time pass until `is_so`; return how long it took, fail after `seconds`."""
        begun = self.now
        while not is_so():
            assert self.now - begun <= seconds, f"not so within {seconds} s"
            self.run(0.02)
        return self.now - begun

    def tell(self, number: int, event: Event | None) -> None:
        """One step of a node (None: its timer)."""
        node = self.nodes[number]
        if not node.is_running:
            return
        if node.paused is not None:
            if event is not None and len(node.paused) < SOCKET_BUFFER:
                node.paused.append(event)
            return
        before = node.swim._view.own.incarnation
        effects = node.swim.step(self.now, Woke() if event is None else event)
        own = node.swim._view.own
        assert own.incarnation >= before, "the own incarnation only rises"
        assert own.state is State.ALIVE or node.has_left or isinstance(event, LeaveAsked)
        node.has_left = own.state is State.LEFT
        for effect in effects:
            self._perform(node, effect)
        deadline = node.swim.deadline()
        assert deadline is not None
        assert deadline > self.now, "a node that is always due would never rest"
        self._at(deadline, lambda: self._woken(node, deadline))

    def _woken(self, node: Node, deadline: float) -> None:
        if self.nodes[node.number] is node and node.swim.deadline() == deadline:
            self.tell(node.number, None)

    def _at(self, when: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._due, (max(when, self.now), next(self._number), action))

    # --- effects ---------------------------------------------------------------------------------

    def _perform(self, node: Node, effect: Effect) -> None:
        if isinstance(effect, SendDatagram):
            self._send(node, effect)
        elif isinstance(effect, AskStream):
            self._ask(node, effect)
        elif isinstance(effect, LeaveFinished):
            node.is_running = False
        elif isinstance(effect, SaveGeneration):
            assert effect.generation > node.generation
            node.generation = effect.generation
        elif isinstance(effect, MEMBER_EVENTS):
            self._announced(node, effect)
        else:
            self.noted.append((self.now, node.number, effect))

    def _announced(self, node: Node, event: MemberEvent) -> None:
        """The legal orders of announcements about one member."""
        member = event.member
        assert member.node != node.id, "nobody announces himself"
        known = node.lives.get(member.node)
        if isinstance(event, MemberUp):
            assert known is None, "up twice"
            assert member.state.is_live
            node.lives[member.node] = member.incarnation
        elif isinstance(event, MemberUpdated | MemberSuspected):
            assert known is not None, "changed before it was up"
            assert member.incarnation >= known
            node.lives[member.node] = member.incarnation
        elif isinstance(event, MemberDown):
            assert node.lives.pop(member.node, None) is not None, "down before it was up"
        else:
            assert isinstance(event, MemberLeft)
            node.lives.pop(member.node, None)
        self.heard.append(Heard(self.now, node.number, event))

    def _reaches(self, sender: int, receiver: int) -> bool:
        plugged = self.nodes[sender].is_plugged_in and self.nodes[receiver].is_plugged_in
        return plugged and not self.is_cut(sender, receiver)

    def _send(self, node: Node, effect: SendDatagram) -> None:
        datagram = node.seal.close(DATAGRAMS.encode(effect.message))
        assert len(datagram) <= DATAGRAM_BYTES_MAX
        self.datagrams += 1
        self.bytes += len(datagram)
        self.largest = max(self.largest, len(datagram))
        to = self._number_by_address.get(effect.address)
        is_lost = self._rng.random() < self.loss
        delay = self._delay_s * self._rng.uniform(0.2, 1.0)
        self.said_by[node.number, to, type(effect.message)] += 1
        if to is None or is_lost or self.eats(node.number, to):
            return
        if self._reaches(node.number, to):
            delay += self._rng.uniform(0.0, self.jitter_s)
            self._at(self.now + delay, lambda: self._arrive(node, to, datagram))
            if self._rng.random() < self.twice:
                self._at(self.now + 2 * delay, lambda: self._arrive(node, to, datagram))

    def _arrive(self, sender: Node, to: int, datagram: bytes) -> None:
        receiver = self.nodes[to]
        if not receiver.is_running:
            return
        message = receiver.seal.open(datagram)
        if message is not None:
            assert sender.cluster == receiver.cluster
            self.tell(to, Received(sender.address, DATAGRAMS.decode(message)))
        else:
            strange = sender.cluster != receiver.cluster or sender.number == receiver.number
            assert self.twice or strange, "a member is believed"
            self.not_believed += 1

    def _ask(self, node: Node, effect: AskStream) -> None:
        def failed(*, refused: bool) -> None:
            self._answer(node, Unanswered(effect.ticket, refused))

        to = self._number_by_address.get(effect.address)
        if to is None or not self._reaches(node.number, to) or not self._reaches(to, node.number):
            self._at(self.now + min(KNOCKS_S, effect.timeout_s), lambda: failed(refused=False))
        elif self.nodes[to].paused is not None:  # its kernel takes the connection
            self._at(self.now + effect.timeout_s, lambda: failed(refused=False))
        elif self.nodes[to].cluster != node.cluster:
            self._at(self.now + STREAM_ROUND_TRIP_S, lambda: failed(refused=False))
        elif not self.nodes[to].is_running:
            self._at(self.now + STREAM_ROUND_TRIP_S, lambda: failed(refused=True))
        else:
            self._at(self.now + STREAM_ROUND_TRIP_S, lambda: self._asked(node, to, effect))

    def _asked(self, node: Node, to: int, effect: AskStream) -> None:
        answer: Synced | StreamPong = StreamPong(self.nodes[to].id)
        if isinstance(effect.question, Sync):
            self.tell(to, SyncAsked(effect.question.rows))
            answer = self.nodes[to].swim.answer(effect.question)
        self._answer(node, Answered(effect.ticket, self.nodes[to].id, answer))

    def _answer(self, node: Node, event: Event) -> None:
        if self.nodes[node.number] is node:
            self.tell(node.number, event)
