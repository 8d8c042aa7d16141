"""What happened, as production's journal says it: log events that carry a fact `event`.

**A record bears virtual time and the name of the process whose event was happening.**  Failures
that reached the log are findings: in the simulated world nothing may go wrong by accident.
"""

from collections.abc import Callable, Mapping
from typing import Any

from attrs import define, field, frozen
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent
from zope.interface import implementer

from simulations.kernel.world import SECOND, World


@frozen
class Record:
    """One journal record."""

    at: int
    node: str
    event: str
    facts: dict[str, Any]

    @property
    def seconds(self) -> float:
        """When, in seconds."""
        return self.at / SECOND

    def __getitem__(self, name: str) -> Any:
        return self.facts[name]


class OnPurpose(Exception):
    """The root of failures that the world makes: they may reach a log."""


@implementer(ILogObserver)
@define(eq=False)
class Records:
    """A log observer that keeps the records and hands each to those who `watch`."""

    _world: World = field()
    records: list[Record] = field(factory=list, init=False)
    findings: list[str] = field(factory=list, init=False)
    """Failures that were logged, with time and node."""
    watchers: list[Callable[[Record], None]] = field(factory=list, init=False)
    raft_watchers: list[Callable[[Record], None]] = field(factory=list, init=False)
    """Who looks at the records of consensus; they are many, and not kept."""
    prose: list[str] | None = field(default=None)
    """The whole log as text, if somebody wants it."""

    def __call__(self, event: LogEvent) -> None:
        """A log event (Twisted's name for it)."""
        world = self._world
        node = world.current.name
        if self.prose is not None:
            self.prose.append(f"{world.now / SECOND:10.6f}s  {node:<8} {formatEvent(event)}")
        failure = event.get("log_failure")
        if failure is not None and failure.check(OnPurpose):
            pass
        elif failure is not None or event.get("log_level") is LogLevel.critical:
            what = failure.getTraceback() if failure is not None else formatEvent(event)
            self.findings.append(f"{world.now / SECOND:.6f} s {node}: {formatEvent(event)}\n{what}")
        if "event" in event:
            self._record(node, event)

    def raft(self, node: str, facts: Mapping[str, Any]) -> None:
        """What the consensus of a node tells (`nanoboost.consensus.chronicle`)."""
        record = Record(self._world.now, node, "raft", dict(facts))
        for watch in self.raft_watchers:
            watch(record)

    def _record(self, node: str, event: LogEvent) -> None:
        facts = {
            name: value if isinstance(value, int | float | str | bool) else str(value)
            for name, value in event.items()
            if not name.startswith("log_") and name != "event"
        }
        record = Record(self._world.now, node, str(event["event"]), facts)
        self._world.trace.note(f"record {node} {record.event} {sorted(facts.items())}")
        self.records.append(record)
        for watch in self.watchers:
            watch(record)
