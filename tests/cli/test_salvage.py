"""What the operator is told of each job of a lost side, and what the cluster is asked."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from nanoboost.cli.cluster import Cluster
from nanoboost.cli.salvage import LostSide, offer
from nanoboost.frontier import Frontier
from nanoboost.ids import Attempt, AttemptKey, JobId, TaskId
from nanoboost.nas.attempts import OpenAttempt
from nanoboost.nas.files import claim, deposit
from nanoboost.nas.layout import code_path, plan_path
from nanoboost.wire.messages import JobState, Submit, Submitted
from nanoboost.wire.operating import Salvage, Salvaged
from nanoboost.wire.records import JobEntry, JobSubmitted

JOB = JobId("film-1")
WON = Attempt(2, 1)
TASKS = 4
PLAN, CODE = b"the plan", b"the code"

result_of = SynchronousTestCase().successResultOf


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Asked:
    """A cluster that takes everything, `window` tasks at a time."""

    def __init__(self, window: int = TASKS) -> None:
        self._window = window
        self.questions: list[Any] = []

    async def ask(self, question: Callable[[int], Any], kind: type) -> Any:
        asked = question(9)
        self.questions.append(asked)
        if kind is Submitted:
            return Submitted(9, asked.job)
        lost = Frontier.decode(asked.frontier, TASKS)
        end = min(asked.first + self._window, TASKS)
        taken = sum(lost.is_done(TaskId(task)) for task in range(asked.first, end))
        return Salvaged(9, asked.job, taken, end)


@pytest.fixture
def nas(tmp_path: Path) -> Path:
    claim(str(tmp_path), "c" * 16)
    deposit(str(tmp_path), plan_path(digest(PLAN)), PLAN)
    deposit(str(tmp_path), code_path(digest(CODE)), CODE)
    return tmp_path


def finish(nas: Path, *tasks: int) -> None:
    """The files of these tasks lie on the NAS."""
    for task in tasks:
        attempt = OpenAttempt(str(nas), AttemptKey(JOB, TaskId(task), WON))
        attempt.log.write_text("")
        attempt.commit([])


def job(
    *done: int, state: JobState = JobState.RUNNING, plan: bytes = PLAN, name: JobId = JOB
) -> JobEntry:
    frontier = Frontier.empty(TASKS)
    for task in done:
        frontier.finish(TaskId(task), WON)
    submitted = JobSubmitted(name, "Film", digest(plan), digest(CODE), 3, TASKS)
    return JobEntry(submitted, state, "", frontier.encode())


def salvage(
    cluster: Asked,
    nas: Path,
    *jobs: JobEntry,
    here: Mapping[JobId, JobState] = {JOB: JobState.RUNNING},
    yes: bool = True,
) -> None:
    lost = LostSide(7, jobs)
    offering = offer(cast("Cluster", cluster), lost, here, nas, lambda question: yes)
    result_of(Deferred.fromCoroutine(offering))


def test_what_has_its_files_is_offered_a_window_after_the_other(
    nas: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finish(nas, 0, 3)
    cluster = Asked(window=2)
    salvage(cluster, nas, job(0, 1, 3))
    offered = Frontier.empty(TASKS)
    for task in (0, 3):
        offered.finish(TaskId(task), WON)
    assert cluster.questions == [Salvage(9, JOB, 7, offered.encode(), first) for first in (0, 2)]
    assert capsys.readouterr().out == (
        "film-1: 3 of 4 tasks were finished there, 2 of them were not here and count now; "
        "the files of 1 lie on the NAS no more\n"
    )


def test_a_job_that_the_cluster_does_not_know_is_submitted_again_after_a_yes(
    nas: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finish(nas, 0)
    cluster = Asked()
    salvage(cluster, nas, job(0), here={})
    submit, brought = cluster.questions
    assert submit == Submit(9, JOB, "Film", digest(PLAN), digest(CODE), 3)
    assert isinstance(brought, Salvage)
    assert capsys.readouterr().out.startswith("film-1: submitted again\nfilm-1: 1 of 4 tasks")


def test_without_a_yes_it_is_left_alone(nas: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cluster = Asked()
    salvage(cluster, nas, job(0), here={}, yes=False)
    assert cluster.questions == []
    assert capsys.readouterr().out == "film-1: not known here, left alone\n"


def test_a_job_without_a_plan_on_the_nas_cannot_be_submitted(
    nas: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = Asked()
    salvage(cluster, nas, job(0, plan=b"gone"), here={})
    assert cluster.questions == []
    assert "its plan lies on the NAS no more; run it anew" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("there", "here"),
    [
        (JobState.RUNNING, {JOB: JobState.DONE}),
        (JobState.DONE, {JOB: JobState.DONE}),
        (JobState.FAILED, {}),
        (JobState.DONE, {}),
    ],
)
def test_what_has_ended_is_left_alone(
    nas: Path,
    capsys: pytest.CaptureFixture[str],
    there: JobState,
    here: dict[JobId, JobState],
) -> None:
    cluster = Asked()
    salvage(cluster, nas, job(0, state=there), here=here)
    assert cluster.questions == []
    assert capsys.readouterr().out == "1 job has ended, here or there: nothing to bring back\n"


def test_a_job_that_the_lost_side_has_published_is_the_operators_choice(
    nas: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = Asked()
    salvage(cluster, nas, job(0, 1, 2, 3, state=JobState.DONE))
    assert cluster.questions == []
    assert "nanoboost cancel film-1" in capsys.readouterr().out


def test_a_node_without_jobs_says_so(nas: Path, capsys: pytest.CaptureFixture[str]) -> None:
    salvage(Asked(), nas)
    assert capsys.readouterr().out == "that node knows no jobs\n"
