"""A LAN whose members have found one another, and who was held dead there since."""

from nanoboost.config import GossipTiming
from nanoboost.gossip.effects import MemberDown
from tests.gossip.lan import LAN, Lan


def started(n: int, seed: int = 1, timing: GossipTiming = LAN, **options: float) -> Lan:
    lan = Lan(seed, timing, **options)
    lan.start_all(n)
    lan.run(1.0)
    lan.heard.clear()
    return lan


def number(node: str) -> int:
    """The inverse of `node_id`."""
    return int(node, 16) - 1


def downs(lan: Lan) -> list[tuple[int, int]]:
    """Who has held whom dead."""
    return [(heard.observer, number(heard.event.member.node)) for heard in lan.said(MemberDown)]
