"""Agents that come, go, fall silent or drain, as the master's core meets them."""

from nanoboost.core import Woke
from nanoboost.master.events import (
    Answer,
    MemberLost,
    MemberRefused,
    MemberUp,
    Propose,
    RecordCommitted,
    Send,
)
from nanoboost.wire.messages import (
    CancelAttempt,
    Execute,
    MasterHere,
    Outcome,
    Submitted,
)
from nanoboost.wire.records import FrontierSet
from tests.master.bench import JOB, ME, OTHER, Bench, execute, frontier, key, parent
from tests.master.plans import nano, plan


def test_a_lost_agents_attempt_starts_elsewhere_at_once_and_its_late_result_still_wins() -> None:
    bench = Bench()
    bench.reign(slots=0)
    bench.poke(MemberUp(OTHER, "two"))
    bench.hello(3, OTHER)
    assert bench.run() == [
        Answer(1, Submitted(7, JOB)),
        Send(OTHER, execute(key(0), "Nano-0000")),
    ]
    bench.hello(3, slots=1)
    assert bench.poke_quietly(MemberLost(OTHER)) == [
        Send(ME, execute(key(0, n=2), "Nano-0000")),
    ]
    effects = bench.done(key(0), who=OTHER)
    assert effects == [
        Send(ME, CancelAttempt(3, key(0, n=2))),
        Propose(3, FrontierSet(JOB, frontier(2, key(0)))),
    ], "the slot is not free before the cancelled attempt says so"
    assert bench.done(key(0, n=2), outcome=Outcome.CANCELLED) == [
        Send(ME, execute(key(1), "Nano-0001", parent(0)))
    ]


def test_a_refused_connection_loses_what_ran_there_and_the_member_is_asked_until_it_is_back() -> (
    None
):
    bench = Bench()
    bench.reign()
    bench.run()
    (counted,) = bench.poke(MemberRefused(ME))
    assert isinstance(counted, Propose), "the task may be why"
    assert bench.poke(Woke(), after=0.3) == [Send(ME, MasterHere(3))]
    assert bench.hello(3) == [], "first it must be in the log that it was there"
    again = bench.poke_quietly(RecordCommitted(3, counted.record))
    assert again == [Send(ME, execute(key(0, n=2), "Nano-0000"))]


def test_a_task_whose_node_dies_each_time_takes_no_more_nodes_along_after_a_while() -> None:
    """Seen in the simulator: one poisoned task killed 52 nodes in 90 s, and would still."""
    bench = Bench()
    bench.reign()
    bench.run()
    for n in range(2, 5):
        bench.hello(3)
        counted = bench.poke(MemberRefused(ME), after=0.3)[-1]
        assert isinstance(counted, Propose)
        bench.hello(3)
        again = bench.poke_quietly(RecordCommitted(3, counted.record))
        assert Send(ME, execute(key(0, n=n), "Nano-0000")) in again
    bench.poke(MemberRefused(ME), after=0.3)
    bench.hello(3)
    report = bench.report()
    assert report.failures[-1].error == "its node's process ended while it ran"
    effects = bench.poke(Woke(), after=0.3)
    assert not any(isinstance(each, Send) and isinstance(each.message, Execute) for each in effects)


def test_a_hello_that_does_not_name_a_run_loses_it_but_not_one_that_may_have_crossed() -> None:
    bench = Bench()
    bench.reign()
    bench.run()
    assert bench.hello(3) == [], "the Execute may still be on its way"
    bench.now += 1.0
    assert bench.hello(3) == [Send(ME, execute(key(0, n=2), "Nano-0000"))]


def test_a_busy_agent_that_is_silent_is_asked_now_and_then() -> None:
    bench = Bench()
    bench.reign()
    bench.run()
    deadline = bench.core.deadline()
    assert deadline is not None
    bench.now = deadline
    assert bench.poke(Woke(), after=0.0) == [Send(ME, MasterHere(3))]


def test_a_draining_agent_and_one_without_its_nas_get_nothing() -> None:
    bench = Bench()
    bench.reign(slots=1)
    bench.hello(3, draining=True)
    assert bench.run() == [Answer(1, Submitted(7, JOB))]
    assert bench.hello(3, fit="/nas is not mounted") == []
    assert "one: /nas is not mounted" in bench.report().note
    assert bench.hello(3) == [Send(ME, execute(key(0), "Nano-0000"))]


def test_an_agent_is_never_given_more_than_it_has_slots_for() -> None:
    bench = Bench()
    bench.reign(slots=3)
    wide = plan([[]] * 5, [nano(cores=2)])
    assert bench.run(wide) == [
        Answer(1, Submitted(7, JOB)),
        Send(ME, execute(key(0), "Nano-0000")),
    ]
    (view,) = bench.core.agents(bench.now).values()
    assert (view.slots, view.busy) == (3, 2)


def test_a_hello_from_a_dead_member_or_for_an_earlier_master_is_ignored() -> None:
    bench = Bench()
    bench.reign()
    assert bench.hello(3, OTHER) == []
    bench.poke(MemberUp(OTHER, "two"))
    assert bench.hello(2, OTHER) == []
    assert list(bench.core.agents(bench.now)) == [ME]
