"""The NAS: a dictionary that all machines see, and what an attempt leaves there.

**An attempt's files appear together, under a name that nobody used before.**  What a task makes is
a digest of what it is and of what it read, so the results of a job are a fingerprint of its whole
execution: `expected` computes it from the plan alone.
"""

import hashlib

from nanoboost.errors import NasError
from nanoboost.ids import AttemptKey, JobId
from nanoboost.nas.layout import attempt_dir, job_dir, log_path, manifest_path, output_path
from nanoboost.nas.manifest import Manifest, ManifestFile, encode_manifest
from nanoboost.plan import FileRef, Plan, PlanTask, decode_plan
from simulations.kernel.world import World


class SimNas:
    """Paths and bytes, relative to the root."""

    def __init__(self, world: World, cluster: str) -> None:
        self.world = world
        self.cluster = cluster
        self.files: dict[str, bytes] = {}
        self._plans: dict[str, Plan] = {}

    def deposit(self, path: str, data: bytes) -> None:
        """Put a file there, once."""
        self.files.setdefault(path, data)

    def read(self, path: str) -> bytes:
        """What the file holds; `NasError` if there is none."""
        if path not in self.files:
            raise NasError(f"{path} is not on the NAS")
        return self.files[path]

    def plan(self, path: str, digest: str) -> Plan:
        """The plan with this digest; decoded once, for it never changes."""
        if digest not in self._plans:
            self._plans[digest] = decode_plan(self.read(path), digest)
        return self._plans[digest]

    def commit(self, key: AttemptKey, outputs: dict[str, bytes]) -> None:
        """The attempt's directory appears."""
        if manifest_path(key) in self.files:
            raise NasError(f"{attempt_dir(key)} exists already")
        listed = []
        for path, data in outputs.items():
            self.files[output_path(key, path)] = data
            listed.append(ManifestFile(path, len(data), hashlib.sha256(data).hexdigest()))
        self.files[log_path(key, finished=True)] = b""
        self.files[manifest_path(key)] = encode_manifest(Manifest(key, tuple(listed)))

    def clean(self, job: JobId) -> None:
        """Forget what the job's attempts have written; manifests and logs stay."""
        for path in list(self.files):
            if path.startswith(f"{job_dir(job)}/") and "/out/" in path:
                del self.files[path]


def made_by(plan: Plan, number: int, read: list[bytes]) -> dict[str, bytes]:
    """The outputs of a task that has read these bytes."""
    task = plan.tasks[number]
    made = {}
    for output in task.outputs:
        for path in output.paths:
            digest = hashlib.blake2b(f"{plan.name(number)} {path}".encode(), digest_size=16)  # type: ignore[arg-type]
            for data in read:
                digest.update(data)
            made[path] = digest.hexdigest().encode()
    return made


def inputs_of(task: PlanTask) -> list[FileRef]:
    """The files that a task reads, in order."""
    return [ref for each in task.inputs for ref in each.files]


def expected(plan: Plan, sources: dict[str, bytes]) -> dict[str, bytes]:
    """The results of the whole plan, by the names under which they are published."""
    made: list[dict[str, bytes]] = []
    for number, task in enumerate(plan.tasks):
        read = [
            sources[ref.path] if ref.task < 0 else made[ref.task][ref.path]
            for ref in inputs_of(task)
        ]
        made.append(made_by(plan, number, read))
    return {path: data for number in plan.results for path, data in made[number].items()}
