"""A failover repeats nothing that survived: what a live agent runs or holds is not started again.

**Only where nothing but processes is killed**: a node that is cut off, or that pauses, is rightly
taken for dead, and its work for lost.
"""

from attrs import define, field

from nanoboost.wire.messages import Outcome
from simulations.checkers.judge import Broken
from simulations.kernel.journal import Record

Task = tuple[str, int]


@define(eq=False)
class WorkOfSurvivorsCounts:
    """A task that a live agent runs, or whose result it holds, is executed nowhere else."""

    code: str = field(default="T8", init=False)
    claim: str = field(default="nothing that survives is done again", init=False)
    _with: dict[Task, tuple[str, str]] = field(factory=dict, init=False)
    """By task: the agent that has it, and the attempt."""

    def saw(self, record: Record) -> None:
        """Look at starts, ends and losses."""
        if record.event == "started":
            self._with[record["job"], record["task"]] = (record.node, record["attempt"])
        elif record.event == "ended":
            if record["outcome"] != Outcome.DONE.name:
                self._with.pop((record["job"], record["task"]), None)
        elif record.event == "refused":
            self._with.pop((record["job"], record["task"]), None)
        elif record.event == "down":
            lost = str(record["node"])
            self._with = {task: each for task, each in self._with.items() if each[0] != lost}
        elif record.event == "execute":
            found = self._with.get((record["job"], record["task"]))
            if found is not None:
                raise Broken(
                    f"{record.node} executes task {record['task']}, attempt {record['attempt']}; "
                    f"{found[0]} is alive and has attempt {found[1]}"
                )

    def end(self) -> None:
        """Nothing is left to look at."""
