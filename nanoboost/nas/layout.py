"""Where things lie on the NAS.  All paths are text, relative to the NAS root, `/`-separated.

**The name of an attempt's directory was never looked up before it exists**, so no client's cache
can hold a stale answer about it; what an attempt writes is under `.part` until one rename of the
whole directory.  The commit point of a task is the replicated frontier, never a name here.
"""

from nanoboost.ids import AttemptKey, JobId

PRIVATE = ".nanoboost"
ID = f"{PRIVATE}/ID"
"""Holds the cluster's id: an unmounted NAS is an empty directory, the worst silent failure."""


def plan_path(digest: str) -> str:
    """Where the plan with this SHA-256 lies."""
    return f"{PRIVATE}/plans/{digest}"


def code_path(digest: str) -> str:
    """Where the code bundle with this SHA-256 lies."""
    return f"{PRIVATE}/code/{digest}.zip"


def job_dir(job: JobId) -> str:
    """Everything that belongs to one job and to nobody else."""
    return f"{PRIVATE}/jobs/{job}"


def attempt_dir(key: AttemptKey) -> str:
    """A finished attempt: `log`, `manifest`, and `out/` with its outputs."""
    return f"{job_dir(key.job)}/{key.task}/{key.attempt}"


def part_dir(key: AttemptKey) -> str:
    """The same directory while the attempt runs, and for ever if it fails."""
    return f"{attempt_dir(key)}.part"


def output_path(key: AttemptKey, path: str) -> str:
    """A finished attempt's output, `path` being one of its `PlanOutput.paths`."""
    return f"{attempt_dir(key)}/out/{path}"


def manifest_path(key: AttemptKey) -> str:
    """A finished attempt's manifest."""
    return f"{attempt_dir(key)}/manifest"


def log_path(key: AttemptKey, *, finished: bool) -> str:
    """What the attempt printed: in its directory, or in the part directory unless it `finished`."""
    return f"{attempt_dir(key) if finished else part_dir(key)}/log"
