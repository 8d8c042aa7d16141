"""The replicated state machine: the jobs, how far each is, and what has become of it.

**The same records in the same order give the same registry on every node, and a record that comes
twice or late changes nothing**: a job is created once, its state only moves forward, its frontier
only grows.  What makes no sense (a frontier of an unknown job, one that cannot be decoded) is
ignored, on every node alike.  Of the jobs that have ended only the latest `ENDED_JOBS_MAX` are
remembered, so the state stays small however long the cluster lives.
"""

import hashlib

from attrs import define, field

from nanoboost.errors import LocalError, RemoteError
from nanoboost.frontier import Frontier
from nanoboost.ids import JobId
from nanoboost.plan import TASKS_MAX
from nanoboost.wire.codec import Catalog, message
from nanoboost.wire.messages import JobState
from nanoboost.wire.records import FrontierSet, JobEnded, JobEntry, JobSubmitted, Record

ENDED_JOBS_MAX = 256
VERSION = 1

_ORDER = {
    JobState.RUNNING: 0,
    JobState.PUBLISHING: 1,
    JobState.DONE: 2,
    JobState.FAILED: 2,
    JobState.CANCELLED: 2,
}
"""A job's state may only be replaced by one of a higher order."""


@message(183)
class RegistryState:
    """The whole registry, as it lies in a snapshot; jobs in order of submission."""

    version: int
    jobs: tuple[JobEntry, ...]


_CATALOG = Catalog((RegistryState,))


@define
class _Job:
    """One job.  Its frontier is kept decoded while it grows, encoded while somebody asks."""

    submitted: JobSubmitted
    state: JobState = JobState.RUNNING
    reason: str = ""
    decoded: Frontier | None = None
    encoded: bytes | None = field(default=None, repr=False)

    @property
    def frontier(self) -> Frontier:
        if self.decoded is None:
            assert self.encoded is not None
            self.decoded = Frontier.decode(self.encoded, self.submitted.tasks)
        return self.decoded

    def entry(self) -> JobEntry:
        if self.encoded is None:
            self.encoded = self.frontier.encode()
        if self.state.is_final:
            self.decoded = None
        return JobEntry(self.submitted, self.state, self.reason, self.encoded)


class Registry:
    """The jobs in order of submission."""

    def __init__(self) -> None:
        self._jobs: dict[JobId, _Job] = {}

    def apply(self, record: Record) -> bool:
        """Take one committed record; return whether it changed anything."""
        if isinstance(record, JobSubmitted):
            return self._submit(record)
        job = self._jobs.get(record.job)
        if job is None:
            return False
        if isinstance(record, FrontierSet):
            return self._grow(job, record)
        return self._move_on(job, record)

    def entries(self) -> tuple[JobEntry, ...]:
        """All jobs in order of submission, their frontiers encoded."""
        return tuple(job.entry() for job in self._jobs.values())

    def snapshot(self) -> bytes:
        """The whole state, for `restore` on this or another node."""
        return _CATALOG.encode(RegistryState(VERSION, self.entries()))

    def restore(self, data: bytes) -> None:
        """Become the state in `data`; empty bytes are the empty state.  Raises `RemoteError`, and
        is then as it was before."""
        jobs: dict[JobId, _Job] = {}
        if data:
            state: RegistryState = _CATALOG.decode(data)
            if state.version != VERSION:
                raise RemoteError(f"registry of version {state.version}, this is {VERSION}")
            for entry in state.jobs:
                decoded = Frontier.decode(entry.frontier, entry.submitted.tasks)
                job = _Job(entry.submitted, entry.state, entry.reason, decoded, entry.frontier)
                job.entry()
                jobs[entry.submitted.job] = job
        self._jobs = jobs

    def digest(self) -> str:
        """A SHA-256 of the state: two nodes that applied the same records have the same."""
        found = hashlib.sha256()
        for job in self._jobs.values():
            facts = (job.submitted, job.state.value, job.reason, job.frontier.digest())
            found.update(repr(facts).encode())
            job.entry()
        return found.hexdigest()

    def _submit(self, record: JobSubmitted) -> bool:
        if record.job in self._jobs or not 0 < record.tasks <= TASKS_MAX:
            return False
        self._jobs[record.job] = _Job(record, decoded=Frontier.empty(record.tasks))
        return True

    def _grow(self, job: _Job, record: FrontierSet) -> bool:
        try:
            newer = Frontier.decode(record.frontier, job.submitted.tasks)
            changed = job.frontier.merge(newer)
        except (RemoteError, LocalError):
            return False
        if changed:
            job.encoded = None
        return changed

    def _move_on(self, job: _Job, record: JobEnded) -> bool:
        if _ORDER[record.state] <= _ORDER[job.state]:
            return False
        job.state, job.reason = record.state, record.reason
        if record.state.is_final:
            self._forget_the_oldest()
        return True

    def _forget_the_oldest(self) -> None:
        ended = [name for name, job in self._jobs.items() if job.state.is_final]
        for name in ended[:-ENDED_JOBS_MAX]:
            del self._jobs[name]
