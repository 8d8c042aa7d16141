"""A scenario: a cluster, a job, what is done to them, and what must be true afterwards.

**A run has two parts**: faults, then rest.  What must never be is checked all the time; what must
come in the end (the job is done, everybody agrees on one master) is asked after the faults are
over.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from attrs import define, field, frozen
from twisted.python.failure import Failure

from nanoboost.errors import LocalError
from nanoboost.ids import JobId
from nanoboost.plan import Plan
from nanoboost.wire.records import JobEntry
from simulations.checkers.frontiers import AttemptsAreUnique, FinishedIsForEver
from simulations.checkers.judge import Broken, Checker, Judge
from simulations.checkers.masters import (
    CutOffMasterCommitsNothing,
    NobodyObeysAnOldMaster,
    OneMasterATerm,
)
from simulations.checkers.outcome import NothingGoesWrongByAccident, ResultsAreRight
from simulations.kernel.journal import Record
from simulations.kernel.prng import Stream
from simulations.kernel.world import MS, SECOND
from simulations.lab import Lab, Model
from simulations.report.lanes import Fault

JOB = JobId("film-1")
VOTERS = 3
"""So many, at least, before anything is done to the cluster."""
ELECTION_NS = 2 * SECOND
"""A master must be there so soon after the loss of one, if a majority of voters is in touch.  (The
profile `lan` waits 0.3 to 0.6 s for the lost one, and a vote may have to be repeated.)"""
LOOK_NS = 100 * MS
SETTLE_NS = SECOND
RECOVER_NS = 40 * SECOND
"""So long after the last fault all must be well.  (In the profile `lan`, gossip speaks to one of
its dead every 10 s; with two dead that may take three rounds.)"""
LIMIT_S = 180


@frozen
class Scenario:
    """`play(stage)` arranges what happens; it must end with `stage.rest()`."""

    name: str
    story: str
    plan: Plan
    play: "Callable[[Stage], None]"
    model: Callable[[Stream], Model] = field(default=lambda draw: Model())
    """What the cluster is made of; may differ from seed to seed."""


class Stage:
    """One run of a scenario while it goes on."""

    def __init__(self, scenario: Scenario, seed: int, *, keep_trace: bool, prose: bool) -> None:
        self.scenario = scenario
        model = scenario.model(Stream(seed, f"model/{scenario.name}"))
        self.lab = Lab(seed, model, keep_trace=keep_trace)
        if prose:
            self.lab.records.prose = []
        self.draw: Stream = self.lab.world.stream(f"scenario/{scenario.name}")
        self.faults: list[Fault] = []
        self.happened: dict[str, bool] = {}
        """What is worth to have happened at least once in a sweep."""
        self.finished = FinishedIsForEver()
        self.masters = OneMasterATerm(self.lab.names)
        self.minority = CutOffMasterCommitsNothing()
        checkers: list[Checker] = [
            self.masters,
            NobodyObeysAnOldMaster(),
            self.finished,
            self.minority,
            AttemptsAreUnique(),
            ResultsAreRight(self.lab.nas, scenario.plan),
            NothingGoesWrongByAccident(self.lab.records),
        ]
        self.judge = Judge(self.lab.world, checkers)
        self.judge.watch(self.lab.records)
        self.lab.records.watchers.append(self._new_master)
        self._rested_at = 0
        self._job_over = False
        self.recovered_ns: dict[str, int] = {}
        """How long after the last fault something was well again, by the code of the claim."""
        self.complaints: list[str] = []
        """What should have come in the end, and did not."""

    # --- what scenarios use ----------------------------------------------------------------------

    def once(self, is_it: Callable[[Record], bool], then: Callable[[], None]) -> None:
        """At the first record that `is_it`, do `then`, as the world."""
        world = self.lab.world
        waiting = [then]

        def look(record: Record) -> None:
            if waiting and is_it(record):
                world.after(0, world.nature, waiting.pop())

        self.lab.records.watchers.append(look)

    def after(self, delay_ns: int, then: Callable[..., None], *arguments: Any) -> None:
        """Do `then` later, as the world."""
        self.lab.world.after(delay_ns, self.lab.world.nature, then, *arguments)

    def at_share(self, share: int, then: Callable[..., None], *arguments: Any) -> None:
        """Do `then` once so many tasks are finished."""
        self.once(
            lambda record: record.event == "finished" and self.done_count >= share,
            partial(then, *arguments),
        )

    def submit_when_all_are_in(self) -> None:
        """The client submits the scenario's job soon after the cluster has found its form: several
        voters, and all others learners."""
        nodes = len(self.lab.model.nodes)
        delay = self.draw.between(200 * MS, SECOND)

        def is_whole(record: Record) -> bool:
            if record.event != "voters" or record["count"] < VOTERS:
                return False
            return len(f"{record['voters']} {record['learners']}".split()) == nodes

        self.once(is_whole, lambda: self.after(delay, self._submit))

    def expect_new_master(self, why: str) -> None:
        """Complain unless a new term has a master soon; the others must be able to elect one."""
        count = self.masters.count

        def look() -> None:
            if self.masters.count == count:
                self.complaints.append(f"L1 {ELECTION_NS / SECOND:g} s after {why}: no new master")

        self.after(ELECTION_NS, look)

    def fault(self, text: str, lasts_ns: int) -> None:
        """Note for the picture what is done to the cluster from now on."""
        now = self.lab.world.now
        self.faults.append(Fault(now, now + lasts_ns, text))

    def _submit(self) -> None:
        self.lab.submit(self.scenario.plan, JOB, self._client_done)

    @property
    def master(self) -> str | None:
        """The node that is master of the highest term, by its own belief."""
        found = [
            (life.node.consensus.status.term, name)
            for name, life in self.lab.lives.items()
            if life.node.consensus.status.is_master
        ]
        return max(found)[1] if found else None

    @property
    def done_count(self) -> int:
        """How many tasks are finished for good."""
        return len(self.finished.winners)

    def rest(self) -> None:
        """All faults are over; the run ends once the job is done and all is well again."""
        self._rested_at = self.lab.world.now
        self._look()

    # --- the end ---------------------------------------------------------------------------------

    def _client_done(self) -> None:
        self._job_over = True

    def _look(self) -> None:
        """See every so often how far the cluster has recovered."""
        rested = self.lab.world.now - self._rested_at
        missing = self._missing()
        for code in ("L1", "L2"):
            if code not in missing:
                self.recovered_ns.setdefault(code, rested)
        if self._job_over and not missing:
            self.after(SETTLE_NS, self._end)
        elif rested > RECOVER_NS and missing:
            self.complaints += [f"{code} {text}" for code, text in missing.items()]
            self._end()
        else:
            self.after(LOOK_NS, self._look)

    def _missing(self) -> dict[str, str]:
        """What is not yet as it should be, by the code of the claim."""
        lives, missing = self.lab.lives, {}
        statuses = {name: life.node.consensus.status for name, life in lives.items()}
        believers = [name for name, status in statuses.items() if status.is_master]
        if len(believers) != 1 or len({status.leader for status in statuses.values()}) != 1:
            missing["L1"] = f"one master that all know: {believers} believe to be it"
        for name, life in lives.items():
            alive = sum(member.state.is_live for member in life.node.gossip.members)
            if alive != len(lives):
                missing["L2"] = f"membership whole: {name} sees {alive} of {len(lives)} alive"
        return missing

    def _end(self) -> None:
        self.complaints += [f"S3 left behind by {each}" for each in self.lab.leftovers]
        if self.lab.exit_status not in (0, None):
            self.complaints.append(f"L3 the job is done: the client ended {self.lab.exit_status}")
        if self.master is not None:
            self._read(self.master, self.lab.world.stop)
        else:
            self.lab.world.stop()

    # --- what later masters know -----------------------------------------------------------------

    def _new_master(self, record: Record) -> None:
        if record.event == "mastership" and record["is_me"]:
            self._read(record.node, lambda: None)

    def _read(self, name: str, then: Callable[[], None]) -> None:
        """Hold the registry of a master against what was acknowledged before."""
        life = self.lab.lives.get(name)
        if life is not None:
            world = self.lab.world
            world.after(0, life.process, self._ask, name, dict(self.finished.winners), then)

    def _ask(
        self, name: str, promised: dict[tuple[str, int], str], then: Callable[[], None]
    ) -> None:
        def compare(entries: tuple[JobEntry, ...]) -> None:
            try:
                self.finished.hold(entries, promised)
            except Broken as broken:
                claim = self.finished.claim
                self.judge.complain("F2", claim, f"master {name}: {broken}")

        def refused(failure: Failure) -> None:
            failure.trap(LocalError)  # it has ceased to be master

        asked = self.lab.lives[name].node.consensus.get_frontier()
        asked.addCallbacks(compare, refused).addBoth(lambda _: then())


@define(eq=False)
class Result:
    """How one run ended."""

    stage: Stage = field()
    seed: int = field()
    cpu_s: float = field()
    end: int = field()

    @property
    def status(self) -> int:
        """The exit status: 0 passed, 1 an invariant, 2 something that should have come did not."""
        if self.stage.judge.violation is not None:
            return 1
        return 2 if self.stage.complaints else 0

    @property
    def trace(self) -> str:
        """The hash of all that happened."""
        return self.stage.lab.world.trace.hex()


def run(
    scenario: Scenario,
    seed: int,
    *,
    until_s: float = LIMIT_S,
    keep_trace: bool = False,
    prose: bool = False,
) -> Result:
    """Play the scenario with this seed, to its end or up to `until_s` seconds of virtual time."""
    began = time.process_time()
    stage = Stage(scenario, seed, keep_trace=keep_trace, prose=prose)
    lab = stage.lab
    lab.start_all()
    stage.after(0, lambda: scenario.play(stage))
    lab.run(int(until_s * SECOND))
    stage.judge.end()
    if not lab.world.stopped and until_s >= LIMIT_S:
        share = f"{stage.done_count} of {len(scenario.plan.tasks)} tasks"
        stage.complaints.append(f"L3 the job is not done after {until_s:g} s: {share}")
    return Result(stage, seed, time.process_time() - began, lab.world.now)
