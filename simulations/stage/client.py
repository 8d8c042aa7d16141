"""The client of a run: somebody at a terminal, with the command line's own code.

**A user is patient**: a command that gave up because no node answered, or because the NAS failed
just then, is typed again, with the same job id, so a job is never submitted twice.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from nanoboost.cli.cluster import Cluster, Unreachable
from nanoboost.cli.run import submit_and_follow
from nanoboost.errors import UserError
from nanoboost.ids import JobId
from nanoboost.nas.layout import code_path, plan_path
from nanoboost.plan import Plan, encode_plan, plan_digest
from nanoboost.wire.messages import Cancel, Cancelled, FailureReport, JobReport, Submit
from simulations.kernel.world import SECOND

if TYPE_CHECKING:
    from simulations.hosts.machine import Incarnation
    from simulations.stage.lab import Lab

CODE = b"code"
AGAIN_NS = SECOND


class Watcher:
    """The client's display: remembers what a user would have seen."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.report: JobReport | None = None

    def show(self, report: JobReport) -> None:
        """The job is as `report` says now."""
        self.report = report

    def tell(self, line: str) -> None:
        """Something happened that is worth a line."""
        self.lines.append(line)

    def fail(self, failure: FailureReport) -> None:
        """An attempt failed."""
        self.lines.append(f"{failure.task}: {failure.error}")

    def close(self) -> None:
        """Nothing to leave in order."""


class Client:
    """Follows one job from the machine `name`; `done` hears once that it has ended."""

    _log = Logger()

    def __init__(self, lab: "Lab", name: str, plan: Plan, job: JobId) -> None:
        data = encode_plan(plan)
        digest, code = plan_digest(data), plan_digest(CODE)
        lab.nas.deposit(plan_path(digest), data)
        lab.nas.deposit(code_path(code), CODE)
        self.watcher = Watcher()
        self.exit_status: int | None = None
        """The command's, once the job has ended for it."""
        self.gave_up = 0
        """How often no node answered, or the master could not read the plan."""
        self._lab = lab
        self._machine = lab.machines[name]
        self.job = job
        self.cancelled = False
        """Whether somebody has asked for its end."""
        self._order = Submit(0, job, plan.graph, digest, code, 0)
        self._process: Incarnation | None = None
        self._done: Callable[[], None] = lambda: None

    def start(self, done: Callable[[], None]) -> None:
        """Submit, and follow the job to its end."""
        self._done = done
        self._type()

    def vanish(self) -> None:
        """The command is killed; nobody follows the job any more."""
        if self._process is not None and self._process.alive:
            self._process.end(silently=False)

    def again(self) -> None:
        """The same command is typed again, after `vanish`."""
        if self.exit_status is None and (self._process is None or not self._process.alive):
            self._type()

    def cancel(self) -> None:
        """Somebody asks at another terminal that the job be stopped, until that is answered."""
        self.cancelled = True
        process = self._machine.new_life()
        self._lab.world.after(0, process, self._cancel, process)

    def _cancel(self, process: "Incarnation") -> None:
        cluster = self._cluster(process)

        def ended(answer: object) -> None:
            cluster.close()
            if isinstance(answer, Failure):
                self._lab.world.after(AGAIN_NS, process, self._cancel, process)
            else:
                assert isinstance(answer, Cancelled)
                self._log.info(
                    "the user hears: {state}",
                    event="cancel_answered",
                    job=str(self.job),
                    state=answer.state,
                )

        asking = cluster.ask(lambda request: Cancel(request, self.job), Cancelled)
        Deferred.fromCoroutine(asking).addBoth(ended)

    def _cluster(self, process: "Incarnation") -> Cluster:
        addresses = [self._lab.address(name) for name in self._lab.nodes]
        return Cluster(process.reactor, self._lab.security_of(self._machine.name), addresses)

    def _type(self) -> None:
        self._process = process = self._machine.new_life()
        self._lab.world.after(0, process, self._submit, process)

    def _submit(self, process: "Incarnation") -> None:
        lab, cluster = self._lab, self._cluster(process)

        def ended(status: object) -> None:
            cluster.close()
            if isinstance(status, Failure):
                if status.check(Unreachable) or self._is_of_the_nas(status):
                    self.gave_up += 1
                    lab.world.after(AGAIN_NS, process, self._type)
                    return
                self._log.failure("the client failed", status)
                status = 1
            assert isinstance(status, int)
            self.exit_status = status
            self._done()

        following = submit_and_follow(process.reactor, cluster, self._order, self.watcher)
        Deferred.fromCoroutine(following).addBoth(ended)

    def _is_of_the_nas(self, status: Failure) -> bool:
        """Whether the command was refused while the NAS failed: a master answers at once then."""
        failed_at = self._lab.nas.failed_at
        is_recent = failed_at is not None and self._lab.world.now - failed_at < AGAIN_NS
        return is_recent and status.check(UserError) is not None
