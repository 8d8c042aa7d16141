"""How it ends: the job is done, its results are right, and nothing went wrong by accident.

**The results are a fingerprint of the whole execution**: one task that was left out, or read what
did not win, makes them differ from what the plan alone says.
"""

from collections.abc import Mapping

from attrs import define, field

from nanoboost.plan import Plan
from simulations.checkers.judge import Broken
from simulations.kernel.journal import Record, Records
from simulations.procs.nas import SimNas, expected, sources_of


@define(eq=False)
class ResultsAreRight:
    """What is published is what the plan says; looked at once the job is said to be done."""

    nas: SimNas = field()
    jobs: Mapping[str, Plan] = field()
    code: str = field(default="T2", init=False)
    claim: str = field(default="results as if nothing had happened", init=False)
    _done: dict[str, None] = field(factory=dict, init=False)

    def saw(self, record: Record) -> None:
        """Wait for the end of the job."""
        if record.event == "job" and record["state"] == "done":
            self._done[record["job"]] = None
            self._compare(record["job"])

    def end(self) -> None:
        """Nobody has touched them since."""
        for job in self._done:
            self._compare(job)

    def _compare(self, job: str) -> None:
        plan = self.jobs[job]
        sources = {path: self.nas.files[path] for path in sources_of(plan)}
        for path, data in expected(plan, sources).items():
            found = self.nas.files.get(path)
            if found != data:
                raise Broken(f"{path} is {'missing' if found is None else 'not what it should be'}")


@define(eq=False)
class NothingGoesWrongByAccident:
    """No failure reaches a log: no exception in the reactor, no error that nobody handled."""

    records: Records = field()
    code: str = field(default="S1", init=False)
    claim: str = field(default="no failure is logged", init=False)

    def saw(self, record: Record) -> None:
        """Whatever was logged before this record."""
        self.end()

    def end(self) -> None:
        """Whatever was logged at all."""
        if self.records.findings:
            raise Broken(self.records.findings[0])
