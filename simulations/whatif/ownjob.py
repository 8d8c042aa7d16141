"""A user's own job on the user's own cluster, once: what happens if machines die in the middle?

**The nodes, the scheduler and the checkers are the product's**, so the answer is its behaviour and
not a formula; only the user's functions are replaced, by how long they take.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from attrs import define, evolve, field, frozen

from nanoboost.errors import UserError
from nanoboost.graph import NanoGraph, load_graph
from nanoboost.plan import Plan as Job
from simulations.faults import Plan, PowerOff
from simulations.kernel.journal import Record
from simulations.kernel.world import MS, SECOND
from simulations.report.lanes import lanes
from simulations.stage.jobs import makespan_ns
from simulations.stage.scenario import Scenario, Stage
from simulations.whatif.cluster import Cluster

SECONDS = 1.0
"""How long a task takes of which nothing is said."""
FOR_GOOD_NS = 10**6 * SECOND
LOOK_NS = 100 * MS
PATIENCE = 4
"""A job that takes so many times as long as it could at the worst, and `GRACE_NS`, has failed."""
GRACE_NS = 120 * SECOND


@frozen
class Death:
    """Some hosts lose their power together: when a share of the tasks is finished, or so many
    seconds after the start of the job; for good, or for a while."""

    hosts: tuple[str, ...]
    share: float | None = None
    after_s: float | None = None
    back_s: float | None = None

    def at(self, share: float, *, back_s: float | None = None) -> "Death":
        """When this share (0 to 1) of the tasks is finished."""
        return evolve(self, share=share, after_s=None, back_s=back_s)

    def after(self, seconds: float, *, back_s: float | None = None) -> "Death":
        """So many seconds after the submission."""
        return evolve(self, share=None, after_s=seconds, back_s=back_s)

    def __str__(self) -> str:
        dies = f"{' + '.join(self.hosts)} {'dies' if len(self.hosts) == 1 else 'die'}"
        when = f"{self.share * 100:g} %" if self.share is not None else f"{self.after_s or 0:g} s"
        back = "" if self.back_s is None else f", back after {self.back_s:g} s"
        return f"{dies} at {when}{back}"


def kill(*hosts: str) -> Death:
    """These hosts lose their power, at half of the job unless `.at` or `.after` says otherwise."""
    return Death(hosts, share=0.5)


class _Watched(Stage):
    """A run that ends with the job, whatever else is still broken then."""

    def begin(self) -> None:
        super().begin()
        self.lab.world.after(LOOK_NS, self.lab.world.nature, self._see)

    def _rest(self) -> None:
        """Nothing is healed but what its time is over."""

    def _see(self) -> None:
        if self.lab.clients and all(each.exit_status is not None for each in self.lab.clients):
            self.lab.world.stop()
        self.lab.world.after(LOOK_NS, self.lab.world.nature, self._see)


@define(eq=False)
class Outcome:
    """How one run of the job ended.  Times are in seconds of virtual time."""

    stage: Stage = field(repr=False)
    seed: int = field()
    deaths: tuple[Death, ...] = field()
    makespan_s: float | None = field()
    """From submission to the end of the job; None if it did not finish in time."""
    died_at_ns: int | None = field()

    @property
    def finished(self) -> bool:
        """Whether the job is done and all of its results are what they should be."""
        return self.makespan_s is not None and not self.problem

    @property
    def problem(self) -> str:
        """What should never be, and was; "" if nothing."""
        violation = self.stage.judge.violation
        return str(violation) if violation else "; ".join(self.stage.complaints)

    @property
    def why(self) -> str:
        """Why it did not finish; "" if it did."""
        if self.finished:
            return ""
        if self.problem:
            return self.problem.splitlines()[0]
        told = [line for each in self.stage.lab.clients for line in each.watcher.lines]
        if any(each.exit_status for each in self.stage.lab.clients):
            return told[-1] if told else "the job has failed"
        share = f"{self.stage.done_count} of {len(self.stage.scenario.job.tasks)} tasks"
        return f"{share} were finished after {self.stage.lab.world.now / SECOND:.0f} s"

    @property
    def rerun(self) -> int:
        """Tasks that were started once more."""
        return self.stage.finished.again

    @property
    def lost_s(self) -> dict[str, float]:
        """Work that died with its hosts, by class of tasks, in seconds of the hosts that died."""
        lost: dict[str, float] = {}
        for begun, at in _died(self.stage.lab.records.records):
            name = str(begun["name"]).rpartition("-")[0]
            lost[name] = lost.get(name, 0.0) + (at - begun.at) / SECOND
        return lost

    @property
    def voters_lost(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The voters when the hosts died, and which of them did."""
        voters: tuple[str, ...] = ()
        for record in self.stage.lab.records.records:
            if self.died_at_ns is not None and record.at > self.died_at_ns:
                break
            if record.event == "voters":
                names = self.stage.lab.names
                found = str(record["voters"]).split()
                voters = tuple(names[each] for each in names if each in found)
        dead = {host: None for death in self.deaths for host in death.hosts}
        return voters, tuple(name for name in voters if name in dead)

    def timeline(self) -> str:
        """The run as lanes over time."""
        lab, job = self.stage.lab, self.stage.scenario.job
        end = lab.world.now
        picture = lanes(lab.model.nodes, lab.records.records, lab.deeds, len(job.tasks), end)
        return "\n".join(picture)

    def finished_at_ns(self, share: float) -> int:
        """When this share of the tasks was finished."""
        times = [each.at for each in self.stage.lab.records.records if each.event == "finished"]
        wanted = max(1, round(share * len(self.stage.scenario.job.tasks)))
        assert len(times) >= wanted, "asked of a run that finished"
        return times[wanted - 1]


def _died(records: Sequence[Record]) -> Iterable[tuple[Record, int]]:
    """The attempts that were running when their host died, and when that was."""
    running: dict[str, dict[tuple[int, str], Record]] = {}
    for record in records:
        if record.event == "started":
            running.setdefault(record.node, {})[record["task"], record["attempt"]] = record
        elif record.event == "ended":
            running.get(record.node, {}).pop((record["task"], record["attempt"]), None)
        elif record.event == "down":
            for begun in running.pop(str(record["node"]), {}).values():
                yield begun, record.at


# --- the job -------------------------------------------------------------------------------------


def load_job(spec: str, params: Mapping[str, str], nas_dir: Path) -> Job:
    """The plan of `FILE[:Graph]` with these parameters.  Raises `UserError`."""
    return load_graph(spec).from_text(params).freeze(nas_dir)


def timed(job: Job, cluster: Cluster) -> tuple[Job, list[str]]:
    """The plan with sizes in seconds of a machine of speed 1; and the classes that are guessed."""
    wrong = [name for name in cluster.seconds if name not in {each.name for each in job.classes}]
    if wrong:
        classes = ", ".join(each.name for each in job.classes)
        raise UserError(f"seconds.{wrong[0]}: {job.graph} has no such class, but {classes}")
    tasks = []
    guessed: dict[str, None] = {}
    for task in job.tasks:
        name = job.classes[task.cls].name
        if name not in cluster.seconds:
            guessed[name] = None
        seconds = cluster.seconds.get(name, SECONDS) * (task.size or 1.0)
        tasks.append(evolve(task, size=max(seconds, 0.001)))
    return evolve(job, tasks=tuple(tasks)), list(guessed)


def check(job: Job, cluster: Cluster, deaths: Iterable[Death]) -> None:
    """See that the cluster can run the job at all, and that who dies is there.  `UserError`."""
    for cls in job.classes:
        able = [
            name
            for name, host in cluster.hosts.items()
            if host.slots >= cls.cores and {*cls.labels} <= {*host.labels}
        ]
        if not able:
            needs = " and ".join([f"{cls.cores} slots", *(f"label {each}" for each in cls.labels)])
            raise UserError(f"no host can run {cls.name}: it needs {needs}")
    for death in deaths:
        for host in death.hosts:
            if host not in cluster.hosts:
                raise UserError(f"there is no host {host}: {', '.join(cluster.hosts)}")
        if death.share is not None and not 0 < death.share < 1:
            raise UserError(f"{death.share * 100:g} % of the tasks: say more than 0, less than 100")


# --- a run ---------------------------------------------------------------------------------------


def run(
    graph: NanoGraph | Job,
    cluster: Cluster,
    faults: Sequence[Death] = (),
    seed: int = 1,
    *,
    nas_dir: Path = Path(),
) -> Outcome:
    """Play the job once.  `seed` decides delays and durations; a `NanoGraph` is frozen against the
    files in `nas_dir`.  Raises `UserError` if that cannot be."""
    job = graph if isinstance(graph, Job) else graph.freeze(nas_dir)
    check(job, cluster, faults)
    sized, _ = timed(job, cluster)
    calm = _play(sized, cluster, (), Plan(), seed)
    return after_calm(sized, cluster, faults, seed, calm) if faults else calm


def after_calm(
    job: Job, cluster: Cluster, deaths: Sequence[Death], seed: int, calm: Outcome
) -> Outcome:
    """The same run as `calm`, the same up to the moment at which hosts die."""
    if not calm.finished:
        return calm
    faults = []
    for death in deaths:
        if death.share is not None:
            at = calm.finished_at_ns(death.share)
        else:
            at = calm.stage.submissions[0].at + int((death.after_s or 0) * SECOND)
        lasts = FOR_GOOD_NS if death.back_s is None else int(death.back_s * SECOND)
        faults += [PowerOff(at, lasts, host) for host in death.hosts]
    return _play(job, cluster, tuple(deaths), Plan(tuple(faults)), seed)


def _play(job: Job, cluster: Cluster, deaths: tuple[Death, ...], plan: Plan, seed: int) -> Outcome:
    scenario = Scenario("own", f"{job.graph} on {cluster}", job, model=lambda draw: cluster.model())
    stage = _Watched(scenario, seed, plan, keep_trace=False, prose=False)
    stage.begin()
    back = max((death.back_s or 0.0 for death in deaths), default=0.0)
    stage.lab.run(int(PATIENCE * _worst(job, cluster) + back * SECOND) + GRACE_NS)
    stage.close()
    done = [
        record
        for record in stage.lab.records.records
        if record.event == "job" and record["state"] == "done"
    ]
    makespan = (done[0].at - stage.submissions[0].at) / SECOND if done else None
    died_at = min((fault.at for fault in plan), default=None)
    return Outcome(stage, seed, deaths, makespan, died_at)


def _worst(job: Job, cluster: Cluster) -> float:
    """How long the job may take, at the worst, on what is there."""
    slowest = min(host.speed for host in cluster.hosts.values())
    return makespan_ns(job, cluster.slots) / slowest
