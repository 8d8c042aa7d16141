"""What a lost side had finished counts here as far as it fits, once, and is told when committed.

The master is of term 3, the lost side was in term 2.
"""

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanoboost.core import Woke
from nanoboost.frontier import Frontier
from nanoboost.ids import Attempt, AttemptKey, JobId, TaskId
from nanoboost.master import salvage
from nanoboost.master.events import (
    Answer,
    Asked,
    Chore,
    ChoreFailed,
    FrontierRead,
    Journal,
    MastershipChanged,
    PlanRead,
    Propose,
    RecordCommitted,
    Send,
)
from nanoboost.master.salvage import WINDOW
from nanoboost.plan import Plan
from nanoboost.wire.messages import (
    Cancel,
    CancelAttempt,
    JobState,
    NotMaster,
    Outcome,
    RequestRefused,
)
from nanoboost.wire.operating import Salvage, Salvaged
from nanoboost.wire.records import FrontierSet, JobEnded
from tests.master.bench import (
    CHAIN,
    JOB,
    ME,
    Bench,
    entry,
    execute,
    frontier,
    frontiers,
    key,
    parent,
)
from tests.master.plans import DIGEST, nano, plan, random_plan

LOST = 2
PAIR = plan([[], []])


def lost(task: int, n: int = 1) -> AttemptKey:
    return key(task, LOST, n)


def bench_with(found: Plan, *here: AttemptKey) -> Bench:
    """A new master that has read the job's plan; `here` is committed."""
    bench = Bench()
    bench.reign(entries=(entry(JobState.RUNNING, *here, tasks=len(found.tasks)),), slots=0)
    bench.poke(PlanRead(JOB, DIGEST, found))
    return bench


def ask(tasks: int, *there: AttemptKey, first: int = 0, term: int = LOST) -> Asked:
    return Asked(7, Salvage(9, JOB, term, frontier(tasks, *there), first))


def answered(taken: int, following: int) -> list[Any]:
    return [Answer(7, Salvaged(9, JOB, taken, following))]


def told(event: str, which: AttemptKey) -> Journal:
    facts = (("job", JOB), ("task", which.task), ("attempt", str(which.attempt)))
    return Journal(event, facts)


def test_what_is_not_done_here_counts_and_is_told_after_the_commit() -> None:
    bench = bench_with(CHAIN)
    both = FrontierSet(JOB, frontier(2, lost(0), lost(1)))
    assert bench.poke(ask(2, lost(0), lost(1))) == [
        told("salvaged", lost(0)),
        told("salvaged", lost(1)),
        Propose(3, both),
    ]
    assert bench.poke(RecordCommitted(3, both)) == [
        told("finished", lost(0)),
        told("finished", lost(1)),
        *answered(2, 2),
        Propose(3, JobEnded(JOB, JobState.PUBLISHING, "")),
    ]


def test_a_repeat_changes_nothing() -> None:
    bench = bench_with(PAIR)
    (proposed,) = frontiers(bench.poke(ask(2, lost(1))))
    bench.poke(RecordCommitted(3, proposed))
    assert bench.poke(ask(2, lost(1))) == answered(0, 2)


def test_a_task_with_a_winner_here_keeps_it_though_the_lost_ones_attempt_is_smaller() -> None:
    bench = bench_with(PAIR, key(0))
    (proposed,) = frontiers(bench.poke(ask(2, lost(0), lost(1))))
    assert proposed == FrontierSet(JOB, frontier(2, key(0), lost(1)))


def test_a_winner_that_is_not_committed_yet_is_kept_too() -> None:
    bench = bench_with(PAIR)
    bench.hello(3)
    bench.done(key(0))
    assert bench.poke(ask(2, lost(0))) == answered(0, 2)
    assert bench.report().classes[0].done == 1


def test_what_has_read_another_result_than_the_winner_here_does_not_count() -> None:
    bench = bench_with(CHAIN, key(0))
    assert bench.poke(ask(2, lost(0), lost(1))) == answered(0, 2)


def test_what_has_read_the_winner_here_counts() -> None:
    bench = bench_with(CHAIN, lost(0))
    (proposed,) = frontiers(bench.poke(ask(2, lost(0), lost(1))))
    assert proposed.frontier == frontier(2, lost(0), lost(1))


def test_a_child_without_its_parent_does_not_count() -> None:
    """The parent's files are gone from the NAS, so the command does not offer it."""
    bench = bench_with(CHAIN)
    assert bench.poke(ask(2, lost(1))) == answered(0, 2)


def test_an_attempt_that_the_lost_side_cannot_have_made_does_not_count() -> None:
    bench = bench_with(PAIR)
    for odd in (key(0, term=3), key(0, term=9), lost(0, n=0), lost(0, n=1 << 33)):
        assert bench.poke(ask(2, odd)) == answered(0, 2)


def test_a_running_attempt_is_stopped_and_the_children_start() -> None:
    bench = bench_with(CHAIN)
    assert bench.hello(3, slots=2) == [Send(ME, execute(key(0), "Nano-0000"))]
    effects = bench.poke(ask(2, lost(0)))
    assert Send(ME, CancelAttempt(3, key(0))) in effects
    assert Send(ME, execute(key(1), "Nano-0001", parent(0, LOST))) in effects


def test_a_result_that_waited_for_its_parent_is_judged() -> None:
    bench = bench_with(CHAIN)
    bench.hello(3, held=(lost(1),))
    bench.done(lost(1), read=(parent(0, LOST),))
    effects = bench.poke(ask(2, lost(0)))
    assert told("done", lost(1)).facts in [
        each.facts[:3] for each in effects if isinstance(each, Journal) and each.event == "done"
    ]


def test_what_is_brought_before_the_agents_have_said_hello_is_not_started() -> None:
    bench = Bench()
    bench.poke(MastershipChanged(3, True))
    bench.poke(FrontierRead(3, (entry(tasks=2),)))
    bench.poke(PlanRead(JOB, DIGEST, CHAIN))
    assert frontiers(bench.poke(ask(2, lost(0))))
    assert bench.hello(3, slots=2) == [
        Send(ME, execute(key(1), "Nano-0001", parent(0, LOST))),
    ]


def test_failures_there_are_no_failures_here() -> None:
    bench = bench_with(PAIR)
    made = Frontier.decode(frontier(2, lost(0)), 2)
    made.fail(TaskId(1), Attempt(1, 1))
    (proposed,) = frontiers(bench.poke(Asked(7, Salvage(9, JOB, LOST, made.encode(), 0))))
    assert proposed.frontier == frontier(2, lost(0))


def test_a_failure_that_is_in_flight_does_not_lose_what_is_salvaged_meanwhile() -> None:
    bench = bench_with(plan([[], []], [nano(retries=3)]))
    bench.hello(3, slots=2)
    (failed,) = frontiers(bench.done(key(0), outcome=Outcome.FAILED))
    assert frontiers(bench.poke(ask(2, lost(0)))) == [], "one frontier is in flight"
    bench.done(key(0), outcome=Outcome.FAILED)  # once more: it is not acknowledged yet
    bench.poke(RecordCommitted(3, failed))
    (proposed,) = frontiers(bench.poke(Woke(), after=0.03))
    assert Frontier.decode(proposed.frontier, 2).winner(TaskId(0)) == Attempt(LOST, 1)


# --- answers -------------------------------------------------------------------------------------


def refusal(bench: Bench, asked: Asked) -> str:
    (answer,) = bench.poke(asked)
    assert isinstance(answer, Answer)
    assert isinstance(answer.message, RequestRefused)
    return answer.message.reason


@pytest.mark.parametrize("term", [3, 4])
def test_who_is_not_of_an_earlier_term_is_of_no_lost_side(term: int) -> None:
    bench = bench_with(PAIR)
    assert "is of no lost side, start it again" in refusal(bench, ask(2, lost(0), term=term))


def test_nonsense_is_refused() -> None:
    bench = bench_with(PAIR)
    assert "another number of tasks" in refusal(bench, ask(3, lost(0)))
    assert "cut short" in refusal(bench, Asked(7, Salvage(9, JOB, LOST, b"?", 0)))
    assert "task 3 of 2" in refusal(bench, ask(2, lost(0), first=3))
    assert "task -1 of 2" in refusal(bench, ask(2, lost(0), first=-1))
    unknown = Asked(7, Salvage(9, JobId("other"), LOST, b"", 0))
    assert refusal(bench, unknown) == "there is no job other"


def test_nonsense_cannot_make_the_frontier_too_large_for_its_record(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(salvage, "ATTEMPTS_MAX", 3)
    bench = bench_with(plan([[]] * 6))
    (proposed,) = frontiers(bench.poke(ask(6, *(lost(task, n=task + 1) for task in range(6)))))
    assert Frontier.decode(proposed.frontier, 6).attempts == 3


@given(
    data=st.binary(max_size=40),
    first=st.integers(-(1 << 63), (1 << 63) - 1),
    term=st.integers(-(1 << 63), (1 << 63) - 1),
    cut=st.integers(0, 80),
)
def test_whatever_a_client_says_is_answered_or_waits_for_a_commit(
    data: bytes, first: int, term: int, cut: int
) -> None:
    for said in (data, frontier(2, lost(0))[:cut], frontier(2, lost(1))):
        bench = bench_with(CHAIN)
        effects = bench.poke(Asked(7, Salvage(9, JOB, term, said, first)))
        answers = [each for each in effects if isinstance(each, Answer)]
        assert len(answers) == 1 or frontiers(effects)


def test_a_job_that_is_over_takes_nothing() -> None:
    bench = Bench()
    bench.reign(entries=(entry(JobState.DONE, key(0), key(1)),))
    assert "is done here" in refusal(bench, ask(2, lost(0)))


def test_the_plan_is_waited_for_and_without_it_nothing_can_be_judged() -> None:
    bench = Bench()
    bench.reign(entries=(entry(tasks=2),), slots=0)
    assert bench.poke(ask(2, lost(0))) == []
    effects = bench.poke(PlanRead(JOB, DIGEST, PAIR))
    assert told("salvaged", lost(0)) in effects
    bench = Bench()
    bench.reign(entries=(entry(tasks=2),), slots=0)
    bench.poke(ask(2, lost(0)))
    (answer,) = bench.poke(ChoreFailed(JOB, Chore.PLAN, "the NAS is away"))
    assert "cannot be read: the NAS is away" in answer.message.reason


def test_a_job_that_ends_before_the_commit_answers_too() -> None:
    bench = bench_with(PAIR)
    bench.poke(ask(2, lost(0)))
    bench.poke(Asked(8, Cancel(4, JOB)))
    effects = bench.poke(RecordCommitted(3, JobEnded(JOB, JobState.CANCELLED, "")))
    assert Answer(7, RequestRefused(9, "job has ended meanwhile (cancelled)")) in effects


def test_a_master_that_is_deposed_sends_the_operator_to_the_next() -> None:
    bench = bench_with(PAIR)
    bench.poke(ask(2, lost(0)))
    assert Answer(7, NotMaster(9, "", 0)) in bench.poke(MastershipChanged(4, False))


def test_a_large_job_is_taken_a_window_at_a_time() -> None:
    wide = plan([[]] * (2 * WINDOW + 5))
    tasks = len(wide.tasks)
    bench = bench_with(wide)
    there = tuple(lost(task) for task in range(tasks))
    first, taken = 0, []
    while first < tasks:
        effects = bench.poke(ask(tasks, *there, first=first), after=0.05)
        (proposed,) = frontiers(effects)
        (answer,) = (
            each for each in bench.poke(RecordCommitted(3, proposed)) if isinstance(each, Answer)
        )
        assert isinstance(answer.message, Salvaged)
        taken.append(answer.message.taken)
        first = answer.message.next
    assert taken == [WINDOW, WINDOW, 5]


@pytest.mark.parametrize("seed", range(20))
def test_any_two_histories_of_one_job_join_without_mixing(seed: int) -> None:
    """Whatever each side did, of each winner's parents exactly those won that it has read."""
    rng = Random(seed)
    found = random_plan(rng, 60)
    parents = [
        sorted({ref.task for each in task.inputs for ref in each.files}) for task in found.tasks
    ]

    def history(start: dict[int, Attempt], term: int) -> dict[int, Attempt]:
        done = dict(start)
        for task in range(60):
            if all(each in done for each in parents[task]) and rng.random() < 0.7:
                done.setdefault(task, Attempt(term, rng.choice((1, 1, 2))))
        return done

    def keys(done: dict[int, Attempt]) -> tuple[AttemptKey, ...]:
        return tuple(AttemptKey(JOB, TaskId(task), done[task]) for task in done)

    shared = history({}, 1)
    there, here = history(shared, LOST), history(shared, 3)
    bench = bench_with(found, *keys(here))
    offered = tuple(each for each in keys(there) if rng.random() < 0.9)  # some files are gone
    bench.poke(ask(60, *offered))
    result = bench.core._reign.jobs[JOB].frontier  # type: ignore[union-attr]
    won = {task: result.winner(TaskId(task)) for task in range(60) if result.is_done(TaskId(task))}
    assert {task: won[task] for task in here} == here, "what was won here stays"
    for task in won.keys() - here.keys():
        assert won[task] == there[task]
        assert all(won.get(each) == there[each] for each in parents[task])
    assert not [each for each in bench.poke(ask(60, *offered)) if isinstance(each, Journal)]
