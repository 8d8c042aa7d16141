"""A core that is told one thing after another, and short names for what it hears and says."""

from collections.abc import Sequence
from random import Random

from nanoboost.config import GossipTiming
from nanoboost.core import Woke
from nanoboost.gossip.effects import AskStream, Effect, Event, MemberEvent, Received, SendDatagram
from nanoboost.gossip.members import NOBODY, Incarnation, Member, Rumor, State
from nanoboost.gossip.messages import Datagram, Gossip, Header, Ping
from nanoboost.gossip.swim import Swim
from nanoboost.ids import NodeId
from tests.gossip.lan import LAN, address, described, node_id

ME, MY = node_id(0), Incarnation(3, 0)
ALIVE, SUSPECT, DEAD = State.ALIVE, State.SUSPECT, State.DEAD


def alive(number: int, counter: int = 0) -> Rumor:
    return Rumor(ALIVE, node_id(number), Incarnation(1, counter), NOBODY, described(number))


def header(sender: int, sequence: int = 0, counter: int = 0) -> Header:
    return Header(node_id(sender), Incarnation(1, counter), sequence, bytes(8))


class Poked:
    """A core that is told one thing after another."""

    def __init__(self, others: int, timing: GossipTiming = LAN) -> None:
        own = Member(ME, MY, ALIVE, 0.0, described(0))
        self.now = 0.0
        self.swim = Swim(own, timing, Random(7), 0.0)
        for number in range(1, others + 1):
            self.hear(Gossip(header(number), (alive(number),)))
        self.swim._view.rumors.forget(ME)
        for number in range(1, others + 1):
            self.swim._view.rumors.forget(node_id(number))

    def step(self, event: Event | Woke) -> tuple[Effect, ...]:
        return self.swim.step(self.now, event)

    def hear(self, message: Datagram, source: int | None = None) -> tuple[Effect, ...]:
        number = int(message.header.sender, 16) - 1 if source is None else source
        return self.step(Received(address(number), message))

    def wake(self) -> tuple[Effect, ...]:
        """Sleep until there is something to do."""
        deadline = self.swim.deadline()
        assert deadline is not None
        assert deadline < 1000.0, "what the test waits for does not come"
        self.now = deadline
        return self.step(Woke())

    def until_ping(self) -> tuple[int, int]:
        """Go on until a ping is sent; whom it asks, and its number."""
        while True:
            for to, message in datagrams(self.wake()):
                if isinstance(message, Ping):
                    assert message.target == node_id(to)
                    return to, message.header.sequence


def datagrams(effects: Sequence[Effect]) -> list[tuple[int, Datagram]]:
    """Whom each datagram is sent to, by number, and the datagram."""
    return [
        (int(effect.address.host.rpartition(".")[2]), effect.message)
        for effect in effects
        if isinstance(effect, SendDatagram)
    ]


def kinds(effects: Sequence[Effect]) -> list[type]:
    return [
        type(each.message) if isinstance(each, SendDatagram) else type(each) for each in effects
    ]


def announced(effects: Sequence[Effect]) -> list[tuple[type, NodeId]]:
    return [(type(e), e.member.node) for e in effects if isinstance(e, MemberEvent)]


def asked(effects: Sequence[Effect]) -> list[AskStream]:
    return [effect for effect in effects if isinstance(effect, AskStream)]


def own_header(poked: Poked, sequence: int) -> Header:
    return Header(ME, poked.swim.members[0].incarnation, sequence, poked.swim.digest)


def hold_dead(poked: Poked, number: int) -> Rumor:
    """The core hears of a suspicion, and of the death that follows."""
    accuser = 2 if number == 1 else 1
    suspect, dead = [
        Rumor(k, node_id(number), Incarnation(1, 0), node_id(accuser)) for k in (SUSPECT, DEAD)
    ]
    poked.swim._view.believe(poked.now - 1.0, suspect)
    poked.hear(Gossip(header(accuser), (dead,)))
    return dead
