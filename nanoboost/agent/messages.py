"""What an agent and its child processes say to each other (tags 140-159)."""

from nanoboost.ids import AttemptKey
from nanoboost.wire.codec import Catalog, message
from nanoboost.wire.messages import Outcome, Parent


@message(140)
class RunAttempt:
    """Run this attempt.  `plan` and `code` are the SHA-256 of what lies on the NAS, `parents` say
    which attempt of each parent won, `name` is how people call the task."""

    key: AttemptKey
    plan: str
    code: str
    parents: tuple[Parent, ...]
    name: str


@message(141)
class AttemptEnded:
    """How it ended.  `read` are the parents whose outputs were read; `cpu_s` is the processor time
    of the child and all that it started; `error` is one line, `tail` the end of the log."""

    key: AttemptKey
    outcome: Outcome
    read: tuple[Parent, ...]
    cpu_s: float
    error: str = ""
    tail: str = ""


@message(142)
class ChildReady:
    """The child's first words: it has started, and what goes wrong from here on is the attempt's
    business."""


CHILD = Catalog((RunAttempt, AttemptEnded, ChildReady))
CHILD_MODULE = "nanoboost.agent.child"
"""Run with `-m` and the arguments NAS_DIR, CLUSTER, SCRATCH_DIR."""
