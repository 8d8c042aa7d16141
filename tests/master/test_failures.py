"""Attempts that fail, crash or find no fit node: who is forgiven, avoided, given up."""

from typing import Any

from nanoboost.core import Woke
from nanoboost.frontier import Cause, Frontier
from nanoboost.ids import JobId, TaskId
from nanoboost.master.agents import Agents
from nanoboost.master.events import (
    CleanJob,
    FrontierRead,
    MastershipChanged,
    MemberUp,
    PlanRead,
    Propose,
    RecordCommitted,
    Send,
)
from nanoboost.master.results import CAUSES, FORGIVEN
from nanoboost.wire.messages import (
    NODE_DIED,
    Acknowledge,
    Execute,
    JobState,
    Outcome,
)
from nanoboost.wire.records import JobEnded, JobEntry
from tests.master.bench import JOB, ME, OTHER, Bench, execute, hello, key, submitted
from tests.master.plans import DIGEST, nano, plan


def test_a_task_that_fails_too_often_fails_its_job() -> None:
    bench = Bench()
    bench.reign()
    bench.run(plan([[], [0]], [nano(retries=1)]))
    failed = {"outcome": Outcome.FAILED, "error": "ValueError: no ink", "tail": "last words"}
    effects = bench.done(key(0), **failed)
    assert Send(ME, execute(key(0, n=2), "Nano-0000")) in effects
    assert bench.done(key(0), **failed) == [], "told again, counted once"
    end = JobEnded(JOB, JobState.FAILED, "Nano-0000 failed: ValueError: no ink")
    assert bench.done(key(0, n=2), **failed) == [Propose(3, end)]
    effects = bench.poke_quietly(RecordCommitted(3, end))
    assert effects == [Send(ME, Acknowledge(3, (key(0), key(0, n=2)))), CleanJob(JOB)]
    report = bench.report()
    assert (report.state, report.note) == (JobState.FAILED, end.reason)
    assert [(each.node, each.error, each.tail) for each in report.failures] == [
        ("one", "ValueError: no ink", "last words")
    ] * 2
    assert report.failures[0].log == ".nanoboost/jobs/job/0/3.1.part/log"
    assert report.classes[0].failed == 1


def test_a_failure_that_is_held_until_its_commit_does_not_stop_the_next_run() -> None:
    bench = Bench()
    bench.reign(slots=0)
    bench.poke(MemberUp(OTHER, "two"))
    bench.hello(3, OTHER)
    bench.run(plan([[]], [nano(retries=1)]))
    bench.hello(3, OTHER, slots=0, running=(key(0),))
    bench.done(key(0), who=OTHER, outcome=Outcome.FAILED)
    assert bench.hello(3, OTHER, slots=0, held=(key(0),)) == []
    assert bench.hello(3) == [Send(ME, execute(key(0, n=2), "Nano-0000"))]


def test_a_process_that_dies_is_forgiven_more_often() -> None:
    bench = Bench()
    bench.reign()
    bench.run()
    for n in (1, 2, 3):
        effects = bench.done(key(0, n=n), outcome=Outcome.CRASHED, error="killed by signal 9")
        assert Send(ME, execute(key(0, n=n + 1), "Nano-0000")) in effects
    effects = bench.done(key(0, n=4), outcome=Outcome.CRASHED, error="killed by signal 9")
    assert not [each for each in effects if isinstance(each, Send)]
    assert JobState.FAILED in [
        each.record.state
        for each in effects
        if isinstance(each, Propose) and isinstance(each.record, JobEnded)
    ]


def after(*failures: tuple[int, Outcome]) -> Bench:
    """A master of term 4: an earlier one has committed that these attempts of task 0 failed (two
    retries)."""
    before = Frontier.empty(2)
    for n, outcome in failures:
        before.fail(TaskId(0), key(0, n=n).attempt, CAUSES[outcome])
    bench = Bench()
    bench.poke(MastershipChanged(4, True))
    entry = JobEntry(submitted(2), JobState.RUNNING, "", before.encode())
    bench.poke(FrontierRead(4, (entry,)))
    bench.poke(PlanRead(JOB, DIGEST, plan([[], [0]], [nano(retries=2)])))
    return bench


def has_ended(effects: list[Any]) -> bool:
    return any(isinstance(e, Propose) and isinstance(e.record, JobEnded) for e in effects)


def test_what_an_earlier_master_has_counted_is_not_counted_again() -> None:
    """Its agent tells each new master until somebody acknowledges it; and some attempts between
    were cancelled, so that their numbers are no count."""
    bench = after((2, Outcome.FAILED), (4, Outcome.FAILED))
    bench.hello(4, held=(key(0, n=4),))
    assert not has_ended(bench.done(key(0, n=4), outcome=Outcome.FAILED, error="told again"))
    assert has_ended(bench.done(key(0, term=4), outcome=Outcome.FAILED, error="the third"))


def test_a_failure_that_is_told_after_a_later_one_counts() -> None:
    """An agent tells a new master what it holds in whatever order, and there are several agents."""
    bench = after((6, Outcome.FAILED))
    bench.hello(4, held=(key(0, n=4), key(0, n=5)))
    assert not has_ended(bench.done(key(0, n=5), outcome=Outcome.FAILED, error="the second"))
    assert has_ended(bench.done(key(0, n=4), outcome=Outcome.FAILED, error="the third"))


def test_crashes_that_an_earlier_master_has_counted_are_forgiven_still() -> None:
    bench = after((1, Outcome.CRASHED), (2, Outcome.CRASHED))
    bench.hello(4)
    assert not has_ended(bench.done(key(0, term=4), outcome=Outcome.FAILED, error="the first"))


def test_what_has_crashed_on_one_node_runs_on_another_even_if_that_is_the_masters() -> None:
    """A bad machine is quick to fail: it would take all the tries of a task."""
    bench = Bench()
    bench.reign(slots=0)
    bench.poke(MemberUp(OTHER, "two"))
    bench.hello(3, OTHER)
    bench.run(plan([[]]))
    bench.hello(3)
    effects = bench.done(key(0), who=OTHER, outcome=Outcome.CRASHED, error="killed by signal 11")
    assert Send(ME, execute(key(0, n=2), "Nano-0000")) in effects
    effects = bench.done(key(0, n=2), outcome=Outcome.CRASHED, error="killed by signal 11")
    assert Send(OTHER, execute(key(0, n=3), "Nano-0000")) in effects, "where the master is not"


def test_what_was_lost_with_the_masters_own_node_is_counted_once_that_is_back() -> None:
    """Nobody else knew that it ran there; and that node is no bad machine."""
    bench = Bench()
    bench.reign(slots=0)
    bench.run(plan([[]] * 5, [nano(retries=0)]))
    bench.poke(MemberUp(OTHER, "two"))
    lost = [key(task, term=2) for task in range(5)]
    bench.hello(3, OTHER, slots=5, held=tuple(lost))
    for each in lost:
        bench.done(each, who=OTHER, outcome=Outcome.LOST, error=NODE_DIED)
    assert not bench.report().note, "and gets work again, for want of another"
    last = FORGIVEN[Cause.LOST]
    for n in range(1, last):
        bench.done(key(0, n=n), who=OTHER, outcome=Outcome.LOST, error=NODE_DIED)
        assert not has_ended(bench.done(lost[0], who=OTHER, outcome=Outcome.LOST)), "told again"
    assert has_ended(bench.done(key(0, n=last), who=OTHER, outcome=Outcome.LOST, error=NODE_DIED))


def test_a_process_that_dies_is_judged_without_the_nodes_that_have_died() -> None:
    """A storm of dying nodes leaves a task as many crashes of its own as it had before."""
    bench = after(*[(n, Outcome.LOST) for n in range(1, 9)])
    bench.hello(4)
    for n in range(1, 6):
        effects = bench.done(key(0, term=4, n=n), outcome=Outcome.CRASHED, error="signal 11")
        assert not has_ended(effects)
    assert has_ended(bench.done(key(0, term=4, n=6), outcome=Outcome.CRASHED, error="signal 11"))


def test_an_unfit_node_is_avoided_and_named() -> None:
    bench = Bench()
    bench.reign()
    bench.run(plan([[]], [nano("Copy")]))
    unfit = {"outcome": Outcome.UNFIT, "error": "needs no-such-tool, which is not installed here"}
    assert bench.done(key(0), **unfit) == [Send(ME, Acknowledge(3, (key(0),)))]
    assert bench.report().note == (
        "no node can run Copy (one: needs no-such-tool, which is not installed here)"
    )
    bench.poke(MemberUp(OTHER, "two"))
    assert bench.hello(3, OTHER) == [Send(OTHER, execute(key(0, n=2), "Copy-0000"))]
    assert bench.report().note == ""


def test_an_unfit_node_gets_another_chance_soon_and_then_more_and_more_rarely() -> None:
    """The NAS may have been away for a moment; a tool may never come."""
    bench = Bench()
    bench.reign()
    bench.run(plan([[], [0]]))
    for n, gap_s in enumerate((2, 4, 8, 16, 32, 60, 60), 1):
        bench.done(key(0, n=n), outcome=Outcome.UNFIT, error="needs ffmpeg")
        assert bench.poke(Woke(), after=gap_s - 0.1) == []
        assert Send(ME, execute(key(0, n=n + 1), "Nano-0000")) in bench.poke(Woke(), after=0.2)
    bench.done(key(0, n=8))
    bench.done(key(1), outcome=Outcome.UNFIT, error="needs ffmpeg")
    sent = [each.message for each in bench.poke(Woke(), after=2.1) if isinstance(each, Send)]
    (again,) = (each for each in sent if isinstance(each, Execute))
    assert again.key == key(1, n=2), "it has worked meanwhile"


def test_what_a_node_could_not_run_is_forgotten_in_time() -> None:
    """Jobs come and go by the thousand."""
    agents = Agents()
    agents.hello(0.0, ME, hello(3))
    for moment, job in ((0.0, "first"), (10.0, "second"), (64.0, "third")):
        agents.avoid(moment, ME, (JobId(job), 0), "needs ffmpeg")
    assert [job for job, _ in agents.by_node[ME].unfit] == ["second", "third"]


def test_a_node_on_which_two_fail_at_once_is_not_avoided_for_longer() -> None:
    bench = Bench()
    bench.reign(slots=2)
    bench.run(plan([[], []]))
    for task in range(2):
        bench.done(key(task), outcome=Outcome.UNFIT, error="the NAS is not there")
    sent = bench.poke(Woke(), after=2.1)
    assert {Send(ME, execute(key(each, n=2), f"Nano-000{each}")) for each in (0, 1)} <= {*sent}


def test_a_task_with_labels_goes_only_where_they_are() -> None:
    bench = Bench()
    bench.reign()
    bench.run(plan([[]], [nano(labels=("gpu",))]))
    assert bench.report().note == "no node can run Nano (one: lacks the label gpu)"
    bench.poke(MemberUp(OTHER, "two"))
    sent = bench.hello(3, OTHER, labels=("gpu", "big"))
    assert sent == [Send(OTHER, execute(key(0), "Nano-0000"))]


def test_a_node_where_everything_crashes_is_set_aside_while_another_works() -> None:
    bench = Bench()
    bench.reign(slots=4)
    bench.poke(MemberUp(OTHER, "two"))
    bench.hello(3, OTHER, slots=1, speed=0.5)
    bench.run(plan([[]] * 9, [nano(retries=9)]))
    for task in range(4):
        bench.done(key(task), outcome=Outcome.CRASHED)
    views = bench.core.agents(bench.now)
    assert views[ME].note == "set aside: everything crashes here"
    assert views[OTHER].note == ""
