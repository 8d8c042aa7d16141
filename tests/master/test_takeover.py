"""A new master: whom it waits for, what it adopts, which results it believes."""

from nanoboost.core import Woke
from nanoboost.master.events import (
    Answer,
    Asked,
    FrontierRead,
    MastershipChanged,
    MemberLost,
    MemberRefused,
    MemberUp,
    PlanRead,
    Propose,
    PublishResults,
    ReadPlan,
    Send,
)
from nanoboost.nas.messages import Published
from nanoboost.wire.messages import (
    Acknowledge,
    CancelAttempt,
    JobState,
    NotMaster,
)
from nanoboost.wire.records import FrontierSet, JobEnded
from tests.master.bench import (
    CHAIN,
    JOB,
    ME,
    OTHER,
    SUBMIT,
    Bench,
    entry,
    execute,
    frontier,
    key,
    parent,
    takeover,
)
from tests.master.plans import DIGEST, plan


def test_a_new_master_starts_nothing_before_all_live_members_are_heard() -> None:
    bench = takeover(entry(), members=(OTHER,))
    assert bench.hello(4) == []
    assert bench.hello(4, OTHER) == [Send(ME, execute(key(0, 4), "Nano-0000", term=4))]


def test_a_new_master_waits_for_nobody_who_is_known_to_be_gone_or_silent_for_long() -> None:
    for event in (MemberLost(OTHER), MemberRefused(OTHER)):
        bench = takeover(entry(), members=(OTHER,))
        bench.hello(4)
        assert bench.poke_quietly(event) == [Send(ME, execute(key(0, 4), "Nano-0000", term=4))]
    bench = takeover(entry(), members=(OTHER,))
    bench.hello(4)
    assert "waits for two" in bench.report().note
    effects = bench.poke_quietly(Woke(), after=1.1)
    assert Send(ME, execute(key(0, 4), "Nano-0000", term=4)) in effects


def test_a_new_job_does_not_wait_for_the_hellos() -> None:
    bench = Bench()
    bench.poke(MemberUp(OTHER, "two"))
    bench.poke(MastershipChanged(3, True))
    bench.poke(FrontierRead(3, ()))
    bench.hello(3)
    assert Send(ME, execute(key(0), "Nano-0000")) in bench.run()


def test_running_attempts_are_adopted_and_their_results_win() -> None:
    bench = takeover(entry())
    assert bench.hello(4, running=(key(0),)) == []
    assert bench.done(key(0)) == [
        Send(ME, execute(key(1, 4), "Nano-0001", parent(0), term=4)),
        Propose(4, FrontierSet(JOB, frontier(2, key(0)))),
    ]


def test_held_results_take_no_slot_and_are_waited_for() -> None:
    bench = takeover(entry())
    assert bench.hello(4, held=(key(0),)) == []
    (view,) = bench.core.agents(bench.now).values()
    assert view.busy == 0


def test_a_child_that_comes_before_its_parent_is_parked_until_that_comes() -> None:
    bench = takeover(entry())
    bench.hello(4, held=(key(1), key(0)))
    assert bench.done(key(1), read=(parent(0),)) == []
    assert bench.done(key(0)) == [Propose(4, FrontierSet(JOB, frontier(2, key(0), key(1))))]


def test_a_child_that_has_read_a_losing_attempt_is_refused_and_runs_again() -> None:
    bench = takeover(entry(JobState.RUNNING, key(0, n=2)))
    bench.hello(4, held=(key(1),))
    assert bench.done(key(1), read=(parent(0, n=1),)) == [
        Send(ME, Acknowledge(4, (key(1),))),
        Send(ME, execute(key(1, 4), "Nano-0001", parent(0, n=2), term=4)),
    ]


def test_a_result_that_has_read_what_nobody_has_made_is_refused() -> None:
    bench = Bench()
    bench.reign(slots=2)
    bench.run(plan([[], []]))
    effects = bench.done(key(1), read=(parent(0),))
    assert effects == [
        Send(ME, Acknowledge(3, (key(1),))),
        Send(ME, execute(key(1, n=2), "Nano-0001")),
    ]


def test_a_result_that_comes_before_the_plan_waits_for_it() -> None:
    bench = Bench()
    bench.poke(MastershipChanged(4, True))
    bench.poke(FrontierRead(4, (entry(),)))
    bench.hello(4, held=(key(0),))
    assert bench.done(key(0)) == []
    assert bench.poke_quietly(PlanRead(JOB, DIGEST, CHAIN)) == [
        Send(ME, execute(key(1, 4), "Nano-0001", parent(0), term=4)),
        Propose(4, FrontierSet(JOB, frontier(2, key(0)))),
    ]


def test_what_runs_of_a_job_that_is_over_is_cancelled_and_its_results_are_not_wanted() -> None:
    bench = Bench()
    bench.poke(MastershipChanged(4, True))
    bench.poke(FrontierRead(4, (entry(JobState.CANCELLED),)))
    assert bench.hello(4, running=(key(0),)) == [Send(ME, CancelAttempt(4, key(0)))]
    assert bench.done(key(0)) == [Send(ME, Acknowledge(4, (key(0),)))]


def test_a_job_that_was_being_published_is_published_again() -> None:
    bench = Bench()
    bench.poke(MastershipChanged(4, True))
    found = entry(JobState.PUBLISHING, key(0), key(1))
    assert ReadPlan(JOB, DIGEST) in bench.poke(FrontierRead(4, (found,)))
    assert bench.poke(PlanRead(JOB, DIGEST, CHAIN)) == [
        PublishResults(JOB, (Published(key(1), ("1.out",)),))
    ]


def test_a_job_whose_last_task_was_committed_goes_on_to_its_end() -> None:
    bench = Bench()
    bench.poke(MastershipChanged(4, True))
    bench.poke(FrontierRead(4, (entry(JobState.RUNNING, key(0), key(1)),)))
    assert bench.poke(PlanRead(JOB, DIGEST, CHAIN)) == [
        Propose(4, JobEnded(JOB, JobState.PUBLISHING, ""))
    ]


def test_who_loses_mastership_sends_its_clients_away() -> None:
    bench = Bench()
    bench.reign()
    bench.poke(Asked(1, SUBMIT))
    assert bench.poke(MastershipChanged(4, False)) == [Answer(1, NotMaster(7, "", 0))]
    assert bench.poke(PlanRead(JOB, DIGEST, CHAIN)) == []
    assert bench.core.deadline() is None
