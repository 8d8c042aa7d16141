"""The NAS: a dictionary that all machines see, each through its own mount.

**An attempt's files appear together, under a name that nobody used before**; when, is for each
mount to say.  What a task makes is a digest of what it is and of what it read, so the results of a
job are a fingerprint of its whole execution: `expected` computes it from the plan alone.
"""

import hashlib

from attrs import define, field

from nanoboost.errors import NasError
from nanoboost.ids import AttemptKey, JobId
from nanoboost.nas.layout import attempt_dir, job_dir, log_path, manifest_path, output_path
from nanoboost.nas.manifest import Manifest, ManifestFile, encode_manifest
from nanoboost.plan import FileRef, Plan, PlanTask, decode_plan
from simulations.kernel.world import World


class NotThere(NasError):
    """There is no such file; or this mount does not see it yet."""


class SimNas:
    """Paths and bytes, relative to the root."""

    def __init__(self, world: World, cluster: str) -> None:
        self.world = world
        self.cluster = cluster
        self.files: dict[str, bytes] = {}
        self.born: dict[str, tuple[str, int]] = {}
        """By whom and when each file was made."""
        self.failed_at: int | None = None
        """When a call failed last that was made to fail."""
        self._mounts: dict[str, Mount] = {}
        self._plans: dict[str, Plan] = {}

    def mount(self, machine: str) -> "Mount":
        """The NAS as this machine sees it."""
        if machine not in self._mounts:
            self._mounts[machine] = Mount(self, machine)
        return self._mounts[machine]

    def deposit(self, path: str, data: bytes) -> None:
        """Put a file there, once."""
        self.files.setdefault(path, data)

    def read(self, path: str) -> bytes:
        """What the file holds."""
        if path not in self.files:
            raise NotThere(f"{path} is not on the NAS")
        return self.files[path]

    def plan(self, path: str, digest: str) -> Plan:
        """The plan with this digest; decoded once, for it never changes."""
        if digest not in self._plans:
            self._plans[digest] = decode_plan(self.read(path), digest)
        return self._plans[digest]

    def write(self, path: str, data: bytes, by: str) -> None:
        """A file appears, or is replaced."""
        self.files[path] = data
        self.born[path] = (by, self.world.now)

    def clean(self, job: JobId) -> None:
        """Forget what the job's attempts have written; manifests and logs stay."""
        for path in list(self.files):
            if path.startswith(f"{job_dir(job)}/") and "/out/" in path:
                del self.files[path]


@define(eq=False)
class Mount:
    """One machine's view of the NAS, with its cache."""

    nas: SimNas = field()
    machine: str = field()
    hangs_until: int = field(default=0)
    """Every call waits until then, and nothing can end a process that does."""
    error: str = field(default="")
    """What every call fails with."""
    stale_ns: int = field(default=0)
    """What others write is seen so much later."""
    slow_ns: int = field(default=0)
    """Every call takes so much longer."""

    def blocked_ns(self) -> int:
        """How long a call that begins now does not come back."""
        return max(0, self.hangs_until - self.nas.world.now)

    def check(self) -> None:
        """Raise `NasError` if nothing can be done here."""
        if self.error:
            self.nas.failed_at = self.nas.world.now
            raise NasError(self.error)

    def read(self, path: str) -> bytes:
        """What the file holds, if this machine can see it yet."""
        self.check()
        by, at = self.nas.born.get(path, (self.machine, 0))
        if by != self.machine and at + self.stale_ns > self.nas.world.now:
            raise NotThere(f"{path} is not on the NAS yet, says {self.machine}'s cache")
        return self.nas.read(path)

    def plan(self, path: str, digest: str) -> Plan:
        """The plan with this digest."""
        self.check()
        return self.nas.plan(path, digest)

    def commit(self, key: AttemptKey, outputs: dict[str, bytes]) -> None:
        """The attempt's directory appears."""
        self.check()
        if manifest_path(key) in self.nas.files:
            raise NasError(f"{attempt_dir(key)} exists already")
        listed = []
        for path, data in outputs.items():
            self.nas.write(output_path(key, path), data, self.machine)
            listed.append(ManifestFile(path, len(data), hashlib.sha256(data).hexdigest()))
        self.nas.write(log_path(key, finished=True), b"", self.machine)
        manifest = encode_manifest(Manifest(key, tuple(listed)))
        self.nas.write(manifest_path(key), manifest, self.machine)


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


def sources_of(plan: Plan) -> list[str]:
    """What must lie on the NAS before the job begins, in the order of the tasks."""
    refs = (ref for task in plan.tasks for ref in inputs_of(task) if ref.task < 0)
    return list(dict.fromkeys(ref.path for ref in refs))


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
