"""How tasks behave on their machines: what user code does wrong, and how fast a machine is.

**Only the user's function is modelled**; what it does wrong is data, as all faults are.
"""

from attrs import define, field

RAISE, EXIT, CRASH, GARBAGE, FLOOD, HANG, MUTE, POISON = (
    "raise",
    "exit",
    "crash",
    "garbage",
    "flood",
    "hang",
    "mute",
    "poison",
)
"""Raise an exception; end the process with status 3; be killed; say what is no frame; say a lot of
it; never end; be done but die before that is told; take the whole node along."""


@define(eq=False)
class Conduct:
    """All that goes wrong in user code in one run."""

    mishaps_permille: int = field(default=0)
    """How many attempts raise, and how many are killed, of 1000 each."""
    tasks: dict[int, tuple[str, int]] = field(factory=dict)
    """By task: what it does, and how many times still."""
    hosts: dict[str, str] = field(factory=dict)
    """By machine: what all tasks do there."""

    def forgive(self, host: str) -> None:
        """Tasks behave again there."""
        self.hosts.pop(host, None)

    def misdeed(self, host: str, task: int) -> str:
        """What the next attempt of the task does wrong on this host, or ""."""
        if host in self.hosts:
            return self.hosts[host]
        how, left = self.tasks.get(task, ("", 0))
        if not left:
            return ""
        self.tasks[task] = (how, left - 1)
        return how
