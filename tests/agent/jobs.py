"""A NAS with a small job on it, for the tests of the process that runs attempts."""

from pathlib import Path

from nanoboost.agent.messages import RunAttempt
from nanoboost.code import bundle, module_name
from nanoboost.ids import Attempt, AttemptKey, JobId, TaskId
from nanoboost.nas.files import claim, deposit
from nanoboost.nas.layout import attempt_dir, code_path, plan_path
from nanoboost.plan import (
    FileRef,
    Plan,
    PlanClass,
    PlanInput,
    PlanOutput,
    PlanTask,
    encode_plan,
    plan_digest,
)
from nanoboost.wire.messages import Parent

CLUSTER = "c" * 16
JOB = JobId("copying-00000000")
FIRST = Attempt(1, 1)

SOURCE = """
import os
import subprocess
import sys

from nanoboost import Input, Nano, Output


class Copy(Nano):
    text = Input()
    copy = Output("copies/{text.name}")

    def run(self):
        %s
"""


class Job:
    """Two tasks of one class: the first reads `a.txt`, the second what the first has made."""

    def __init__(
        self,
        directory: Path,
        body: str = "self.copy.write_text(self.text.read_text())",
        *,
        head: str = "",
        tools: tuple[str, ...] = (),
    ) -> None:
        self.nas = directory / "nas"
        self.nas.mkdir()
        claim(str(self.nas), CLUSTER)
        (self.nas / "a.txt").write_text("ink")
        source = directory / "copying.py"
        indented = body.replace("\n", "\n        ")
        source.write_text(head + SOURCE % indented)
        code, self.code = bundle(source)
        self._cls = PlanClass("Copy", module_name(source), "Copy", tools, (), 1, 2, 0.0)
        self.plan = self.deposit_plan("Copying")
        deposit(str(self.nas), code_path(self.code), code)

    def deposit_plan(self, graph: str) -> str:
        """Put a plan of this name on the NAS; return its digest."""
        plan = encode_plan(self._plan(graph))
        deposit(str(self.nas), plan_path(plan_digest(plan)), plan)
        return plan_digest(plan)

    def _plan(self, graph: str) -> Plan:
        made = (PlanOutput("copy", ("copies/a.txt",), False),)
        again = (PlanOutput("copy", ("copies/b.txt",), False),)
        source, first = FileRef(-1, "a.txt"), FileRef(0, "copies/a.txt")
        return Plan(
            version=1,
            graph=graph,
            classes=(self._cls,),
            tasks=(
                PlanTask(0, 0, {}, (PlanInput("text", (source,), False),), made, (), 0.0),
                PlanTask(0, 1, {}, (PlanInput("text", (first,), False),), again, (), 0.0),
            ),
            results=(1,),
        )

    def key(self, task: int = 0, n: int = 1) -> AttemptKey:
        """The name of an attempt."""
        return AttemptKey(JOB, TaskId(task), Attempt(1, n))

    def order(self, task: int = 0, n: int = 1) -> RunAttempt:
        """What the runner orders."""
        parents = (Parent(TaskId(0), FIRST),) if task else ()
        return RunAttempt(self.key(task, n), self.plan, self.code, parents, f"Copy-{task:04d}")

    def made(self, task: int = 0, n: int = 1) -> Path:
        """Where a finished attempt lies."""
        return self.nas / attempt_dir(self.key(task, n))
