"""Faults of user code and of the processes in which it runs.

**What a task does is its own fault and costs its retries; what takes its process away is not.**
"""

from typing import TYPE_CHECKING

from attrs import frozen

from simulations.faults.base import Fault, kind

if TYPE_CHECKING:
    from simulations.stage.lab import Lab


@kind
@frozen
class Misbehave(Fault):
    """The next `times` attempts of a task go wrong: `how` is one of `procs.conduct`'s words."""

    task: int
    how: str
    times: int = 1

    def apply(self, lab: "Lab") -> None:
        """Let them."""
        lab.conduct.tasks[self.task] = (self.how, self.times)
        lab.lasting(f"task {self.task}: {self.how} ×{self.times}", self.lasts, lambda: None)


@kind
@frozen
class BadHost(Fault):
    """Every attempt goes wrong on one machine."""

    who: str
    how: str

    def apply(self, lab: "Lab") -> None:
        """Let them."""
        name = lab.find(self.who)
        lab.conduct.hosts[name] = self.how
        lab.lasting(
            f"all tasks {self.how} at {name}",
            self.lasts,
            lambda: lab.conduct.forgive(name),
        )


@kind
@frozen
class Orphan(Fault):
    """A node is killed and its children are not; one of them writes its results `late` nanoseconds
    after it has made them.  The node is started again when this is over."""

    who: str
    late: int

    def apply(self, lab: "Lab") -> None:
        """Kill the node only."""
        name = lab.find(self.who)
        if name in lab.lives:
            machine = lab.machines[name]
            machine.orphans_live, machine.orphans_wait_ns = True, self.late
            lab.kill(name)
            machine.orphans_live = False
            lab.lasting(f"kill {name}, not its children", self.lasts, lambda: lab.start(name))


@kind
@frozen
class RepeatDone(Fault):
    """What an agent says of ended attempts is said again, `late` nanoseconds later, to whoever is
    master then."""

    who: str
    late: int

    def apply(self, lab: "Lab") -> None:
        """Listen, and repeat."""
        name = lab.find(self.who)
        lab.repeat_done[name] = self.late

        def enough() -> None:
            lab.repeat_done.pop(name, None)

        lab.lasting(f"{name} says all twice", self.lasts, enough)
