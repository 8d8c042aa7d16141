"""The names of things: nodes, jobs, tasks, attempts, terms.

Identities are never reused.  **An `Attempt` is unique for its task for ever**: `n` counts the runs
that one master started in its term, and a term has at most one master.
"""

import re
from typing import NewType

from attrs import frozen

NodeId = NewType("NodeId", str)
"""A process with one state directory: 16 hexadecimal digits, drawn at its first start."""

JobId = NewType("JobId", str)
"""One submitted graph: `graph-name-1a2b3c4d`, made by whoever submits, so a repeat is harmless."""

TaskId = NewType("TaskId", int)
"""One Nano in one job: its place in the plan's topological numbering, from 0."""

Term = int
"""A Raft term; also the fencing token of the master that was elected in it."""

NODE_ID = re.compile(r"[0-9a-f]{16}")
JOB_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,79}")
DIGEST = re.compile(r"[0-9a-f]{64}")
"""SHA-256 as text: how plans, code bundles and files are named."""


@frozen(order=True)
class Attempt:
    """One run of a task: the `n`-th that the master of `term` started (n counts from 1)."""

    term: int
    n: int

    def __str__(self) -> str:
        return f"{self.term}.{self.n}"


@frozen(order=True)
class AttemptKey:
    """An attempt and what it is an attempt of."""

    job: JobId
    task: TaskId
    attempt: Attempt


@frozen(order=True)
class Address:
    """Where a node listens: TCP and UDP port have the same number."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
