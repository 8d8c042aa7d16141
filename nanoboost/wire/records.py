"""What is replicated: the records in Raft's log and what they add up to.

**Applying a record twice, or an old one late, changes nothing**: a job is created once, its state
only moves towards an end, and its frontier only grows (merging is union).
"""

from attrs import frozen

from nanoboost.ids import JobId
from nanoboost.wire.codec import Catalog, message
from nanoboost.wire.messages import JobState


@message(180)
class JobSubmitted:
    """A job exists.  `plan` and `code` are SHA-256 digests of what lies on the NAS; `tasks` is the
    number of tasks in the plan; a larger `priority` goes first."""

    job: JobId
    graph: str
    plan: str
    code: str
    priority: int
    tasks: int


@message(181)
class FrontierSet:
    """The job's whole frontier, encoded (`nanoboost.frontier`); merged into what is there."""

    job: JobId
    frontier: bytes


@message(182)
class JobEnded:
    """The job's state moved on: PUBLISHING, or a final state.  `reason` is one line for people."""

    job: JobId
    state: JobState
    reason: str


RECORDS = Catalog((JobSubmitted, FrontierSet, JobEnded))
Record = JobSubmitted | FrontierSet | JobEnded


@frozen
class JobEntry:
    """All that is replicated about one job; what GetFrontier answers with, one a job."""

    submitted: JobSubmitted
    state: JobState
    reason: str
    frontier: bytes
