"""The shell of membership: one UDP port, one pump, and the node's own disk.

**A generation is durable before it is spoken of**: until then this node sends nothing and answers
nobody, so that a crash can never make two starts look like one.  Sending never fails: a datagram
that the network refuses is one that was lost.
"""

from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.error import CannotListenError, InvalidAddressError, MessageLengthError
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from nanoboost.config import GossipTiming
from nanoboost.core import Woke
from nanoboost.errors import RemoteError, UserError
from nanoboost.gossip.discovery import Discovery, Ear, beacon_seal
from nanoboost.gossip.effects import (
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
    MemberEvent,
    Met,
    Received,
    SaveGeneration,
    SendDatagram,
    SyncAsked,
    TwinFound,
    Unanswered,
    Visited,
)
from nanoboost.gossip.members import (
    BOOT_BYTES,
    GENERATION_MAX,
    Description,
    Incarnation,
    Member,
    Meta,
    State,
)
from nanoboost.gossip.messages import DATAGRAMS, StreamPing, StreamPong, Sync, Synced
from nanoboost.gossip.peers import Peers
from nanoboost.gossip.seal import BEACON_MAGIC, Seal
from nanoboost.gossip.swim import Swim
from nanoboost.ids import Address, NodeId
from nanoboost.net.dial import NobodyThere
from nanoboost.net.pump import Pump
from nanoboost.net.session import Session
from nanoboost.runtime import Runtime

PREFIX = b"gossip/"
GENERATION_KEY = PREFIX + b"generation"

LOOK_S = 1.0
"""So long after a change it is seen to who is there now; later where there are many."""
LOOK_AT_ONCE = 20

Ask = Callable[[Address, Any, float], "Deferred[tuple[NodeId, Any]]"]


class Gossip(Service):
    """This node's part in membership.

    `ask` is the mesh's; `member_changed` hears of every change of another member; `twin_found`
    hears where another process has this node's identity and had it before; `crashed` hears that an
    invariant is broken, or the disk is.
    """

    _log = Logger()

    def __init__(
        self,
        me: NodeId,
        name: str,
        meta: Meta,
        timing: GossipTiming,
        runtime: Runtime,
        ask: Ask,
        member_changed: Callable[[MemberEvent], None],
        twin_found: Callable[[Address], None],
        crashed: Callable[[Failure], None],
    ) -> None:
        self._me = me
        self._own_name = name
        self._meta = meta
        self._timing = timing
        self._runtime = runtime
        self._ask = ask
        self._member_changed = member_changed
        self._twin_found = twin_found
        self._crashed = crashed
        stored = dict(runtime.store.load(PREFIX))
        self._generation = min(GENERATION_MAX, int(stored.get(GENERATION_KEY, b"0")) + 1)
        self._peers = Peers(runtime.store, self._fail)
        self._look: IDelayedCall | None = None
        self._others = 0
        self._boot = runtime.rng(f"gossip boot {self._generation}").randbytes(BOOT_BYTES)
        beacon_boot = runtime.rng(f"beacon boot {self._generation}").randbytes(BOOT_BYTES)
        key, *also = runtime.security.datagram_keys()
        self.seal = Seal(key, runtime.security.cluster, self._boot, also=tuple(also))
        self._discovery = Discovery(
            me,
            name,
            runtime,
            beacon_seal(runtime.security, beacon_boot),
            self._is_live,
            self._send,
            self._visit,
            self._fail,
        )
        self.unreadable = 0
        """Datagrams of members that we do not understand: of another version, perhaps."""
        self.unsent = 0
        """Datagrams that this machine's network refused to send."""
        self._description: Description | None = None
        self._listen_host = ""
        self._port: Any = None
        self._swim: Swim | None = None
        self._pump: Pump[Event, Effect] | None = None
        self._seeds: tuple[Address, ...] = ()
        self._asked: dict[int, Deferred[Any]] = {}
        self._leaving: list[Deferred[None]] = []
        self._ended = False

    # --- life ------------------------------------------------------------------------------------

    def open(self, address: Address, listen_host: str) -> None:
        """Take the UDP port of `address`, where others reach this node, on `listen_host`.

        Raises `UserError` if that cannot be.
        """
        try:
            self._description = Description(self._own_name, address, self._meta, self._boot)
        except ValueError as error:
            raise UserError(
                f"{address} cannot be this node's address ({error}): give the IP address by which "
                "other nodes reach it with --advertise"
            ) from None
        self._listen_host = listen_host
        port = Ear(self._datagram)
        try:
            self._port = self._runtime.reactor.listenUDP(address.port, port, interface=listen_host)
        except CannotListenError as error:
            raise UserError(
                f"UDP port {address.port} cannot be had on {listen_host} ({error.socketError}): "
                "stop the program that has it (`ss -lunp` shows which), or choose another port "
                "with --listen"
            ) from None

    def startService(self) -> None:
        """Begin to speak, once this start is durable."""
        super().startService()
        generation = (GENERATION_KEY, str(self._generation).encode())
        self._runtime.store.commit([generation]).addCallback(self._begin).addErrback(self._fail)

    def _begin(self, _: None) -> None:
        if self._ended:
            return
        assert self._description is not None, "opened before it is started"
        now = self._runtime.reactor.seconds()
        incarnation = Incarnation(self._generation, 0)
        own = Member(self._me, incarnation, State.ALIVE, now, self._description)
        rng = self._runtime.rng(f"gossip {self._generation}")
        self._swim = Swim(own, self._timing, rng, now)
        self._pump = Pump(self._swim, self._runtime.reactor, self._perform, self._fail)
        self._pump.start()
        self._discovery.start(self._description.address, self._listen_host)
        self.join(self._seeds)

    def stopService(self) -> "Deferred[None]":
        """Fall silent at once: whoever is not told goodbye before will miss us."""
        super().stopService()
        return self._end()

    def _end(self) -> "Deferred[None]":
        self._ended = True
        if self._pump is not None:
            self._pump.stop()
        if self._look is not None:
            self._look.cancel()
            self._look = None
        for question in list(self._asked.values()):
            question.cancel()
        self._left()
        port, self._port = self._port, None
        ends = [self._discovery.stop()]
        if port is not None:
            ends.append(maybeDeferred(port.stopListening))
        return DeferredList(ends, consumeErrors=True).addCallback(lambda _: None)

    def _fail(self, failure: Failure) -> None:
        if not self._ended:
            self._end()
            self._crashed(failure)

    # --- what the node says ----------------------------------------------------------------------

    @property
    def members(self) -> tuple[Member, ...]:
        """Everybody known, this node and the remembered dead included; nobody before the start."""
        return self._swim.members if self._swim is not None else ()

    @property
    def digest(self) -> bytes:
        """The same on two nodes that see the same members alive."""
        return self._swim.digest if self._swim is not None else b""

    @property
    def health(self) -> int:
        """How far this node doubts itself; 0 is healthy."""
        return self._swim.health if self._swim is not None else 0

    def join(self, seeds: tuple[Address, ...]) -> None:
        """Find the cluster through `seeds` and the peers of the last run; tried for ever."""
        self._seeds = seeds
        self._feed(JoinAsked(seeds, self._peers.addresses))

    def leave(self) -> "Deferred[None]":
        """Say goodbye; fires when that is said, or has taken as long as it may."""
        said: Deferred[None] = Deferred()
        if self._swim is None or self._ended or (self._has_left() and not self._leaving):
            said.callback(None)
            return said
        self._leaving.append(said)
        self._feed(LeaveAsked())
        return said

    def rekey(self, key: bytes, *also: bytes) -> None:
        """Seal with `key` from now on; open what it or one of `also` has sealed."""
        self.seal.rekey(key, *also)
        self._discovery.seal.rekey(key, *also)

    def hint(self, node: NodeId) -> None:
        """There is reason to think that `node` is gone: look now."""
        self._feed(Hinted(node))

    def moved(self, address: Address) -> None:
        """Others reach this node at `address` from now on."""
        self._discovery.moved(address)
        self._feed(AddressChanged(address))

    def met(self, node: NodeId) -> None:
        """`node` has opened a session with this one."""
        self._feed(Met(node))

    def answer(self, session: Session, question: Any) -> None:
        """Answer a question of another node over TCP.  (Before the start: nothing is said yet.)"""
        if not session.peer:
            raise RemoteError(f"{type(question).__name__} from a client")
        if self._swim is None or self._ended:
            return
        match question:
            case Sync():
                self._feed(SyncAsked(question.rows))
                session.send(self._swim.answer(question))
            case StreamPing():
                session.send(StreamPong(self._me))
            case _:
                raise RemoteError(f"{type(question).__name__} is no question")

    # --- events and effects ----------------------------------------------------------------------

    def _feed(self, event: Event | Woke) -> None:
        if self._pump is not None and not self._ended:
            self._pump.feed(event)

    def _datagram(self, datagram: bytes, source: Address) -> None:
        if self._swim is None or self._ended:
            return
        if datagram.startswith(BEACON_MAGIC):
            self._discovery.heard(datagram, source)
            return
        message = self.seal.open(datagram)
        if message is None:
            return
        try:
            received = Received(source, DATAGRAMS.decode(message))
        except RemoteError:
            self.unreadable += 1
            return
        self._feed(received)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case SendDatagram(address, message):
                self._send(self.seal.close(DATAGRAMS.encode(message)), address)
            case AskStream():
                self._ask_stream(effect)
            case SaveGeneration(generation):
                key = (GENERATION_KEY, str(generation).encode())
                self._runtime.store.commit([key]).addErrback(self._fail)
            case LeaveFinished():
                self._left()
            case TwinFound(address):
                self._twin_found(address)
            case Isolation(is_so):
                told = (
                    "this node hears nobody: is its cable in?"
                    if is_so
                    else "others are heard again"
                )
                self._log.warn("{told}", event="isolation", told=told, is_so=is_so)
            case DatagramsLost(member):
                self._log.warn(
                    "{name} ({node}) answers over TCP and to no datagram: does a firewall, there "
                    "or here, stop UDP port {port}?",
                    event="datagrams_lost",
                    name=member.name,
                    node=member.node,
                    port=member.address.port,
                )
            case _:
                self._member_changed(effect)
                if self._look is None and not self._ended:
                    later = LOOK_S * max(1.0, self._others / LOOK_AT_ONCE)
                    self._look = self._runtime.reactor.callLater(later, self._look_around)

    def _look_around(self) -> None:
        """See who is there.  Not at each change: a crowd that joins would cost its square."""
        self._look = None
        others = [each for each in self.members if each.node != self._me]
        others.sort(key=lambda member: not member.state.is_live)
        self._peers.note(member.address for member in others)
        self._others = sum(each.state.is_live for each in others)
        self._discovery.company_changed(self._others)

    def _send(self, datagram: bytes, address: Address) -> None:
        if self._port is None:
            return
        try:
            self._port.write(datagram, (address.host, address.port))
        except (OSError, MessageLengthError, InvalidAddressError):
            self.unsent += 1  # no route, no buffer, a cable that is out: as good as lost

    def _ask_stream(self, effect: AskStream) -> None:
        ticket, wanted = effect.ticket, Synced if isinstance(effect.question, Sync) else StreamPong

        def answered(result: tuple[NodeId, Any]) -> None:
            self._asked.pop(ticket, None)
            node, answer = result
            is_answer = isinstance(answer, wanted)
            self._feed(Answered(ticket, node, answer) if is_answer else Unanswered(ticket, False))

        def failed(failure: Failure) -> None:
            self._asked.pop(ticket, None)
            self._feed(Unanswered(ticket, failure.check(NobodyThere) is not None))

        question = self._ask(effect.address, effect.question, effect.timeout_s)
        self._asked[ticket] = question
        question.addCallbacks(answered, failed).addErrback(self._fail)
        if question.called:
            self._asked.pop(ticket, None)

    def _visit(self, address: Address) -> None:
        self._feed(Visited(address))

    def _is_live(self, node: NodeId) -> bool:
        return any(each.node == node and each.state.is_live for each in self.members)

    def _has_left(self) -> bool:
        return any(member.node == self._me and not member.state.is_live for member in self.members)

    def _left(self) -> None:
        waiting, self._leaving = self._leaving, []
        for said in waiting:
            said.callback(None)
