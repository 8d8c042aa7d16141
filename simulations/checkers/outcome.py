"""How it ends: the job is done, its results are right, and nothing went wrong by accident.

**The results are a fingerprint of the whole execution**: one task that was left out, or read what
did not win, makes them differ from what the plan alone says.
"""

from attrs import define, field

from nanoboost.plan import Plan
from simulations.checkers.judge import Broken
from simulations.jobs import SOURCE
from simulations.kernel.journal import Record, Records
from simulations.procs.nas import SimNas, expected


@define(eq=False)
class ResultsAreRight:
    """What is published is what the plan says; looked at once the job is said to be done."""

    nas: SimNas = field()
    plan: Plan = field()
    code: str = field(default="T2", init=False)
    claim: str = field(default="results as if nothing had happened", init=False)
    _done: bool = field(default=False, init=False)

    def saw(self, record: Record) -> None:
        """Wait for the end of the job."""
        if record.event == "job" and record["state"] == "done":
            self._done = True
            self._compare()

    def end(self) -> None:
        """Nobody has touched them since."""
        if self._done:
            self._compare()

    def _compare(self) -> None:
        for path, data in expected(self.plan, {SOURCE: self.nas.files[SOURCE]}).items():
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
