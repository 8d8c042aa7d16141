"""Known bugs, put into whole nodes on purpose: the simulator must find every one.

**A world that finds nothing may be too kind; this says how kind it is.**  Each bug is a patch while
a run goes on; `scenario` is the module that looks for it, `budget` how many seeds it may take.

    python -m tests.simulations.planted            # the table of docs/simulation-evidence.md
    python -m tests.simulations.planted --only 7   # one of them
"""

import argparse
import importlib
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from attrs import evolve, frozen
from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import LoopingCall
from twisted.logger import globalLogBeginner

from nanoboost.agent import runner
from nanoboost.agent.runner import Runner
from nanoboost.consensus import quorum
from nanoboost.consensus.durability import Durability
from nanoboost.consensus.effects import Persist, Persisted, ReadReady
from nanoboost.consensus.election import Election
from nanoboost.consensus.messages import Vote
from nanoboost.consensus.reading import Reading
from nanoboost.consensus.registry import Registry
from nanoboost.consensus.service import Consensus
from nanoboost.consensus.snapshotting import Snapshotting
from nanoboost.consensus.state import Role, State
from nanoboost.frontier import Frontier
from nanoboost.gossip import view
from nanoboost.gossip.members import Incarnation, Verdict, decide
from nanoboost.gossip.members import State as Believed
from nanoboost.gossip.service import Gossip
from nanoboost.gossip.view import View
from nanoboost.ids import NodeId, TaskId
from nanoboost.master.closing import Closing
from nanoboost.master.events import Chore
from nanoboost.master.jobs import Job
from nanoboost.master.reign import Reign
from nanoboost.master.scheduler import Scheduler
from nanoboost.master.takeover import Takeover
from nanoboost.net import link
from nanoboost.net.link import Link
from nanoboost.net.pump import Pump
from nanoboost.net.session import PULSE_S, Session
from nanoboost.wire.messages import JobState, Parent
from simulations.checkers.ghosts import do_intersect
from simulations.command.cli import main as play
from simulations.command.sweep import HASH_SEEDS, judged, traces_elsewhere
from simulations.command.sweep import Verdict as Ended
from simulations.hosts import disk
from simulations.hosts.disk import SimStore
from simulations.stage.scenario import Scenario
from simulations.usage import NOT_DETERMINISTIC

Patches = Iterator[None]


@frozen
class Planted:
    """A bug that can be switched on."""

    number: int
    layer: str
    name: str
    scenario: str
    """The module that looks for it."""
    codes: tuple[str, ...]
    """What may find it: `F2`, or `I` for any of Raft's."""
    seed: int
    """The first that is known to find it."""
    budget: int
    """So many seeds, from 0, find it."""
    apply: Callable[[], Any]
    """A context manager."""
    elsewhere: bool = False
    """It shows only in a second process, under another hash seed."""

    def find(self, seeds: range | None = None) -> Ended | None:
        """The first run that sees it."""
        scenario = scenario_of(self.scenario)
        for seed in seeds or range(self.budget):
            found = self.look(scenario, seed)
            if found is not None:
                return found
        return None

    def look(self, scenario: Scenario, seed: int) -> Ended | None:
        """What one run with the bug says, if that is what it should say."""
        with self.apply():
            ended = judged(scenario, seed)
        if self.elsewhere:
            command = ["tests.simulations.planted", "--apply", str(self.number), scenario.name]
            traces = [traces_elsewhere(command, [seed], each)[seed] for each in HASH_SEEDS]
            text = "S4 two processes with other hash seeds differ"
            return (
                evolve(ended, code="S4", status=NOT_DETERMINISTIC, text=text)
                if len({*traces}) > 1
                else None
            )
        family = ended.code.rstrip("0123456789")
        return ended if {ended.code, family} & {*self.codes} else None


PLANTED: list[Planted] = []


def planted(
    layer: str,
    name: str,
    scenario: str,
    codes: str,
    seed: int,
    budget: int,
    *,
    elsewhere: bool = False,
) -> Callable[[Callable[[], Patches]], None]:
    """Make a generator of patches one row of the table."""

    def register(patches: Callable[[], Patches]) -> None:
        number = len(PLANTED) + 1
        PLANTED.append(
            Planted(
                number,
                layer,
                name,
                scenario,
                tuple(codes.split()),
                seed,
                budget,
                contextmanager(patches),
                elsewhere,
            )
        )

    return register


def scenario_of(name: str) -> Scenario:
    """The scenario of a module."""
    found: Scenario = importlib.import_module(f"simulations.{name}").SCENARIO
    return found


# --- the disk ------------------------------------------------------------------------------------


@planted("disk", "a write is announced before it is durable", "blackout", "I F2 M1", 2, 10)
def _() -> Patches:
    commit = SimStore.commit

    def lie(store: SimStore, writes: Any) -> "Deferred[None]":
        commit(store, writes)
        return succeed(None)

    with patch.object(SimStore, "commit", lie):
        yield


# --- consensus -----------------------------------------------------------------------------------


@planted("consensus", "a vote leaves before it is durable", "calm", "I7", 0, 5)
def _() -> Patches:
    def released(self: Durability) -> Iterator[Any]:
        while self._held:
            _, to, message = self._held.popleft()
            yield to, message

    with patch.object(Durability, "released", released):
        yield


@planted("consensus", "term and vote are not written", "blackout", "I M1", 0, 5)
def _() -> Patches:
    persist = Consensus._persist

    def forget(self: Consensus, effect: Persist) -> None:
        persist(self, evolve(effect, hard_state=None))

    with patch.object(Consensus, "_persist", forget):
        yield


@planted(
    "consensus", "votes of other terms and of pre-votes are counted", "failover_storm", "I M1", 0, 5
)
def _() -> Patches:
    def answered(self: Election, now: float, sender: NodeId, message: Vote) -> None:
        if self._state.role in (Role.CANDIDATE, Role.PRE_CANDIDATE):
            self._votes.setdefault(sender, message.is_granted)
            self._count(now)

    with patch.object(Election, "answered", answered):
        yield


@planted("consensus", "a minority counts as a majority", "partition", "I M1 F2 F3", 0, 5)
def _() -> Patches:
    do_intersect.cache_clear()  # the checker remembers what quorums there are
    with patch.object(quorum, "majority", lambda count: max(1, count // 2)):
        yield
    do_intersect.cache_clear()


@planted("consensus", "a leader does not ask whether a quorum hears it", "asymmetric", "L1", 2, 5)
def _() -> Patches:
    def heard(self: Any, now: float) -> set[NodeId]:
        return {self.me, *self.progress}

    with patch.object(State, "heard", heard):
        yield


@planted(
    "consensus", "a new master reads what it has, without a barrier", "failover", "I F2", 2, 10
)
def _() -> Patches:
    def proceed(self: Reading, now: float) -> None:
        for read in self._reads:
            self._state.outbox.append(ReadReady(read.ticket))
        self._reads = []

    with patch.object(Reading, "proceed", proceed):
        yield


class _OnlyNews(Frontier):
    """Says only what was not known before the term began: enough, if frontiers are joined."""

    known: Frontier

    def encode(self) -> bytes:
        told = Frontier.empty(self.tasks)
        for task in self.done():
            winner = self.winner(task)
            if winner is not None and not self.known.is_done(task):
                told.finish(task, winner)
        return told.encode()


@planted(
    "registry", "a frontier replaces the other instead of joining it", "failover", "I F2", 0, 5
)
def _() -> Patches:
    inherited = Job.inherited

    def grow(self: Registry, job: Any, record: Any) -> bool:
        job.decoded, job.encoded = Frontier.decode(record.frontier, job.submitted.tasks), None
        return True

    def begin(entry: Any) -> Job:
        job = inherited(entry)
        told = _OnlyNews(entry.submitted.tasks)
        told.merge(job.frontier)
        told.known, job.frontier = job.frontier, told
        return job

    with patch.object(Registry, "_grow", grow), patch.object(Job, "inherited", begin):
        yield


@planted("consensus", "a snapshot cuts off what is not committed", "snapshot_catchup", "I S1", 0, 5)
def _() -> Patches:
    taken = Snapshotting.taken

    def short(self: Snapshotting, index: int, data: bytes) -> None:
        taken(self, index, data)
        log = self._state.log
        if log.last_index > log.commit:
            self._state.durability.cut(log.commit + 1)
            log.cut(log.commit + 1)

    with patch.object(Snapshotting, "taken", short):
        yield


# --- gossip --------------------------------------------------------------------------------------


@planted("gossip", "a suspicion is not refuted", "partition", "L2 G1 G2", 0, 5)
def _() -> Patches:
    with patch.object(View, "_refute", lambda self, claim: None):
        yield


# --- the network ---------------------------------------------------------------------------------


@planted("net", "a connection is kept however long it is silent", "dead_air", "L1 L2 L3", 2, 10)
def _() -> Patches:
    def pulse(self: Session) -> None:
        self._arm(PULSE_S, self._pulse)

    with patch.object(Session, "_pulse", pulse):
        yield


@planted("net", "a lost connection is never dialled again", "partition", "L1 L2 L3", 0, 5)
def _() -> Patches:
    closed = Link._closed

    def give_up(self: Link, session: Session, reason: Any) -> None:
        closed(self, session, reason)
        self._stopped = True

    with patch.object(Link, "_closed", give_up):
        yield


@planted("net", "a timer is left behind when a node stops", "rolling_restart", "S3", 0, 5)
def _() -> Patches:
    stop = Pump.stop

    def forget(self: Any) -> None:
        timer, self._timer = self._timer, None
        stop(self)
        self._timer = timer

    with patch.object(Pump, "stop", forget):
        yield


@planted("net", "a LoopingCall runs on the global reactor", "calm", "S1", 0, 1)
def _() -> Patches:
    begin = Gossip.startService

    def start(self: Gossip) -> None:
        begin(self)
        LoopingCall(lambda: None).start(1.0)

    with patch.object(Gossip, "startService", start):
        yield


# --- the master ----------------------------------------------------------------------------------


@planted("master", "a lost agent's attempts are waited for", "half_open", "L3", 0, 5)
def _() -> Patches:
    with patch.object(Reign, "lose", lambda self, runs: None):
        yield


@planted("master", "a new master starts from an empty frontier", "failover", "F2", 0, 5)
def _() -> Patches:
    inherited = Job.inherited

    def begin(entry: Any) -> Job:
        job = inherited(entry)
        job.frontier = Frontier.empty(entry.submitted.tasks)
        return job

    with patch.object(Job, "inherited", begin):
        yield


@planted("master", "the number of an attempt is used again", "monkey", "T1", 0, 5)
def _() -> Patches:
    next_attempt = Job.next_attempt

    def again(self: Job, task: TaskId, term: int) -> Any:
        self.started.pop(task, None)
        return next_attempt(self, task, term)

    with patch.object(Job, "next_attempt", again):
        yield


@planted("master", "a task starts before its last parent is done", "calm", "T3", 0, 5)
def _() -> Patches:
    finish = Scheduler.finish

    def known(self: Scheduler, task: TaskId) -> tuple[Parent, ...]:
        found = ((each, self._frontier.winner(each)) for each in self._family.parents[task])
        return tuple(Parent(each, winner) for each, winner in found if winner is not None)

    def hasty(self: Scheduler, task: TaskId, attempt: Any) -> list[TaskId]:
        finish(self, task, attempt)
        return list(self._family.children[task])

    with (
        patch.object(Scheduler, "finish", hasty),
        patch.object(Scheduler, "is_ready", lambda self, task: True),
        patch.object(Scheduler, "parents", known),
    ):
        yield


@planted("master", "a failed attempt is not counted", "user_crash", "L3 T4", 4, 20)
def _() -> Patches:
    def fail(self: Frontier, *_: Any, **__: Any) -> int:
        return 0

    with patch.object(Frontier, "fail", fail):
        yield


@planted("master", "a job is done before its results are published", "calm", "T2", 0, 5)
def _() -> Patches:
    want = Closing._want

    def skip(self: Closing, now: float, job: Job, chore: Chore) -> None:
        if chore is Chore.PUBLISH:
            self.move(job, JobState.DONE)
        else:
            want(self, now, job, chore)

    with patch.object(Closing, "_want", skip):
        yield


@planted("master", "agents are asked in the order of a set", "failover", "S4", 0, 5, elsewhere=True)
def _() -> Patches:
    ask = Takeover.ask

    def leak(self: Takeover, now: float, busy: Any) -> list[NodeId]:
        return list({*ask(self, now, busy)})

    with patch.object(Takeover, "ask", leak):
        yield


# --- the agent -----------------------------------------------------------------------------------


@planted("agent", "any master is obeyed, an old one too", "monkey", "M2", 11, 20)
def _() -> Patches:
    def obeys(self: Runner, now: float, sender: NodeId, message: Any) -> bool:
        if message.term != self._term or sender != self._master:
            self._term, self._master = message.term, sender
            self._introduce(now)
        return True

    with patch.object(Runner, "_obeys", obeys):
        yield


@planted("agent", "a result is forgotten once it has been told", "failover", "T8", 0, 5)
def _() -> Patches:
    tell = Runner._tell

    def forget(self: Runner, now: float, key: Any) -> None:
        tell(self, now, key)
        del self._held[key]

    with patch.object(Runner, "_tell", forget):
        yield


# --- what came later ------------------------------------------------------------------------------


@planted("master", "the end of an attempt counts each time it is told", "monkey", "T7", 8, 20)
def _() -> Patches:
    with patch.object(Job, "has_ended", lambda self, key: False):
        yield


@planted("consensus", "a write that failed is not noticed", "fsync_error", "D4", 0, 5)
def _() -> Patches:
    def persist(self: Consensus, effect: Persist) -> None:
        commit = self._store.commit(effect)
        commit.addCallbacks(lambda _: self._feed(Persisted(effect.token)), lambda _: None)

    with patch.object(Consensus, "_persist", persist):
        yield


@planted("gossip", "a start is spoken of before it is durable", "failover", "D1", 0, 5)
def _() -> Patches:
    def start(self: Gossip) -> None:
        Service.startService(self)
        self._begin(None)

    with patch.object(Gossip, "startService", start):
        yield


@planted("gossip", "a newer incarnation of the living is no news", "partition", "G4", 0, 5)
def _() -> Patches:
    def dull(known: Any, kind: Believed, claim: Incarnation) -> Verdict:
        if known is not None and kind is known[0] is Believed.ALIVE:
            if claim.generation == known[1].generation:
                return Verdict.DROP
        return decide(known, kind, claim)

    with patch.object(view, "decide", dull):
        yield


@planted("net", "what waits for a peer is not counted", "partition", "D3", 1, 5)
def _() -> Patches:
    send_frame = Link.send_frame

    def keep(self: Link, frame: bytes) -> None:
        with patch.object(link, "QUEUE_FRAMES_MAX", 1 << 20):
            send_frame(self, frame)

    with patch.object(link, "QUEUE_FRAMES_MAX", 16), patch.object(Link, "send_frame", keep):
        yield


@planted("agent", "who can keep no more results does not say so", "identity_clash", "S2", 0, 5)
def _() -> Patches:
    def fit(self: Runner) -> str:
        return self._fit

    with patch.object(runner, "HELD_MAX", 1), patch.object(Runner, "_fit_now", property(fit)):
        yield


@planted("consensus", "nobody is given a snapshot", "snapshot_catchup", "L4", 0, 5)
def _() -> Patches:
    with patch.object(Snapshotting, "begin", lambda self, now, node, progress: None):
        yield


@planted("disk", "what is read is not held against its checksum", "bit_rot", "D2 I S1", 0, 5)
def _() -> Patches:
    def taken(path: str, rows: Any) -> Any:
        return [(key, value) for key, value, _ in rows]

    with patch.object(disk, "verified", taken):
        yield


# --- the table -----------------------------------------------------------------------------------


def table(which: list[Planted]) -> list[str]:
    """Search, and tell what was found, as Markdown."""
    lines = [
        "| | layer | bug | scenario | seeds needed | of at most | found by |",
        "|---|---|---|---|---|---|---|",
    ]
    for each in which:
        began = time.process_time()
        found = each.find()
        cost = time.process_time() - began
        needed = "not found" if found is None else f"{found.seed + 1}"
        by = "" if found is None else found.text.splitlines()[0].split(":")[0][:100]
        line = (
            f"| {each.number} | {each.layer} | {each.name} | `{each.scenario}` | {needed} | "
            f"{each.budget} | {by} |"
        )
        print(line, f"  {cost:.0f} s", file=sys.stderr, flush=True)
        lines.append(line)
    return lines


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Put known bugs into the nodes and find them.")
    parser.add_argument("--only", type=int, nargs="*", help="these rows")
    parser.add_argument("--apply", type=int, help="play SCENARIO with this bug; its options follow")
    parser.add_argument("scenario", nargs="?", default="")
    options, rest = parser.parse_known_args()
    if options.apply:
        with PLANTED[options.apply - 1].apply():
            scenario = scenario_of(options.scenario)
            command = ["tests.simulations.planted", "--apply", str(options.apply), scenario.name]
            sys.argv = [sys.argv[0], *rest]
            play(scenario, command)
    globalLogBeginner.beginLoggingTo([], redirectStandardIO=False, discardBuffer=True)
    wanted = options.only or [each.number for each in PLANTED]
    print("\n".join(table([each for each in PLANTED if each.number in wanted])))


if __name__ == "__main__":
    main()
