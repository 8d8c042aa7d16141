"""What is wrong, judged from what the doctor has seen: "my Pi does not show up".

**Each finding is one line that says what was found, and if it is wrong one that says what to do.**
Pure: `doctor` looks, this judges.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from attrs import frozen

from nanoboost.cli.lan import BROADCAST, DIRECT, MULTICAST, Lan
from nanoboost.gossip.discovery import BEACON_PORT
from nanoboost.ids import Address, NodeId
from nanoboost.wire.messages import StatusReport

CLOCK_S = 60.0
"""Clocks that differ by more make logs and file times hard to compare."""
YEAR_S, DAY_S = 31_556_952.0, 86_400.0


@frozen
class Finding:
    """What one check has found; `remedy` is empty if all is well.  `may_be_meant`: only the user
    can tell whether it is wrong."""

    check: str
    text: str
    remedy: str = ""
    may_be_meant: bool = False

    @property
    def is_wrong(self) -> bool:
        """Whether something must be done."""
        return bool(self.remedy) and not self.may_be_meant


@frozen
class Seen:
    """One node: how others hold it, and what came of speaking to it.

    `state` is empty for one that no member has named; `refusal` says why TCP failed, "" if it did
    not; `report` is the node's own.
    """

    address: Address
    name: str
    node: NodeId
    state: str
    refusal: str
    has_udp: bool
    report: StatusReport | None

    def __str__(self) -> str:
        return f"{self.name or 'a node'} at {self.address}"


@frozen
class Facts:
    """All that was seen.  `own` are this machine's addresses, `here` is the node that runs on it,
    `heard` what came of asking the LAN."""

    cluster: str
    own: tuple[str, ...]
    here: Address | None
    heard: Lan
    nodes: tuple[Seen, ...]

    @property
    def others(self) -> tuple[Seen, ...]:
        """The nodes that are not on this machine's own address."""
        return tuple(each for each in self.nodes if each.address != self.here)


def diagnose(facts: Facts) -> Iterator[Finding]:
    """All findings, the most fundamental first."""
    yield from _strangers(facts)
    yield _calls(facts)
    for seen in facts.others:
        if seen.state != "left":
            yield _reach(seen)
    if facts.others:
        yield from _addresses(facts)
        yield from _names(facts)
        yield from _clocks(facts)
        yield from _membership(facts)
    yield from _work(facts)


# --- the network ---------------------------------------------------------------------------------


def _strangers(facts: Facts) -> Iterator[Finding]:
    """Several clusters may share a LAN; or somebody has copied the wrong file."""
    for host in facts.heard.strangers:
        yield Finding(
            "credential",
            f"a node at {host} calls out with another credential",
            "if it belongs here, copy cluster.pem from a node of this cluster to it, and start it "
            "anew (with an empty --state if it has been in another cluster)",
            may_be_meant=True,
        )


def _calls(facts: Facts) -> Finding:
    """Do calls to everybody go out and come in?  One of the two ways is enough."""
    others = [each for each in facts.heard.replies if each.here.address != facts.here]
    out = {each.way for each in others} - {DIRECT}
    heard = {
        way
        for way, calls in facts.heard.calls.items()
        if any(calling.address != facts.here for _, calling in calls)
    }
    if not out and not heard:
        return _unheard(facts)
    if not out:
        return Finding(
            "calls",
            f"calls come in ({_ways(heard)}), but nobody answers those of this machine",
            "a firewall here may keep it in: `sudo ufw allow out to 239.255.77.7`, and look at the "
            "access point's multicast filter",
        )
    if not heard:
        blocked = "the port is taken here" if facts.heard.is_deaf else "no call comes in"
        return Finding(
            "calls",
            f"calls go out ({_ways(out)}), but {blocked}",
            f"open the port here: `sudo ufw allow {BEACON_PORT}/udp`; on Wi-Fi switch power saving "
            "off: `sudo iw dev wlan0 set power_save off`",
        )
    both = out & heard
    count = len({each.here.node for each in others})
    ways = f"{_ways(both)}, both ways" if both else f"{_ways(out)} out, {_ways(heard)} in"
    return Finding("calls", f"{ways}; answered by {_nodes(count)}")


def _unheard(facts: Facts) -> Finding:
    if any(not each.refusal or each.has_udp for each in facts.others):
        return Finding(
            "calls",
            "other nodes are there, but neither multicast nor broadcast gets through to them",
            "new nodes do not appear by themselves: start them with --join HOST, or let the access "
            "point pass multicast and open UDP port "
            f"{BEACON_PORT} on all machines (`sudo ufw allow {BEACON_PORT}/udp`)",
        )
    where = ", ".join(each for each in facts.own if not each.startswith("127."))
    if not where:
        remedy = "look at its cable or Wi-Fi (`ip address`)"
        return Finding("calls", "this machine is on no network", remedy)
    return Finding(
        "calls",
        f"no other node of cluster {facts.cluster} answers on the network of {where}",
        "start one (`nanoboost up`); if one runs, call the doctor there: a guest network keeps "
        "machines apart, and calls do not leave a network (then --join HOST)",
    )


def _nodes(count: int) -> str:
    return "1 node" if count == 1 else f"{count} nodes"


def _ways(ways: set[str]) -> str:
    if {MULTICAST, BROADCAST} <= ways:
        return "multicast and broadcast"
    return f"{next(iter(sorted(ways)))} alone"


def _reach(seen: Seen) -> Finding:
    port = seen.address.port
    if not seen.refusal and seen.has_udp:
        return Finding("node", f"{seen}: TCP and UDP answer")
    if not seen.refusal:
        return Finding(
            "node",
            f"{seen}: TCP answers, UDP does not",
            f"open UDP port {port} there and here: `sudo ufw allow {port}/udp`; until then it is "
            "watched over TCP, which takes longer",
        )
    if seen.has_udp:
        return Finding(
            "node",
            f"{seen}: UDP answers, TCP does not ({seen.refusal})",
            f"open TCP port {port} there: `sudo ufw allow {port}/tcp`",
        )
    return Finding("node", f"{seen}: {seen.refusal}", _remedy(seen))


def _remedy(seen: Seen) -> str:
    if "credential" in seen.refusal:
        return "copy cluster.pem from a node of this cluster to that machine, and start it anew"
    if "nobody listens" in seen.refusal:
        return "the machine is on, its node is not running: `nanoboost up` there"
    return "switch the machine on, look at its cable or Wi-Fi; a firewall may keep both ports shut"


# --- who they are --------------------------------------------------------------------------------


def _addresses(facts: Facts) -> Iterator[Finding]:
    """Whoever speaks from one address and names another cannot be reached."""
    for reply in facts.heard.replies:
        said, spoke = reply.here.address.host, reply.source.host
        if reply.way != DIRECT and said != spoke and spoke not in facts.own:
            yield Finding(
                "address",
                f"{reply.here.name} speaks from {spoke}, and tells others to reach it at {said}",
                f"start it with --advertise {spoke}",
            )
            return


def _names(facts: Facts) -> Iterator[Finding]:
    addresses: dict[str, dict[NodeId, Address]] = defaultdict(dict)
    claims: dict[NodeId, dict[Address, None]] = defaultdict(dict)
    for seen in facts.nodes:
        if seen.state in ("", "alive", "suspect"):
            addresses[seen.name][seen.node] = seen.address
    for reply in facts.heard.replies:
        addresses[reply.here.name][reply.here.node] = reply.here.address
        claims[reply.here.node][reply.here.address] = None
    clashes = [(name, held) for name, held in addresses.items() if name and len(held) > 1]
    for name, held in clashes:
        yield Finding(
            "names",
            f"{len(held)} nodes are called {name}: at {_listed(held.values())}",
            "they work, but nobody can tell them apart: start one of them with --name NAME",
        )
    for node, at in claims.items():
        if len(at) > 1:
            yield Finding(
                "names",
                f"one node id ({node}) is used at {_listed(at)}: a copied disk or card",
                "stop one of them, move its state directory away, and start it again",
            )
    if not clashes:
        yield Finding("names", f"{_nodes(len(addresses))}, each with a name of its own")


def _listed(addresses: Iterable[Address]) -> str:
    return " and ".join(sorted(str(each) for each in addresses))


def _clocks(facts: Facts) -> Iterator[Finding]:
    ahead = {reply.here.name: reply.ahead_s for reply in facts.heard.replies}
    if not ahead:
        return
    name, worst_s = max(ahead.items(), key=lambda each: abs(each[1]))
    if abs(worst_s) <= CLOCK_S:
        yield Finding("clocks", f"they agree within {max(0.1, abs(worst_s)):.1f} s")
        return
    yield Finding(
        "clocks",
        f"the clock of {name} is {_span(abs(worst_s))} {'ahead' if worst_s > 0 else 'behind'}",
        "`sudo timedatectl set-ntp true` there (nodes do without, but logs and file times lie)",
    )


def _span(seconds: float) -> str:
    for unit_s, unit in ((YEAR_S, "years"), (DAY_S, "days"), (3600.0, "hours")):
        if seconds >= 2 * unit_s:
            return f"{seconds / unit_s:.0f} {unit}"
    return f"{seconds:.0f} seconds"


# --- the cluster ---------------------------------------------------------------------------------


def _membership(facts: Facts) -> Iterator[Finding]:
    """Do all nodes that answer see one another, and follow one master?"""
    reports = {seen: seen.report for seen in facts.nodes if seen.report is not None}
    leaders: dict[NodeId, Seen] = {}
    is_whole = True
    for seen, report in reports.items():
        if report.master:
            leaders.setdefault(report.master, seen)
        known = {each.node for each in report.nodes if each.state in ("alive", "suspect")}
        unknown = [str(other) for other, own in reports.items() if own.node not in known]
        if unknown:
            is_whole = False
            yield Finding(
                "members",
                f"{seen} does not know {', '.join(unknown)}",
                "they may only just have started: call the doctor again in a minute; then look at "
                "the lines about UDP, TCP and credentials above",
            )
    if len(leaders) > 1:
        yield Finding(
            "members",
            f"{' and '.join(map(str, leaders.values()))} follow different masters: two clusters",
            "keep the one with the jobs; stop the nodes of the other, move their state directories "
            "away, and start them with --join auto",
        )
    elif is_whole and reports:
        alone = "" if leaders else "; there is no master, see `nanoboost status`"
        yield Finding("members", f"{_nodes(len(reports))} that see one another{alone}")


def _work(facts: Facts) -> Iterator[Finding]:
    """Why the master gives no work to a node: its NAS, most often."""
    for seen in facts.nodes:
        if seen.report is None or seen.report.master != seen.report.node:
            continue
        notes = [(each.name, each.note) for each in seen.report.nodes if each.note]
        for name, note in notes:
            if note != "leaving":
                yield Finding("work", f"{name} gets no work: {note}", "mend that on this machine")
        if not notes:
            yield Finding("work", "every node is fit for work, and has the NAS")
        return
