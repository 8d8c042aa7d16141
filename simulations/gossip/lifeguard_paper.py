"""The experiments of the Lifeguard paper (Dadgar, Phillips, Currey, DSN 2018), on our core.

Of N members C block just before each send and just after each receive, for D: once (`threshold`),
or again and again with I in between (`interval`).  FP counts failures announced of members that
were not among the C; FP- those of them that a member outside the C announced.

The paper does not say whether a blocked member's timers go on.  So both are measured: with timers
that go on it makes many more mistakes, and says them all at once when it may speak again; a process
of one thread, as ours is, stands still.
"""

from collections.abc import Sequence
from random import Random

from nanoboost.config import GossipTiming
from simulations.gossip.configurations import LIFEGUARD_TABLE
from simulations.gossip.network import Network
from simulations.gossip.observers import Notes, Outcome, latencies
from simulations.gossip.rows import Case, Judge, Outcomes

REST_S = 5.0
AFTER_S = 30.0

TABLE_IV = {
    "SWIM": (100.00, 100.00),
    "LHA-Probe": (67.72, 32.88),
    "LHA-Suspicion": (3.00, 6.71),
    "Buddy System": (94.08, 44.57),
    "Lifeguard": (1.53, 1.89),
}
"""FP and FP- in per cent of SWIM's (339,002 and 1,326), over the paper's whole grid."""

Cell = tuple[int, float, float]
"""C members, blocked for D seconds, running for I."""
QUICK: tuple[Cell, ...] = ((8, 16.384, 0.064),)
FULL: tuple[Cell, ...] = tuple(
    (c, d, i)
    for c in (4, 8, 16, 32)
    for d, i in ((8.192, 0.064), (16.384, 0.064), (16.384, 1.024), (32.768, 0.064))
)


def _troubled(n: int, c: int, seed: int) -> tuple[int, ...]:
    return tuple(sorted(Random(f"troubled/{seed}").sample(range(n), c)))


def _settled(n: int, timing: GossipTiming, seed: int) -> tuple[Network, Notes]:
    notes = Notes()
    network = Network(seed, timing, watch=notes.watch)
    network.start_settled(n, REST_S)
    return network, notes


def interval(
    n: int, span_s: float, cells: Sequence[Cell], config: str, timers: bool, number: int
) -> Outcome:
    """A cell's members block and run again and again, for `span_s`; the `number` of the run is that
    of the cell, then of the next seed."""
    c, d, i = cells[number % len(cells)]
    seed = number // len(cells)
    network, notes = _settled(n, LIFEGUARD_TABLE[config], seed)
    troubled = _troubled(n, c, seed)
    begun, datagrams, size = network.now, network.datagrams, network.bytes
    while network.now - begun < span_s:
        for number in troubled:
            network.stall(number, timers=timers)
        network.run(d)
        for number in troubled:
            network.resume(number)
        network.run(i)
    return _outcome(network, notes, troubled, begun, datagrams, size)


def threshold(n: int, config: str, timers: bool, c: int, d: float, seed: int) -> Outcome:
    """`c` of `n` members block once for `d` seconds."""
    network, notes = _settled(n, LIFEGUARD_TABLE[config], seed)
    troubled = _troubled(n, c, seed)
    begun, datagrams, size = network.now, network.datagrams, network.bytes
    for number in troubled:
        network.stall(number, timers=timers)
    network.run(d)
    for number in troubled:
        network.resume(number)
    network.run(AFTER_S)
    return _outcome(network, notes, troubled, begun, datagrams, size)


def _outcome(
    network: Network, notes: Notes, troubled: Sequence[int], begun: float, datagrams: int, size: int
) -> Outcome:
    healthy = [number for number in network.stations if number not in troubled]
    found = [latencies(notes.downs, begun, about, healthy) for about in troubled]
    span = (network.now - begun) * len(network.stations)
    return Outcome(
        *notes.false_positives(troubled),
        tuple(first for first, _ in found if first is not None),
        tuple(full for _, full in found if full is not None),
        sum(full is None for _, full in found),
        (network.datagrams - datagrams) / span,
        (network.bytes - size) / span,
    )


# --- the lines -----------------------------------------------------------------------------------


def cases(*, full: bool) -> list[Case]:
    """The interval experiments, one line a configuration as in table IV; then the threshold one."""
    n, span_s, cells, trials = (128, 120.0, FULL, 10) if full else (64, 60.0, QUICK, 1)
    found = []
    for timers in (False, True):
        name = "interval, it stands still" if timers else "interval, timers go on"
        found += [
            Case(
                name, n, config, interval, (n, span_s, cells, config, timers),
                range(len(cells)), _of_swim(config),
            )
            for config in LIFEGUARD_TABLE
        ]  # fmt: skip
    found += [
        Case("threshold", n, config, threshold, (n, config, True, 8, 32.768), range(trials))
        for config in LIFEGUARD_TABLE
    ]
    return found


def _of_swim(config: str) -> Judge:
    published = TABLE_IV.get(config)

    def judge(outcomes: Outcomes, swim: Outcomes) -> tuple[str, str]:
        shares = []
        for name in ("fp", "fp_minus"):
            ours, whole = (sum(getattr(run, name) for run in runs) for runs in (outcomes, swim))
            shares.append(f"{100 * ours / whole:.2f}" if whole else "-")
        theirs = "" if published is None else f"{published[0]:.2f} % / {published[1]:.2f} %"
        return theirs, f"{shares[0]} % / {shares[1]} %"

    return judge
