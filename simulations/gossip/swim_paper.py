"""Figures 2, 3 and 4 of the SWIM paper (Das, Gupta, Motivala, DSN 2002), on our core.

T' = 2 s, one indirect probe, rumors on probes only, no TCP but to the coordinator.  In the paper
whoever hears that it was declared dead is out for good: such a member is stopped here.
"""

from nanoboost.gossip.members import State
from nanoboost.gossip.messages import Datagram
from simulations.gossip.configurations import LAN, SWIM_PAPER, SWIM_VARIANTS
from simulations.gossip.network import Network, Station, node_id
from simulations.gossip.observers import Notes, Outcome, latencies, percentile
from simulations.gossip.rows import Case, Judge, Outcomes

PERIOD_S = SWIM_PAPER.probe_interval_s
PERIODS = 40
FIG2 = {5: 2.1, 14: 2.1, 28: 2.0, 56: 2.0}
"""Messages sent, or received, per member and period; digitised."""
FIG3A = {10: 1.1, 19: 2.0, 28: 2.05, 37: 1.15}
FIG3A_ANALYTIC = 1.58
"""Periods until the first detection; digitised, and e / (e - 1)."""
FIG3B = {13: 1.25, 28: 3.0, 43: 2.5, 56: 2.25}
"""Median periods until a member has heard of it; digitised."""
FIG3C = {10: 9, 28: 12, 56: 15}
"""Periods of suspicion."""
FIG4 = {"SWIM+Inf": (6, 4), "SWIM+Inf+Susp": (14, 12)}
"""Group size at its peak and in the end; digitised."""
MEMBERS, JOIN_GAP_S, LOSS, END_S = 17, 5.0, 0.10, 175.0
STABLE_S = 95.0
"""From here on, 15 s after the last has come, the group is to be whole."""


def _settled(n: int, seed: int) -> tuple[Network, Notes]:
    notes = Notes()
    network = Network(seed, SWIM_PAPER, streams=False, watch=notes.watch)
    network.start_settled(n, 2 * PERIOD_S)
    return network, notes


def load(n: int, seed: int) -> Outcome:
    """Figure 2: what it costs."""
    network, notes = _settled(n, seed)
    datagrams, size = network.datagrams, network.bytes
    network.run(PERIODS * PERIOD_S)
    span = PERIODS * PERIOD_S * n
    return Outcome(
        *notes.false_positives(()),
        messages=(network.datagrams - datagrams) / span,
        bytes=(network.bytes - size) / span,
    )


def failure(n: int, seed: int) -> Outcome:
    """Figure 3: one member fails.  Periods until it is first suspected; from there until the median
    member has heard of it; and until the first suspicion ends."""
    network, notes = _settled(n, seed)
    failed, begun = n - 1, network.now
    network.crash(failed)
    network.run(60 * PERIOD_S)
    heard = sorted(note.at for note in notes.suspicions if note.about == failed)
    detected = heard[0]
    first, full = latencies(notes.downs, begun, failed, range(n - 1))
    assert first is not None
    others = heard[1:]
    periods = (
        (detected - begun) / PERIOD_S,
        (percentile(others, 0.5) - detected) / PERIOD_S,
        (begun + first - detected) / PERIOD_S,
    )
    return Outcome(
        *notes.false_positives((failed,)), (first,), () if full is None else (full,), figure=periods
    )


def group(config: str, seed: int) -> Outcome:
    """Figure 4: members join one after another, and every tenth packet is lost at its receiver."""
    is_ours = config not in SWIM_VARIANTS
    notes = Notes()
    timing = LAN if is_ours else SWIM_VARIANTS[config]
    network = Network(seed, timing, loss=LOSS, streams=config == "lan", watch=notes.watch)
    if not is_ours:
        network.screen = _survives
    for number in range(MEMBERS):
        network.at(JOIN_GAP_S * number, network.start, number)
    sizes = []
    while network.now < END_S:
        network.run(1.0)
        sizes.append((network.now, _group_size(network, strict=is_ours)))
    stable = min(size for at, size in sizes if at >= STABLE_S) if is_ours else sizes[-1][1]
    return Outcome(
        *notes.false_positives(()),
        messages=network.datagrams / END_S / MEMBERS,
        bytes=network.bytes / END_S / MEMBERS,
        figure=(max(size for _, size in sizes), stable),
    )


def _survives(station: Station, message: Datagram) -> bool:
    me = node_id(station.number)
    if station.number and any(
        rumor.node == me and rumor.kind is State.DEAD for rumor in message.rumors
    ):
        station.is_running = False
    return station.is_running


def _group_size(network: Network, *, strict: bool) -> int:
    """The running members that the coordinator, or (`strict`) every running one, holds live."""
    running = [station for station in network.stations.values() if station.is_running]
    views = [
        {member.node for member in station.swim.members if member.state.is_live}
        for station in (running if strict else running[:1])
    ]
    return sum(all(node_id(station.number) in view for view in views) for station in running)


# --- the lines -----------------------------------------------------------------------------------


def cases(trials: int) -> list[Case]:
    """All of them."""
    found = [
        Case("swim-fig2", n, "SWIM+Inf+Susp", load, (n,), range(1), _per_period(published))
        for n, published in FIG2.items()
    ]
    found += [
        Case("swim-fig3", n, "SWIM+Inf+Susp", failure, (n,), range(trials), _fig3(n))
        for n in sorted({*FIG3A, *FIG3B, *FIG3C})
    ]
    found += [
        Case("swim-fig4", MEMBERS, config, group, (config,), range(trials), _fig4(config))
        for config in (*SWIM_VARIANTS, "lan", "lan, UDP only")
    ]
    return found


def _per_period(published: float) -> Judge:
    def judge(outcomes: Outcomes, _first: Outcomes) -> tuple[str, str]:
        ours = outcomes[0].messages * PERIOD_S
        return f"{published:.1f} sent a period", f"{ours:.2f} / {published:.1f}"

    return judge


def _fig3(n: int) -> Judge:
    published = [FIG3A.get(n), FIG3B.get(n), FIG3C.get(n)]

    def judge(outcomes: Outcomes, _first: Outcomes) -> tuple[str, str]:
        detected = sum(outcome.figure[0] for outcome in outcomes) / len(outcomes)
        heard, lasted = (percentile([o.figure[i] for o in outcomes], 0.5) for i in (1, 2))
        theirs = " + ".join("?" if each is None else f"{each:g}" for each in published)
        return f"{theirs} periods", f"{detected:.2f} + {heard:.2f} + {lasted:.2f}"

    return judge


def _fig4(config: str) -> Judge:
    published = FIG4.get(config)

    def judge(outcomes: Outcomes, _first: Outcomes) -> tuple[str, str]:
        peaks, ends = ([outcome.figure[i] for outcome in outcomes] for i in (0, 1))
        peak, end = percentile(peaks, 0.5), percentile(ends, 0.5)
        ours = f"peak {peak:g}, end {end:g} (least {min(ends):g})"
        return "" if published is None else f"peak {published[0]}, end {published[1]}", ours

    return judge
