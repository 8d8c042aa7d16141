"""Who is master: one a term, and nobody obeys an old one.

**A term is a fencing token**: these hold whatever the network does.
"""

from collections.abc import Callable

from attrs import define, field

from nanoboost.ids import NodeId
from simulations.checkers.judge import Broken
from simulations.kernel.journal import Record


def term_of(attempt: str) -> int:
    """The term in an attempt's name, `3.1`."""
    return int(attempt.partition(".")[0])


@define(eq=False)
class OneMasterATerm:
    """No term has two masters, nor two names for one."""

    names: dict[NodeId, str] = field()
    code: str = field(default="M1", init=False)
    claim: str = field(default="one master a term", init=False)
    _masters: dict[int, str] = field(factory=dict, init=False)

    @property
    def count(self) -> int:
        """How many masters there have been."""
        return len(self._masters)

    def saw(self, record: Record) -> None:
        """Look at each change of mastership."""
        if record.event != "mastership" or not record["master"]:
            return
        term = record["term"]
        master = record.node if record["is_me"] else self.names.get(record["master"], "?")
        known = self._masters.setdefault(term, master)
        if known != master:
            raise Broken(f"{known} and {master} in term {term}, says {record.node}")

    def end(self) -> None:
        """Nothing is left to look at."""


@define(eq=False)
class NobodyObeysAnOldMaster:
    """What a process starts is of a term that is no lower than what it started before."""

    code: str = field(default="M2", init=False)
    claim: str = field(default="no old master is obeyed", init=False)
    _highest: dict[str, int] = field(factory=dict, init=False)

    def saw(self, record: Record) -> None:
        """Look at each start."""
        if record.event == "listening":
            self._highest[record.node] = 0
        elif record.event == "started":
            term, highest = term_of(record["attempt"]), self._highest.get(record.node, 0)
            if term < highest:
                raise Broken(
                    f"{record.node} starts task {record['task']} for term {term} after {highest}"
                )
            self._highest[record.node] = term

    def end(self) -> None:
        """Nothing is left to look at."""


@define(eq=False)
class CutOffMasterCommitsNothing:
    """A master that has been out of touch with a majority of voters for a while finishes nothing.
    `is_cut_off(node)` knows who is."""

    is_cut_off: Callable[[str], bool] = field()
    code: str = field(default="F3", init=False)
    claim: str = field(default="a minority commits nothing", init=False)

    def saw(self, record: Record) -> None:
        """Look at what is said to be committed."""
        if record.event in ("finished", "job", "submitted") and self.is_cut_off(record.node):
            raise Broken(f"{record.node}, cut off, commits {record.event} {record.facts}")

    def end(self) -> None:
        """Nothing is left to look at."""
