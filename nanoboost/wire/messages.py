"""What nodes and clients say to each other about sessions and work.

Tags: 1-9 session, 10-39 master and agent, 40-69 clients, 70-99 Raft, 100-119 gossip streams,
120-139 gossip datagrams, 140-159 an agent and its child process, 160-179 a node and its NAS
process, 180-199 replicated records.  The rooms' own messages live in the rooms.

**Every message may arrive twice, late, or never**: receivers are idempotent by job, task, attempt.
"""

import enum

from attrs import frozen

from nanoboost.ids import Attempt, AttemptKey, JobId, NodeId, TaskId
from nanoboost.wire.codec import message
from nanoboost.wire.operating import OPERATING

PROTOCOL_VERSION = 1

# --- session -------------------------------------------------------------------------------------


@message(1)
class Hello:
    """The first frame each way, after TLS and before anything is believed.

    A shared certificate alone can be relayed to the wrong node, so both ends are named.
    `sender` is empty for a client, `receiver` where only an address is known yet.
    """

    version: int
    cluster: str
    sender: NodeId
    receiver: NodeId


@message(2)
class Refused:
    """The last frame of a session that is not wanted; `reason` is for the other side's log."""

    reason: str


@message(3)
class Keepalive:
    """Nothing to say, but alive; sent when a session has been silent."""


SESSION = (Hello, Refused, Keepalive)

# --- master and agent ----------------------------------------------------------------------------


@message(10)
class MasterHere:
    """Master to every member: I was elected in `term`; tell me what you are, run and hold."""

    term: int


@message(11)
class AgentHello:
    """Agent to master: the answer to `MasterHere`, and again whenever one of its facts changes.

    `slots` is how many attempts it runs at a time, `speed` is relative to the reference machine,
    `running` and `held` name the attempts in progress and the results not yet acknowledged (whose
    `TaskDone` follow).  `fit` is "" or why this node must get no work now (its NAS is missing).
    `draining` says that it is leaving: it finishes what it runs and takes nothing new.
    """

    term: int
    slots: int
    speed: float
    labels: tuple[str, ...]
    running: tuple[AttemptKey, ...]
    held: tuple[AttemptKey, ...]
    fit: str
    draining: bool


@frozen
class Parent:
    """A task whose outputs an attempt reads, and which attempt of it has won."""

    task: TaskId
    attempt: Attempt


@message(12)
class Execute:
    """Master to agent: run this attempt.  `plan` and `code` are the SHA-256 of what lies on the
    NAS; `name` is how people call the task; `timeout_s` bounds the run (0: unbounded)."""

    term: int
    key: AttemptKey
    plan: str
    code: str
    parents: tuple[Parent, ...]
    timeout_s: float
    name: str


@message(13)
class CancelAttempt:
    """Master to agent: stop this attempt; nobody wants its result."""

    term: int
    key: AttemptKey


class Outcome(enum.Enum):
    """How an attempt ended."""

    DONE = 0
    """The outputs lie on the NAS under the attempt's name, with their manifest."""
    FAILED = 1
    """The task's own fault: it raised, left an output out, or overran its timeout."""
    CRASHED = 2
    """Its process died of a signal or was lost; may be the machine's fault."""
    UNFIT = 3
    """The machine's fault: no NAS, no space, no tool.  Does not use up the task's retries."""
    CANCELLED = 4
    """Stopped because the master said so, or refused because of a newer term."""
    LOST = 5
    """Its node's process ended while it ran; the task may be why."""

    @property
    def is_failure(self) -> bool:
        """Whether it counts against the task."""
        return self in (Outcome.FAILED, Outcome.CRASHED, Outcome.LOST)


NODE_DIED = "its node's process ended while it ran"


@message(14)
class TaskDone:
    """Agent to master: the attempt has ended.  Sent until acknowledged, to whoever is master.

    `read` names the attempts whose outputs were read: the result counts only if those won.
    `error` is one line; `tail` the end of the log of a task that failed; seconds of wall clock and
    of processor time (the child's tree).
    """

    key: AttemptKey
    outcome: Outcome
    read: tuple[Parent, ...]
    wall_s: float
    cpu_s: float
    error: str = ""
    tail: str = ""


@message(15)
class Acknowledge:
    """Master to agent: the frontier that covers these attempts is committed, or nobody wants them:
    forget the results."""

    term: int
    keys: tuple[AttemptKey, ...]


WORK = (MasterHere, AgentHello, Execute, CancelAttempt, TaskDone, Acknowledge)

# --- clients -------------------------------------------------------------------------------------
# `request` is the client's own number for the question; the answer carries it back.


@message(40)
class Submit:
    """Run the graph whose plan and code lie on the NAS under these digests; idempotent by `job`."""

    request: int
    job: JobId
    graph: str
    plan: str
    code: str
    priority: int


@message(41)
class Submitted:
    """The job is committed: from here on it survives the loss of any machine."""

    request: int
    job: JobId


@message(42)
class Cancel:
    """Stop a job for good.  Answered by `Cancelled` once that is committed."""

    request: int
    job: JobId


@message(43)
class Cancelled:
    """The job has ended; `state` is how (a job that was finished before stays finished)."""

    request: int
    job: JobId
    state: str


@message(44)
class RequestRefused:
    """The request cannot be: `reason` is one line for the user."""

    request: int
    reason: str


@message(45)
class NotMaster:
    """Ask the node at `host`:`port` instead.  An empty host: no master is known yet, try again."""

    request: int
    host: str
    port: int


@message(46)
class GetJob:
    """How far is this job?"""

    request: int
    job: JobId


class JobState(enum.Enum):
    """Where a job is in its life."""

    RUNNING = "running"
    PUBLISHING = "publishing"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen to the job."""
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


@frozen
class ClassProgress:
    """One Nano class of a job: counts of its tasks, and where they run now (node name, count)."""

    name: str
    total: int
    done: int
    failed: int
    running: tuple[tuple[str, int], ...]


@frozen
class FailureReport:
    """An attempt that failed; `log` is the path of its log relative to the NAS root."""

    task: str
    attempt: Attempt
    node: str
    error: str
    tail: str
    log: str


@message(47)
class JobReport:
    """The answer to `GetJob`.  `left_s` estimates the time to the end, negative while unknown.
    `ran` counts the attempts ever started; `note` says what the job waits for, if anything."""

    request: int
    job: JobId
    graph: str
    state: JobState
    classes: tuple[ClassProgress, ...]
    failures: tuple[FailureReport, ...]
    ran: int
    left_s: float
    note: str


@message(48)
class GetStatus:
    """What is the cluster, and which jobs does it have?"""

    request: int


@frozen
class NodeReport:
    """A member as the answering node sees it.  `part` is its part in Raft, `slots` -1: unknown."""

    node: NodeId
    name: str
    host: str
    port: int
    state: str
    part: str
    slots: int
    busy: int
    speed: float
    labels: tuple[str, ...]
    note: str


@frozen
class JobSummary:
    """One line about a job."""

    job: JobId
    graph: str
    state: JobState
    done: int
    total: int


@frozen
class MissingVoter:
    """A voter that is not there, for so many seconds (negative: for longer than the answering node
    can tell).  `name` is empty if that is not known."""

    node: NodeId
    name: str
    gone_s: float


@message(49)
class StatusReport:
    """The answer to `GetStatus`.  `master` is empty while there is none; `survives` is how many
    voters the cluster can lose now; `nas` the answering node's mount point.

    `voters` is how many there should be (0: this node has no copy of the log and cannot tell);
    of those `missing`, `lacks` must come back before there can be a master again.  This node's copy
    of the log ends at entry `log_index` of `log_term`."""

    request: int
    cluster: str
    node: NodeId
    master: NodeId
    term: int
    survives: int
    nas: str
    nodes: tuple[NodeReport, ...]
    jobs: tuple[JobSummary, ...]
    voters: int = 0
    lacks: int = 0
    missing: tuple[MissingVoter, ...] = ()
    log_term: int = 0
    log_index: int = 0


@message(50)
class FindTask:
    """Where is the log of this task (its name, as in a report: `Compress-0003`)?"""

    request: int
    job: JobId
    task: str


@message(51)
class TaskFound:
    """The attempts of the task so far, newest last, with their state and their log on the NAS."""

    request: int
    state: str
    attempts: tuple[FailureReport, ...]


@message(52)
class Leave:
    """To the node itself, from a client: finish what you run, hand over, and stop."""

    request: int


CLIENT = (
    Submit,
    Submitted,
    Cancel,
    Cancelled,
    RequestRefused,
    NotMaster,
    GetJob,
    JobReport,
    GetStatus,
    StatusReport,
    FindTask,
    TaskFound,
    Leave,
    *OPERATING,
)
