"""What the pipeline is told and what it wants done.

**Events have happened, effects are to be done**: the shell turns messages, commits and answers of
the NAS into the former, and performs the latter in order.
"""

from enum import Enum, auto

from attrs import frozen

from nanoboost.ids import JobId, NodeId
from nanoboost.nas.messages import Published
from nanoboost.plan import Plan
from nanoboost.wire.messages import (
    AgentHello,
    Cancel,
    FindTask,
    GetJob,
    Submit,
    TaskDone,
)
from nanoboost.wire.operating import Salvage
from nanoboost.wire.records import JobEntry, Record

Question = Submit | Cancel | GetJob | FindTask | Salvage


class Chore(Enum):
    """What the NAS does for a job."""

    PLAN = auto()
    PUBLISH = auto()
    CLEAN = auto()


# --- events --------------------------------------------------------------------------------------


@frozen
class MastershipChanged:
    """Raft's view of who is master has changed; `is_me` tells whether this node is, in `term`."""

    term: int
    is_me: bool


@frozen
class FrontierRead:
    """All that is committed, read behind a barrier of `term`."""

    term: int
    entries: tuple[JobEntry, ...]


@frozen
class FrontierFailed:
    """The committed state could not be read: perhaps this node is master no more."""

    term: int


@frozen
class RecordCommitted:
    """A record was applied; `term` is that of its entry in the log."""

    term: int
    record: Record


@frozen
class ProposalRefused:
    """Consensus did not take a record now: too much is uncommitted, or a new master is coming."""

    term: int
    record: Record


@frozen
class MemberUp:
    """A member is there (again)."""

    node: NodeId
    name: str


@frozen
class MemberLost:
    """A member is dead, or has left."""

    node: NodeId


@frozen
class MemberRefused:
    """The member's host lives and refuses our connection: the process is gone, perhaps to come
    back."""

    node: NodeId


@frozen
class HelloReceived:
    """An agent says what it is, runs and holds."""

    node: NodeId
    message: AgentHello


@frozen
class DoneReceived:
    """An agent says how an attempt has ended; it repeats that until it is acknowledged."""

    node: NodeId
    message: TaskDone


@frozen
class Asked:
    """A client asks; the `Answer` bears the same ticket."""

    ticket: int
    question: Question


@frozen
class PlanRead:
    """A job's plan was read from the NAS, and is the one with this digest."""

    job: JobId
    digest: str
    plan: Plan


@frozen
class ChoreDone:
    """The NAS has done a `PublishResults` or a `CleanJob`."""

    job: JobId
    chore: Chore


@frozen
class ChoreFailed:
    """The NAS could not do what was asked; `reason` is one line."""

    job: JobId
    chore: Chore
    reason: str


Event = (
    MastershipChanged
    | FrontierRead
    | FrontierFailed
    | RecordCommitted
    | ProposalRefused
    | MemberUp
    | MemberLost
    | MemberRefused
    | HelloReceived
    | DoneReceived
    | Asked
    | PlanRead
    | ChoreDone
    | ChoreFailed
)

# --- effects -------------------------------------------------------------------------------------


@frozen
class Send:
    """Say `message` to `node`; it may be lost."""

    node: NodeId
    message: object


@frozen
class ReadFrontier:
    """Read all that is committed; answer with `FrontierRead` or `FrontierFailed`."""

    term: int


@frozen
class Propose:
    """Put a record into the log; answer with `ProposalRefused`, or later `RecordCommitted`."""

    term: int
    record: Record


@frozen
class ReadPlan:
    """Read a job's plan from the NAS; answer with `PlanRead` or `ChoreFailed`."""

    job: JobId
    digest: str


@frozen
class PublishResults:
    """Bring a job's results to the user's names; answer with `ChoreDone` or `ChoreFailed`."""

    job: JobId
    results: tuple[Published, ...]


@frozen
class CleanJob:
    """Remove what a job's attempts have left; answer with `ChoreDone` or `ChoreFailed`."""

    job: JobId


@frozen
class Answer:
    """Answer the client that holds the ticket."""

    ticket: int
    message: object


@frozen
class Journal:
    """Write a fact into the node's journal."""

    event: str
    facts: tuple[tuple[str, str | int], ...]


Effect = Send | ReadFrontier | Propose | ReadPlan | PublishResults | CleanJob | Answer | Journal
