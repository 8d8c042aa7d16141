"""One attempt, from its order to its end, in the process that runs it.

**Whose fault an end is decides what it costs**: what user code does is the task's own (FAILED),
what the NAS, the disk or the machine lacks is not (UNFIT).  What user code prints goes, at the
level of descriptors, into the attempt's own log on the NAS.
"""

import errno
import os
import resource
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nanoboost import tools
from nanoboost.agent.blame import one_line, printable, tell
from nanoboost.agent.messages import AttemptEnded, RunAttempt
from nanoboost.code import load_class
from nanoboost.errors import GraphError, NasError, RemoteError
from nanoboost.ids import AttemptKey, TaskId
from nanoboost.nano import Nano, bind
from nanoboost.nas.attempts import OpenAttempt, OutputMissing, input_path, source_path
from nanoboost.nas.files import fetch, look
from nanoboost.nas.layout import code_path, plan_path
from nanoboost.plan import FileRef, Plan, PlanClass, PlanTask, decode_plan
from nanoboost.wire.messages import Outcome, Parent

PLANS_MAX = 4
"""Jobs of one graph take turns in a child.  A plan of 20,000 tasks takes 1 s to read, and 20 MB."""
TAIL_BYTES = 2048
TAIL_LINES = 15

MACHINE_ERRNOS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE, errno.ENOTCONN}
)
"""An `OSError` with one of these tells of the machine's or the NAS's state, whoever meets it."""


class Unfit(Exception):
    """This machine cannot run the attempt; the text says why, in one line."""


class Fault(Exception):
    """User code did not come to its end.  The log has the traceback already."""

    def __init__(self, outcome: Outcome, error: str) -> None:
        super().__init__(error)
        self.outcome = outcome
        self.error = error


OURS = (Unfit, NasError, RemoteError, OSError)
"""What may be raised outside of user code: by reading, opening, checking, committing."""


class Workshop:
    """Runs attempts, one at a time; keeps plans and code from one to the next.

    `scratch_dir` is on the machine's own disk; `end_leftovers` ends the processes that user code
    has left running, before its outputs are looked at.
    """

    def __init__(
        self, nas_dir: str, cluster: str, scratch_dir: Path, end_leftovers: Callable[[], None]
    ) -> None:
        self._nas_dir = nas_dir
        self._cluster = cluster
        self._scratch_dir = scratch_dir
        self._end_leftovers = end_leftovers
        self._plans: dict[str, Plan] = {}
        """By digest; the one that was used last is the last."""
        self._classes: dict[tuple[str, str, str], type[Nano]] = {}

    def run(self, order: RunAttempt) -> AttemptEnded:
        """Run the attempt; whatever happens to it, tell how it ended."""
        before = processor_s()
        read: tuple[Parent, ...] = ()
        tail = ""
        try:
            task, cls = self._look_up(order)
            read = parents_read(task, order)
            attempt = OpenAttempt(self._nas_dir, order.key)
        except OURS as problem:
            outcome, error = Outcome.UNFIT, one_line(problem)
        else:
            outcome, error = self._try(order, task, cls, attempt)
            if outcome is not Outcome.DONE:
                tail = tail_of(attempt.log)
        return AttemptEnded(order.key, outcome, read, processor_s() - before, error, tail)

    def _look_up(self, order: RunAttempt) -> tuple[PlanTask, PlanClass]:
        """The task and its class, if this machine has what it takes."""
        if fit := look(self._nas_dir, self._cluster):
            raise Unfit(fit)
        plan = self._plans.pop(order.plan, None)
        if plan is None:
            data = fetch(self._nas_dir, plan_path(order.plan), order.plan)
            plan = decode_plan(data, order.plan)
        self._plans[order.plan] = plan
        if len(self._plans) > PLANS_MAX:
            del self._plans[next(iter(self._plans))]
        if not 0 <= order.key.task < len(plan.tasks):
            raise Unfit(f"the plan has no task {order.key.task}")
        cls = plan.class_of(order.key.task)
        missing = [name for name in cls.tools if tools.find(name) is None]
        if missing:
            are = "is" if len(missing) == 1 else "are"
            raise Unfit(f"needs {', '.join(missing)}, which {are} not installed here")
        return plan.tasks[order.key.task], cls

    def _try(
        self, order: RunAttempt, task: PlanTask, cls: PlanClass, attempt: OpenAttempt
    ) -> tuple[Outcome, str]:
        """Make the outputs and commit them, or say in the log what prevented it."""
        try:
            with workplace(self._scratch_dir, order), log_into(attempt.log):
                self._make(order, task, cls, attempt)
            attempt.commit([path for each in task.outputs for path in each.paths])
        except Fault as fault:
            return fault.outcome, fault.error
        except (OutputMissing, GraphError) as missing:
            outcome, error = Outcome.FAILED, one_line(missing)
        except OURS as problem:
            outcome, error = Outcome.UNFIT, one_line(problem)
        else:
            return Outcome.DONE, ""
        with suppress(OSError), attempt.log.open("a") as log:
            log.write(f"{error}\n")
        return outcome, error

    def _make(
        self, order: RunAttempt, task: PlanTask, cls: PlanClass, attempt: OpenAttempt
    ) -> None:
        """Run the user's code.  Afterwards nothing writes any more."""
        nano = bind(self._load(order, cls), task, self._find_input(order), attempt.output)
        try:
            with user_code():
                nano.run()
        finally:
            self._end_leftovers()

    def _load(self, order: RunAttempt, cls: PlanClass) -> type[Nano]:
        """The class, from a verified copy of the code on this machine's own disk."""
        name = (order.code, cls.module, cls.qualname)
        if name not in self._classes:
            bundle = self._scratch_dir / "code" / f"{order.code}.zip"
            bundle.parent.mkdir(exist_ok=True)
            bundle.write_bytes(fetch(self._nas_dir, code_path(order.code), order.code))
            with user_code(is_import=True):
                self._classes[name] = load_class(bundle, cls.module, cls.qualname)
        return self._classes[name]

    def _find_input(self, order: RunAttempt) -> Callable[[FileRef], Path]:
        winners = {parent.task: parent.attempt for parent in order.parents}

        def find(ref: FileRef) -> Path:
            if ref.task < 0:
                return source_path(self._nas_dir, ref.path)
            task = TaskId(ref.task)
            if task not in winners:
                raise Unfit(f"the order names no attempt of task {task}, whose output it reads")
            key = AttemptKey(order.key.job, task, winners[task])
            return input_path(self._nas_dir, key, ref.path)

        return find


def parents_read(task: PlanTask, order: RunAttempt) -> tuple[Parent, ...]:
    """The parents whose outputs the task reads; the others only had to be finished first."""
    read = {ref.task for each in task.inputs for ref in each.files}
    return tuple(parent for parent in order.parents if parent.task in read)


@contextmanager
def user_code(*, is_import: bool = False) -> Iterator[None]:
    """Whatever is raised in here is the task's: it goes to the log, and on as a `Fault`."""
    try:
        yield
    except BaseException as problem:  # SystemExit too ends the attempt and not its process
        told = tell(problem)
        sys.stderr.write(told.traceback)
        outcome, error = Outcome.FAILED, told.line
        if is_import and isinstance(problem, ModuleNotFoundError) and problem.name:
            # It could be imported where it was submitted.
            outcome = Outcome.UNFIT
            error = f"needs the module {problem.name}, which is not installed here"
        elif isinstance(problem, OSError) and problem.errno in MACHINE_ERRNOS:
            outcome = Outcome.UNFIT
        elif isinstance(problem, MemoryError):
            outcome = Outcome.CRASHED
        raise Fault(outcome, error) from None


@contextmanager
def workplace(scratch_dir: Path, order: RunAttempt) -> Iterator[None]:
    """An empty current and temporary directory on the machine's own disk, gone afterwards."""
    work = scratch_dir / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(exist_ok=True)
    os.chdir(work)
    os.environ.update(
        TMPDIR=str(work),
        NANOBOOST_JOB=order.key.job,
        NANOBOOST_TASK=order.name,
        NANOBOOST_ATTEMPT=str(order.key.attempt),
    )
    try:
        yield
    finally:
        os.chdir(scratch_dir)
        shutil.rmtree(work, ignore_errors=True)


@contextmanager
def log_into(path: Path) -> Iterator[None]:
    """Standard output and error go to `path`, those of programs that are started too."""
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    saved = [(fd, os.dup(fd)) for fd in (1, 2)]
    for fd, _ in saved:
        os.dup2(log, fd)
    os.close(log)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):  # the NAS is full; user code closed it
                stream.flush()
        for fd, copy in saved:
            os.dup2(copy, fd)
            os.close(copy)


def tail_of(log: Path) -> str:
    """The last lines of the log, as far as it can be read."""
    text = ""
    with suppress(OSError), log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
        text = file.read().decode("utf-8", "replace")
    return printable("\n".join(text.splitlines()[-TAIL_LINES:]))


def processor_s() -> float:
    """Seconds of processor time that this process and the ended ones that it started have used."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)
