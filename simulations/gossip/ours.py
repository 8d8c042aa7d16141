"""What happens to a cluster of ours: nothing, a crash, a newcomer, a crowd, a goodbye; and what
others are known to bear badly: a broken network that is mended, a member that is deaf now and then
(Rapid, ATC 2018, section 7), one whose cable is bad, one that stands still for a while.

**Each run is a function of (N, seed)**, and measures from the event to the last member that has
noticed.  Beside it stands what memberlist's LAN profile was measured to do over real sockets on
loopback: its times include a busy machine, ours here are those of the protocol alone.
"""

from collections.abc import Collection, Sequence
from random import Random

from attrs import evolve

from nanoboost.config import GossipTiming
from nanoboost.gossip.members import State
from simulations.gossip.configurations import LAN
from simulations.gossip.network import Network
from simulations.gossip.observers import Noted, Notes, Outcome, latencies, percentile
from simulations.gossip.rows import Case, Judge, Outcomes

MEMBERLIST: dict[str, dict[int, float]] = {
    "idle": {50: 2.00, 100: 2.00, 200: 2.00},
    "crash": {50: 8.91, 100: 11.05, 200: 11.00},
    "join-one": {50: 0.78, 100: 0.53, 200: 0.77},
    "join-mass": {50: 1.19, 100: 2.55, 200: 6.05},
    "leave": {50: 0.61, 100: 0.85, 200: 4.23},
}
"""Datagrams per member and second when idle; seconds until all have noticed, medians of three
trials (of a mass join: of the runs that ended)."""
REST_S = 3.0
LIMIT_S = 60.0
LOOK_S = 0.25
HEAL_LOOK_S = 0.05
IDLE_S = 20.0
CUT_S = 60.0
DEAF_S = 20.0
"""A deaf member hears nothing for so long, then all for so long, and so on."""
BAD_CABLE = 0.8
TROUBLE_S = 120.0
PAUSE_S = 10.0


class Trial:
    """One network of `n`, and what its members announce."""

    def __init__(self, n: int, seed: int, timing: GossipTiming = LAN, *, settle: bool = True):
        self.n = n
        self.notes = Notes()
        self.network = Network(seed, timing, watch=self.notes.watch)
        if settle:
            self.network.start_settled(n, REST_S)
        self.begin()

    def begin(self) -> None:
        """Measure from now on."""
        self._begun = self.network.now
        self._datagrams, self._bytes = self.network.datagrams, self.network.bytes

    def until_whole(self) -> float | None:
        """Run until everybody holds everybody alive; how long that took, in seconds."""
        begun, stations = self.network.now, self.network.stations.values()
        while self.network.now - begun < LIMIT_S:
            if all(
                sum(each.state is State.ALIVE for each in station.swim.members) == self.n
                for station in stations
            ):
                return self.network.now - begun
            self.network.run(HEAL_LOOK_S)
        return None

    def outcome(
        self, notes: list[Noted], about: int, observers: Collection[int], *, is_false: bool = False
    ) -> Outcome:
        """Run until all `observers` have noted `about`."""
        first = full = None
        while full is None and self.network.now - self._begun < LIMIT_S:
            self.network.run(LOOK_S)
            first, full = latencies(notes, self._begun, about, observers)
        troubled = () if is_false else (about,)
        return self.ended(self.notes.false_positives(troubled), first, full)

    def ended(self, false: tuple[int, int], first: float | None, full: float | None) -> Outcome:
        """What came of it, up to now."""
        span = (self.network.now - self._begun) * self.n
        return Outcome(
            *false,
            () if first is None else (first,),
            () if full is None else (full,),
            int(full is None),
            (self.network.datagrams - self._datagrams) / span,
            (self.network.bytes - self._bytes) / span,
        )


def idle(n: int, seed: int) -> Outcome:
    """Nothing happens: what it costs."""
    trial = Trial(n, seed)
    trial.network.run(IDLE_S)
    return evolve(trial.ended(trial.notes.false_positives(()), None, None), missed=0)


def crash(n: int, seed: int) -> Outcome:
    """A machine falls silent."""
    trial = Trial(n, seed)
    trial.network.crash(n - 1)
    return trial.outcome(trial.notes.downs, n - 1, range(n - 1))


def process_crash(n: int, seed: int) -> Outcome:
    """A process ends, and its host says so to whoever asks."""
    trial = Trial(n, seed)
    trial.network.crash(n - 1, unplug=False)
    return trial.outcome(trial.notes.downs, n - 1, range(n - 1))


def leave(n: int, seed: int) -> Outcome:
    """A member says goodbye."""
    trial = Trial(n, seed)
    trial.network.leave(n - 1)
    return trial.outcome(trial.notes.goodbyes, n - 1, range(n - 1))


def join_one(n: int, seed: int) -> Outcome:
    """One more comes, and knows one address."""
    trial = Trial(n - 1, seed)
    trial.network.start(n - 1)
    return trial.outcome(trial.notes.ups, n - 1, range(n - 1), is_false=True)


def join_mass(n: int, seed: int) -> Outcome:
    """All come at once, and know one address: until everybody knows everybody."""
    trial = Trial(n, seed, settle=False)
    for number in range(n):
        trial.network.start(number)
    known: dict[tuple[int, int], float] = {}
    while len(known) < n * (n - 1) and trial.network.now < LIMIT_S:
        trial.network.run(LOOK_S)
        known = {}
        for note in trial.notes.ups:
            known.setdefault((note.observer, note.about), note.at)
    full = max(known.values()) if len(known) == n * (n - 1) else None
    return trial.ended(trial.notes.false_positives(()), None, full)


def heal(n: int, seed: int) -> Outcome:
    """The network is mended after a minute in two halves: until everybody holds everybody alive.
    Whoever is held dead by its own side is a false positive."""
    trial = Trial(n, seed)
    network, half = trial.network, n // 2
    network.is_cut = lambda a, b: (a < half) != (b < half)
    network.run(CUT_S)
    network.is_cut = lambda a, b: False
    own_side = [note for note in trial.notes.downs if (note.observer < half) == (note.about < half)]
    trial.begin()
    full = trial.until_whole()
    return trial.ended((len(own_side), len(own_side)), None, full)


def deaf(n: int, seed: int) -> Outcome:
    """One member hears nothing for 20 s, then hears for 20 s, and so on: nobody else is harmed,
    and from its last recovery on all agree again."""
    trial = Trial(n, seed)
    network = trial.network
    begun = network.now

    def is_cut(_: int, to: int) -> bool:
        since = network.now - begun
        return to == n - 1 and since < TROUBLE_S and since % (2 * DEAF_S) < DEAF_S

    network.is_cut = is_cut
    network.run(TROUBLE_S)
    return trial.ended(trial.notes.false_positives({n - 1}), None, trial.until_whole())


def bad_cable(n: int, seed: int) -> Outcome:
    """One member loses 80 % of what it sends and of what comes: nobody else is harmed."""
    trial = Trial(n, seed)
    network, random = trial.network, Random(f"bad cable/{seed}").random
    network.drops = lambda a, b: n - 1 in (a, b) and random() < BAD_CABLE
    network.run(TROUBLE_S)
    network.drops = None
    return trial.ended(trial.notes.false_positives({n - 1}), None, trial.until_whole())


def pause(n: int, seed: int) -> Outcome:
    """One member stands still for 10 s, and goes on: until all agree again."""
    trial = Trial(n, seed)
    trial.network.stall(n - 1, timers=True)
    trial.network.run(PAUSE_S)
    trial.network.resume(n - 1)
    trial.begin()
    return trial.ended(trial.notes.false_positives({n - 1}), None, trial.until_whole())


LONG = (heal, deaf, bad_cable, pause)
"""These run for minutes of virtual time."""
LONG_SIZE_MAX = 100


def cases(sizes: Sequence[int], trials: int) -> list[Case]:
    """All of them at each size."""
    found = []
    for name, play in (
        ("idle", idle),
        ("crash", crash),
        ("crash, host up", process_crash),
        ("leave", leave),
        ("join-one", join_one),
        ("join-mass", join_mass),
        ("heal", heal),
        ("deaf now and then", deaf),
        ("80 % loss", bad_cable),
        ("pause", pause),
    ):
        for n in sizes:
            if play in LONG and n > LONG_SIZE_MAX:
                continue
            seeds = range(1 if name == "idle" else trials)
            found.append(Case(name, n, "lan", play, (n,), seeds, _beside(name, n)))
    return found


def _beside(name: str, n: int) -> Judge:
    published = MEMBERLIST.get(name, {}).get(n)

    def judge(outcomes: Outcomes, _first: Outcomes) -> tuple[str, str]:
        if published is None:
            return "", ""
        if name == "idle":
            ours = outcomes[0].messages
            return f"{published:.2f} msgs/node/s", f"{ours / published:.2f}"
        full = [each for outcome in outcomes for each in outcome.full]
        median = f"{percentile(full, 0.5) / published:.2f}" if full else ""
        return f"{published:.2f} s", median

    return judge
