"""A scenario: a cluster, a job, what is done to them, and what must be true afterwards.

**A run has two parts**: in the first the faults of a plan happen, in the second all is healed.
What must never be is checked all the time; what must come in the end (the job is done, everybody
agrees on one master) is asked after the heal, within bounds.
"""

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from attrs import define, field, frozen
from twisted.python.failure import Failure

from nanoboost.errors import LocalError
from nanoboost.ids import JobId, TaskId
from nanoboost.plan import Plan as Job
from nanoboost.wire.messages import JobState
from nanoboost.wire.records import JobEntry
from simulations.checkers.disks import DamageIsSeen, FailedDiskEndsTheNode, StartsAreRemembered
from simulations.checkers.frontiers import (
    AttemptsAreUnique,
    FinishedIsForEver,
    must_be_closed,
)
from simulations.checkers.judge import Broken, Checker, Judge
from simulations.checkers.limits import NobodyIsBusyForNothing, NothingGrows
from simulations.checkers.liveness import MajorityHasMaster
from simulations.checkers.masters import (
    CutOffMasterCommitsNothing,
    NobodyObeysAnOldMaster,
    OneMasterATerm,
)
from simulations.checkers.members import MembersAreTrue
from simulations.checkers.outcome import NothingGoesWrongByAccident, ResultsAreRight
from simulations.checkers.raft import RaftHolds
from simulations.checkers.repeats import SaidTwiceCountsOnce
from simulations.checkers.settled import CLAIMS, AllIsWell, bounds_ns
from simulations.checkers.survivors import WorkOfSurvivorsCounts
from simulations.checkers.tasks import (
    FailuresAreCounted,
    InputsComeFirst,
    NobodyIsOverworked,
    WinnersArePublished,
)
from simulations.faults import Fault, Kill, Plan, knobs
from simulations.faults.knobs import Knob
from simulations.kernel.journal import Record
from simulations.kernel.prng import Stream
from simulations.kernel.world import MS, SECOND
from simulations.stage.jobs import makespan_ns
from simulations.stage.lab import Lab
from simulations.stage.marks import MARKS
from simulations.stage.model import Model

JOB = JobId("film-1")
VOTERS = 3
"""So many, at least, before the job is submitted."""
LOOK_NS = 250 * MS
WATCH_NS = 250 * MS
SETTLE_NS = SECOND
LIMIT_S = 180


@frozen
class Bounds:
    """How soon what must come has come."""

    election_ns: int = 3500 * MS
    """A master, while a majority of voters is in touch.  (The profile `lan` waits 1.0 to 1.6 s for
    a silent one, and as long again if the first vote is split, or refused by one that has heard the
    old master later.)"""
    recover_ns: int = 15 * SECOND
    """The job is done, after the heal, beside what its work takes.  (All else that must be well
    again: `simulations.checkers.settled`.)"""


@frozen
class Scenario:
    """`faults(draw, model)` are what happens; `marks` must be seen in some run of a sweep; `check`
    says, at the end, what else is not as the story wants it."""

    name: str
    story: str
    job: Job
    faults: Callable[[Stream, Model], Iterable[Fault]] = field(default=lambda draw, model: ())
    model: Callable[[Stream], Model] = field(default=lambda draw: Model())
    """What the cluster is made of; may differ from seed to seed."""
    marks: tuple[str, ...] = ()
    check: "Callable[[Stage], Iterable[str]]" = field(default=lambda stage: ())
    bounds: Bounds = field(factory=Bounds)
    exits: tuple[int, ...] = (0,)
    """How the command that follows the job may end."""
    knobs: bool = True
    """Whether numbers of the product are set to something unusual while faults happen."""

    def plan(self, seed: int) -> Plan:
        """What happens with this seed."""
        model = self.model(Stream(seed, f"model/{self.name}"))
        faults = list(self.faults(Stream(seed, f"faults/{self.name}"), model))
        turned = []
        if self.knobs:
            lasts = max((each.until for each in faults), default=0)
            turned = list(knobs(Stream(seed, f"knobs/{self.name}"), lasts))
        return Plan((*turned, *sorted(faults, key=lambda each: each.at)))


class Stage:
    """One run of a scenario while it goes on."""

    def __init__(
        self, scenario: Scenario, seed: int, plan: Plan, *, keep_trace: bool, prose: bool
    ) -> None:
        self.scenario = scenario
        self.plan = plan
        model = scenario.model(Stream(seed, f"model/{scenario.name}"))
        self.lab: Lab = Lab(seed, model, keep_trace=keep_trace)
        if prose:
            self.lab.records.prose = []
        self.happened: dict[str, bool] = {}
        """The scenario's marks, and whether this run has seen them."""
        self.finished: FinishedIsForEver = FinishedIsForEver()
        self.masters: OneMasterATerm = OneMasterATerm(self.lab.names)
        self.members = MembersAreTrue(self.lab)
        raft = RaftHolds()
        self.majority = MajorityHasMaster(self.lab, raft, scenario.bounds.election_ns)
        self.busy = NobodyIsBusyForNothing(self.lab, SECOND // WATCH_NS)
        self.limits = NothingGrows(self.lab, raft, self.members)
        self.well = AllIsWell(self.lab, raft, self._job_is_missing)
        job_ns = scenario.bounds.recover_ns + self._work_ns()
        self.bounds_ns = {**bounds_ns(model.profile), "L3": job_ns}
        """How soon after the heal what must come has come, by the code of the claim."""
        checkers: list[Checker] = [
            self.masters,
            NobodyObeysAnOldMaster(),
            self.finished,
            CutOffMasterCommitsNothing(self.lab.is_cut_off),
            AttemptsAreUnique(),
            SaidTwiceCountsOnce(self.lab.jobs),
            InputsComeFirst(self.lab.jobs),
            FailuresAreCounted(self.lab.jobs),
            NobodyIsOverworked(lambda name: model.host(name).slots),
            WinnersArePublished(self.finished.winners),
            raft,
            StartsAreRemembered(self.lab, self.members),
            DamageIsSeen(self.lab),
            FailedDiskEndsTheNode(),
            ResultsAreRight(self.lab.nas, self.lab.jobs),
            NothingGoesWrongByAccident(self.lab.records),
        ]
        if all(isinstance(each, Kill | Knob) for each in plan):
            checkers.append(WorkOfSurvivorsCounts())
        self.judge = Judge(self.lab.world, checkers)
        self.judge.watch(self.lab.records)
        self.lab.records.watchers.append(self._new_master)
        self.submissions: list[Record] = []
        self.longest_without_master_ns: int = 0
        self._master_seen_at = 0
        self.rested_at = 0
        """When all was healed; 0 before."""
        self._submitted = False
        self.recovered_ns: dict[str, int] = {}
        """How long after the heal something was well again, by the code of the claim."""
        self.complaints: list[str] = []
        """What should have come in the end, and did not."""
        self.registry: dict[JobId, JobState] = {}
        """What the latest master to be read knows of each job."""

    # --- what happens ----------------------------------------------------------------------------

    def begin(self) -> None:
        """Let the cluster come up, and all that is planned happen."""
        world = self.lab.world
        self.lab.start_all()
        for fault in self.plan:
            world.at(fault.at, world.nature, self.lab.apply, fault)
        world.at(self.plan.until, world.nature, self._rest)
        self.lab.records.watchers.append(self._note_submission)
        self._after(WATCH_NS, self._watch)

    def _after(self, delay_ns: int, then: Callable[..., None], *arguments: Any) -> None:
        self.lab.world.after(delay_ns, self.lab.world.nature, then, *arguments)

    def _note_submission(self, record: Record) -> None:
        if record.event == "submitted":
            self.submissions.append(record)

    def _submit_when_all_are_in(self) -> None:
        """The client submits the job soon after the cluster has found its form: several voters, and
        everybody known to everybody; or after the heal, if it does not before."""
        nodes = len(self.lab.model.nodes)
        voters = VOTERS if nodes >= VOTERS else 1  # two never vote
        if not self._submitted and len(self.lab.voters) >= voters:
            if len(self.lab.lives) >= nodes and not self.well.members():
                self._submitted = True
                delay = self.lab.world.stream("submission").between(0, SECOND)
                self._after(delay, self._submit)

    def _submit(self) -> None:
        self.lab.submit(self.scenario.job, JOB)

    def _watch(self) -> None:
        """See every so often that a majority in touch has a master."""
        self._submit_when_all_are_in()
        now = self.lab.world.now
        if self.lab.master is not None or not self.masters.count:
            self._master_seen_at = now
        without_ns = now - self._master_seen_at
        self.longest_without_master_ns = max(self.longest_without_master_ns, without_ns)
        wrong = self.members.look() or self.limits.look() or self.busy.look()
        if majority := self.majority.look():
            wrong = f"L1 {majority}"
        if wrong:
            self.complaints.append(wrong)
            self.lab.world.stop()
        self._after(WATCH_NS, self._watch)

    @property
    def job_took_ns(self) -> int:
        """From the commit of the first job to its end."""
        ends = [
            record.at
            for record in self.lab.records.records
            if record.event == "job" and record["state"] == "done"
        ]
        return ends[0] - self.submissions[0].at if ends else 0

    @property
    def done_count(self) -> int:
        """How many tasks of the scenario's job are finished for good."""
        return sum(job == JOB for job, _ in self.finished.winners)

    # --- the end ---------------------------------------------------------------------------------

    def _rest(self) -> None:
        """All faults are over; the run ends once the job is done and all is well again."""
        self.rested_at = self.lab.world.now
        self.lab.heal()
        self._look()

    def _look(self) -> None:
        """See every so often how far the cluster has recovered."""
        rested = self.lab.world.now - self.rested_at
        missing = self.well.look()
        for code in CLAIMS:
            if code not in missing:
                self.recovered_ns.setdefault(code, rested)
        if not missing:
            self._after(SETTLE_NS, self._end)
        elif late := self.well.late(self.bounds_ns):
            self.complaints += [f"{code} {missing[code]}" for code in late]
            self._end()
        else:
            self._after(LOOK_NS, self._look)

    def _work_ns(self) -> int:
        """How long the job may take if nothing is done to the cluster any more."""
        model = self.lab.model
        return makespan_ns(self.scenario.job, model.slots * len(model.nodes)) * 3 // 2

    def _job_is_missing(self) -> str:
        waiting = [client for client in self.lab.clients if client.exit_status is None]
        if not waiting and self.lab.clients:
            return ""
        return f"the job is done: {self.done_count} of {len(self.scenario.job.tasks)} tasks are"

    def _end(self) -> None:
        self.complaints += [f"S3 left behind by {each}" for each in self.lab.leftovers]
        exits = (*self.scenario.exits, *((1,) if self._went_wrong() else ()), None)
        self.complaints += [
            f"L3 the job is done: the client ended {client.exit_status}"
            for client in self.lab.clients
            if client.exit_status not in exits and not client.cancelled
        ]
        if self.lab.master is not None:
            self._read(self.lab.master, self._check)
        else:
            self._check()

    def _check(self) -> None:
        self.complaints += self.scenario.check(self)
        self.lab.world.stop()

    def _went_wrong(self) -> bool:
        """Whether user code has failed more often than it may, so that the job must fail."""
        records = self.lab.records.records
        times = Counter(TaskId(each["task"]) for each in records if each.event == "misdeed")
        plan = self.scenario.job
        return any(count > plan.class_of(task).retries for task, count in times.items())

    def close(self) -> None:
        """The run is over, at its end or before."""
        self.judge.end()
        self.happened = {name: MARKS[name](self) for name in self.scenario.marks}

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
                for entry in entries:
                    self.registry[entry.submitted.job] = entry.state
                    must_be_closed(entry, self.lab.jobs[entry.submitted.job])
            except Broken as broken:
                code, claim = broken.code or "F2", broken.claim or self.finished.claim
                self.judge.complain(code, claim, f"master {name}: {broken}")

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
    def plan(self) -> Plan:
        """What was done to the cluster."""
        return self.stage.plan

    @property
    def trace(self) -> str:
        """The hash of all that happened."""
        return self.stage.lab.world.trace.hex()

    @property
    def outputs(self) -> str:
        """The hash of what was published: that of the run without faults."""
        nas, job = self.stage.lab.nas, self.stage.scenario.job
        digest = hashlib.sha256()
        for number in job.results:
            for output in job.tasks[number].outputs:
                for path in output.paths:
                    digest.update(nas.files.get(path, b"nothing") + b"\n")
        return digest.hexdigest()


def run(
    scenario: Scenario,
    seed: int,
    plan: Plan | None = None,
    *,
    until_s: float = LIMIT_S,
    keep_trace: bool = False,
    prose: bool = False,
) -> Result:
    """Play the scenario with this seed, to its end or up to `until_s` seconds of virtual time.

    `plan` is what happens; without it, what the scenario draws for the seed.  All else is a
    function of the seed: the same seed with less of the plan differs only by what was left out.
    """
    began = time.process_time()
    plan = scenario.plan(seed) if plan is None else plan
    stage = Stage(scenario, seed, plan, keep_trace=keep_trace, prose=prose)
    lab = stage.lab
    stage.begin()
    lab.run(int(until_s * SECOND))
    stage.close()
    if not lab.world.stopped and until_s >= LIMIT_S:
        share = f"{stage.done_count} of {len(scenario.job.tasks)} tasks"
        stage.complaints.append(f"L3 the job is not done after {until_s:g} s: {share}")
    return Result(stage, seed, time.process_time() - began, lab.world.now)
