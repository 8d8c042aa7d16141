"""The replicated state machine: deterministic, idempotent, only forward."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanoboost.consensus.registry import ENDED_JOBS_MAX, Registry
from nanoboost.errors import RemoteError
from nanoboost.frontier import Frontier
from nanoboost.ids import Attempt, JobId, TaskId
from nanoboost.wire.messages import JobState
from nanoboost.wire.records import FrontierSet, JobEnded, JobSubmitted, Record

TASKS = 6
JOBS = [JobId("film-1"), JobId("film-2"), JobId("film-3")]


def submitted(job: JobId = JOBS[0], tasks: int = TASKS) -> JobSubmitted:
    return JobSubmitted(job, "film", "a" * 64, "b" * 64, 0, tasks)


def frontier(*tasks: int) -> bytes:
    made = Frontier.empty(TASKS)
    for task in tasks:
        made.finish(TaskId(task), Attempt(1, 1))
    return made.encode()


jobs = st.sampled_from(JOBS)
records: st.SearchStrategy[Record] = st.one_of(
    st.builds(submitted, jobs),
    st.builds(
        FrontierSet,
        jobs,
        st.lists(st.integers(0, TASKS - 1)).map(lambda done: frontier(*done)) | st.binary(),
    ),
    st.builds(JobEnded, jobs, st.sampled_from(JobState), st.sampled_from(["", "why"])),
)


def registry(*applied: Record) -> Registry:
    made = Registry()
    for record in applied:
        made.apply(record)
    return made


@given(st.lists(records, max_size=12))
def test_a_record_applied_twice_changes_nothing(log: list[Record]) -> None:
    made = registry(*log)
    digest = made.digest()
    for record in log:
        if not isinstance(record, JobSubmitted | FrontierSet):
            continue  # the state of a job: see the test of its order
        made.apply(record)
    once = registry(*log, *log)
    twice = registry(*log, *log, *log)
    assert once.digest() == twice.digest()
    assert registry(*log).digest() == digest


@given(st.lists(records, max_size=12), st.lists(records, max_size=6))
def test_a_snapshot_restores_the_same_registry(before: list[Record], after: list[Record]) -> None:
    made = registry(*before)
    back = Registry()
    back.restore(made.snapshot())
    assert back.digest() == made.digest()
    assert back.entries() == made.entries()
    for record in after:
        assert made.apply(record) == back.apply(record)
    assert back.digest() == made.digest()


@given(st.lists(records, max_size=12))
def test_apply_says_whether_it_changed_anything(log: list[Record]) -> None:
    made = Registry()
    for record in log:
        before = made.digest()
        assert made.apply(record) == (made.digest() != before)


def test_jobs_are_listed_in_order_of_submission() -> None:
    made = registry(submitted(JOBS[2]), submitted(JOBS[0]), submitted(JOBS[1]))
    assert [each.submitted.job for each in made.entries()] == [JOBS[2], JOBS[0], JOBS[1]]


def test_a_job_is_created_once() -> None:
    made = registry(submitted(), FrontierSet(JOBS[0], frontier(0)))
    assert not made.apply(submitted(tasks=99))
    assert made.entries()[0].frontier == frontier(0)


def test_an_old_frontier_takes_nothing_away() -> None:
    made = registry(submitted(), FrontierSet(JOBS[0], frontier(0, 1, 2)))
    assert not made.apply(FrontierSet(JOBS[0], frontier(1)))
    assert made.entries()[0].frontier == frontier(0, 1, 2)


def test_frontiers_of_two_sides_add_up() -> None:
    made = registry(
        submitted(), FrontierSet(JOBS[0], frontier(0, 2)), FrontierSet(JOBS[0], frontier(1))
    )
    assert made.entries()[0].frontier == frontier(0, 1, 2)


@pytest.mark.parametrize(
    ("moves", "end"),
    [
        ([JobState.PUBLISHING, JobState.RUNNING], JobState.PUBLISHING),
        ([JobState.PUBLISHING, JobState.DONE, JobState.PUBLISHING], JobState.DONE),
        ([JobState.CANCELLED, JobState.DONE], JobState.CANCELLED),
        ([JobState.DONE, JobState.CANCELLED], JobState.DONE),
        ([JobState.FAILED, JobState.RUNNING], JobState.FAILED),
    ],
)
def test_a_job_s_state_only_moves_forward(moves: list[JobState], end: JobState) -> None:
    made = registry(submitted(), *(JobEnded(JOBS[0], state, "") for state in moves))
    assert made.entries()[0].state is end


@pytest.mark.parametrize(
    "record",
    [
        FrontierSet(JOBS[1], frontier(0)),
        JobEnded(JOBS[1], JobState.DONE, ""),
        FrontierSet(JOBS[0], b"junk"),
        FrontierSet(JOBS[0], Frontier.empty(TASKS + 1).encode()),
        submitted(JOBS[1], 0),
        submitted(JOBS[1], 1_000_001),
    ],
)
def test_what_makes_no_sense_is_ignored(record: Record) -> None:
    made = registry(submitted())
    before = made.digest()
    assert not made.apply(record)
    assert made.digest() == before


def test_only_the_latest_ended_jobs_are_remembered() -> None:
    made = registry(submitted(JobId("runs")))
    for number in range(ENDED_JOBS_MAX + 3):
        job = JobId(f"job-{number}")
        made.apply(submitted(job))
        made.apply(JobEnded(job, JobState.DONE, ""))
    names = [each.submitted.job for each in made.entries()]
    assert names[:2] == ["runs", "job-3"]
    assert len(names) == ENDED_JOBS_MAX + 1


@given(st.binary(min_size=1, max_size=80))
def test_hostile_snapshots_are_refused_and_change_nothing(data: bytes) -> None:
    made = registry(submitted())
    before = made.digest()
    with pytest.raises(RemoteError):
        made.restore(data)
    assert made.digest() == before


def test_no_bytes_are_the_empty_registry() -> None:
    made = registry(submitted())
    made.restore(b"")
    assert made.entries() == ()
