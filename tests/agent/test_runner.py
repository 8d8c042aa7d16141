"""The runner, poked: an event, and the whole list of what it wants done."""

import pytest

from nanoboost.agent.messages import AttemptEnded, RunAttempt
from nanoboost.agent.runner import (
    CROSSING_S,
    DRAIN_ACKNOWLEDGE_S,
    FULL,
    HELD_MAX,
    RESEND_MAX,
    RESEND_S,
    ChildFinished,
    DrainAsked,
    Drained,
    Effect,
    Ended,
    Facts,
    NasChanged,
    Order,
    Received,
    Runner,
    Send,
    Settled,
    Start,
    Stop,
)
from nanoboost.core import Woke
from nanoboost.ids import Attempt, AttemptKey, JobId, NodeId, TaskId
from nanoboost.wire.messages import (
    NODE_DIED,
    Acknowledge,
    AgentHello,
    CancelAttempt,
    Execute,
    MasterHere,
    Outcome,
    Parent,
    TaskDone,
)

ONE, TWO = NodeId("1" * 16), NodeId("2" * 16)
PARENTS = (Parent(TaskId(0), Attempt(1, 1)),)


def key(task: int, term: int = 1, n: int = 1) -> AttemptKey:
    return AttemptKey(JobId("job"), TaskId(task), Attempt(term, n))


def execute(task: int, term: int = 1, timeout_s: float = 0.0) -> Execute:
    return Execute(term, key(task, term), "p", "c", PARENTS, timeout_s, f"Nap-{task:04d}")


def start(task: int, term: int = 1) -> Start:
    return Start(RunAttempt(key(task, term), "p", "c", PARENTS, f"Nap-{task:04d}"))


def hello(
    term: int = 1,
    *,
    running: tuple[AttemptKey, ...] = (),
    held: tuple[AttemptKey, ...] = (),
    fit: str = "",
    draining: bool = False,
    to: NodeId = ONE,
) -> Send:
    return Send(to, AgentHello(term, 2, 0.5, ("gpu",), running, held, fit, draining))


def ended(task: int, outcome: Outcome = Outcome.DONE, error: str = "") -> ChildFinished:
    return ChildFinished(AttemptEnded(key(task), outcome, PARENTS, 0.25, error, "tail"))


def done(
    task: int,
    outcome: Outcome = Outcome.DONE,
    error: str = "",
    *,
    wall_s: float = 0.0,
    to: NodeId = ONE,
) -> Send:
    return Send(to, TaskDone(key(task), outcome, PARENTS, wall_s, 0.25, error, "tail"))


def refused(task: int, outcome: Outcome, error: str, term: int = 1) -> Send:
    return Send(ONE, TaskDone(key(task, term), outcome, (), 0.0, 0.0, error))


class Agent:
    """A runner with two slots and a hand on its clock."""

    def __init__(self, *lost: AttemptKey) -> None:
        self.runner = Runner(Facts(2, 0.5, ("gpu",)), lost)
        self.now = 100.0

    def hears(self, message: Order, sender: NodeId = ONE) -> list[Effect]:
        return list(self.runner.step(self.now, Received(sender, message)))

    def sees(self, event: ChildFinished | NasChanged | DrainAsked) -> list[Effect]:
        return list(self.runner.step(self.now, event))

    def sleeps(self, seconds: float) -> list[Effect]:
        self.now += seconds
        return list(self.runner.step(self.now, Woke()))


def serving() -> Agent:
    """An agent that knows its master, of term 1."""
    agent = Agent()
    assert agent.hears(MasterHere(1)) == [hello()]
    return agent


# --- the master ------------------------------------------------------------------------------


def test_nothing_is_said_before_a_master_speaks() -> None:
    agent = Agent()
    assert agent.sees(NasChanged("not mounted")) == []
    assert agent.runner.deadline() is None
    assert agent.hears(MasterHere(1)) == [hello(fit="not mounted")]


def test_a_new_master_is_told_what_runs_and_each_result() -> None:
    agent = serving()
    agent.hears(execute(1))
    agent.hears(execute(2))
    agent.sees(ended(1))
    assert agent.hears(MasterHere(2), TWO) == [
        hello(2, running=(key(2),), held=(key(1),), to=TWO),
        done(1, to=TWO),
    ]
    assert agent.sees(ended(2)) == [Ended(key(2), Outcome.DONE), done(2, to=TWO)]


def test_what_was_lost_with_the_process_is_told_until_a_master_has_counted_it() -> None:
    agent = Agent(key(1), key(2))
    assert agent.runner.deadline() is None
    lost = [refused(each, Outcome.LOST, NODE_DIED) for each in (1, 2)]
    assert agent.hears(MasterHere(1)) == [hello(held=(key(1), key(2))), *lost]
    assert agent.hears(execute(1)) == [lost[0]], "it was started before"
    assert agent.hears(Acknowledge(1, (key(1),))) == [Settled(key(1))]
    assert agent.sleeps(RESEND_S) == [lost[1]]
    assert agent.hears(MasterHere(2), TWO)[0] == hello(2, held=(key(2),), to=TWO)


def test_a_master_that_asks_again_is_told_again() -> None:
    agent = serving()
    agent.hears(execute(1))
    agent.sees(ended(1))
    assert agent.hears(MasterHere(1)) == [hello(held=(key(1),)), done(1)]


def test_a_higher_term_is_learnt_from_any_message() -> None:
    agent = serving()
    assert agent.hears(execute(1, term=3), TWO) == [hello(3, to=TWO), start(1, term=3)]


def test_a_lower_term_is_not_obeyed_whatever_it_says() -> None:
    agent = serving()
    agent.hears(execute(1))
    agent.hears(execute(2))
    agent.sees(ended(2))
    agent.hears(MasterHere(2), TWO)
    assert agent.hears(MasterHere(1)) == []
    assert agent.hears(execute(3)) == []
    assert agent.hears(CancelAttempt(1, key(1))) == []
    assert agent.hears(Acknowledge(1, (key(2),))) == []
    assert agent.hears(MasterHere(2), TWO) == [
        hello(2, running=(key(1),), held=(key(2),), to=TWO),
        done(2, to=TWO),
    ]


def test_a_term_has_one_master() -> None:
    agent = serving()
    assert agent.hears(execute(1), TWO) == []


# --- attempts --------------------------------------------------------------------------------


def test_an_attempt_runs_and_its_result_is_told_until_acknowledged() -> None:
    agent = serving()
    assert agent.hears(execute(1)) == [start(1)]
    agent.now += 3.0
    assert agent.sees(ended(1)) == [Ended(key(1), Outcome.DONE), done(1, wall_s=3.0)]
    assert agent.runner.deadline() == agent.now + RESEND_S
    assert agent.sleeps(RESEND_S / 2) == []
    assert agent.sleeps(RESEND_S / 2) == [done(1, wall_s=3.0)]
    assert agent.sleeps(RESEND_S) == [done(1, wall_s=3.0)]
    assert agent.hears(Acknowledge(1, (key(1), key(7)))) == []
    assert agent.runner.deadline() is None
    assert agent.sleeps(RESEND_S) == []


def test_the_same_execute_again_starts_nothing() -> None:
    agent = serving()
    agent.hears(execute(1))
    assert agent.hears(execute(1)) == []
    agent.sees(ended(1))
    assert agent.hears(execute(1)) == [done(1)]


def test_an_execute_beyond_the_slots_is_refused_and_the_masters_view_set_right() -> None:
    agent = serving()
    agent.hears(execute(1))
    agent.hears(execute(2))
    assert agent.hears(execute(3)) == [
        hello(running=(key(1), key(2))),
        refused(3, Outcome.CANCELLED, "all slots are taken"),
    ]
    assert agent.hears(MasterHere(1))[0] == hello(running=(key(1), key(2)), held=(key(3),))


def test_without_its_nas_an_agent_is_unfit_and_finishes_what_runs() -> None:
    agent = serving()
    agent.hears(execute(1))
    assert agent.sees(NasChanged("no NAS")) == [hello(running=(key(1),), fit="no NAS")]
    assert agent.sees(NasChanged("no NAS")) == []
    assert agent.hears(execute(2)) == [
        hello(running=(key(1),), fit="no NAS"),
        refused(2, Outcome.UNFIT, "no NAS"),
    ]
    assert agent.sees(NasChanged("")) == [hello(running=(key(1),), held=(key(2),))]


def test_an_attempt_that_overruns_is_stopped_and_has_failed() -> None:
    agent = serving()
    agent.hears(execute(1, timeout_s=5.0))
    assert agent.runner.deadline() == 105.0
    assert agent.sleeps(4.9) == []
    assert agent.sleeps(0.1) == [Stop(key(1))]
    assert agent.runner.deadline() is None
    assert agent.sleeps(1.0) == []
    why = "ran longer than its timeout of 5 s"
    assert agent.sees(ended(1, Outcome.CRASHED, "killed by signal 9")) == [
        Ended(key(1), Outcome.FAILED),
        done(1, Outcome.FAILED, why, wall_s=6.0),
    ]


def test_a_cancelled_attempt_is_told_once_its_process_is_gone() -> None:
    agent = serving()
    agent.hears(execute(1))
    agent.hears(execute(2))
    assert agent.hears(CancelAttempt(1, key(1))) == [Stop(key(1))]
    assert agent.hears(CancelAttempt(1, key(1))) == []
    assert agent.hears(execute(3))[-1] == refused(3, Outcome.CANCELLED, "all slots are taken")
    assert agent.sees(ended(1, Outcome.CRASHED, "killed by signal 9")) == [
        Ended(key(1), Outcome.CANCELLED),
        done(1, Outcome.CANCELLED, "cancelled"),
    ]


def test_an_attempt_that_was_done_before_it_could_be_stopped_is_done() -> None:
    agent = serving()
    agent.hears(execute(1))
    agent.hears(CancelAttempt(1, key(1)))
    assert agent.sees(ended(1)) == [Ended(key(1), Outcome.DONE), done(1)]


def test_a_cancel_of_what_never_came_is_answered_and_keeps_it_from_starting_later() -> None:
    agent = serving()
    told = refused(1, Outcome.CANCELLED, "cancelled before it started")
    assert agent.hears(CancelAttempt(1, key(1))) == [hello(), told]
    assert agent.hears(execute(1)) == [told]
    assert agent.hears(CancelAttempt(1, key(1))) == [told]


# --- many results ----------------------------------------------------------------------------


def full() -> Agent:
    agent = serving()
    for task in range(HELD_MAX):
        agent.hears(execute(task))
        agent.sees(ended(task))
    return agent


def test_results_are_told_again_a_few_at_a_time_the_oldest_first() -> None:
    agent = full()
    assert agent.sleeps(RESEND_S) == [done(task) for task in range(RESEND_MAX)]
    assert agent.runner.deadline() == agent.now + RESEND_S
    assert agent.sleeps(RESEND_S) == [done(task) for task in range(RESEND_MAX, 2 * RESEND_MAX)]


def test_with_too_many_results_nothing_more_is_started_or_held() -> None:
    agent = full()
    why = "too many results are not acknowledged"
    for task in range(HELD_MAX, HELD_MAX + 3):
        assert agent.hears(execute(task)) == [refused(task, Outcome.CANCELLED, why)]
    introduction = agent.hears(MasterHere(2), TWO)
    assert len(introduction) == 1 + HELD_MAX
    agent.hears(Acknowledge(2, (key(0),)), TWO)
    assert agent.hears(execute(HELD_MAX, term=2), TWO) == [start(HELD_MAX, term=2)]


def test_the_master_is_told_when_nothing_more_can_be_kept_and_when_it_can_again() -> None:
    """Or it would send the next attempt as fast as it is refused: thousands a second."""
    agent = serving()
    for task in range(HELD_MAX - 1):
        agent.hears(execute(task))
        agent.sees(ended(task))
    agent.hears(execute(HELD_MAX - 1))
    held = tuple(key(task) for task in range(HELD_MAX))
    assert agent.sees(ended(HELD_MAX - 1))[-1] == hello(held=held, fit=FULL)
    assert agent.hears(Acknowledge(1, (key(0),))) == [hello(held=held[1:])]
    assert agent.hears(Acknowledge(1, (key(1),))) == []


def test_what_the_master_was_told_is_set_right_whatever_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    agent = serving()
    monkeypatch.setattr("nanoboost.agent.runner.HELD_MAX", 1)
    agent.hears(execute(0))
    assert agent.sees(ended(0))[-1] == hello(held=(key(0),), fit=FULL)
    monkeypatch.setattr("nanoboost.agent.runner.HELD_MAX", 1024)
    assert agent.hears(Acknowledge(1, (key(0),))) == [hello()]


# --- leaving ---------------------------------------------------------------------------------


def test_a_drained_agent_has_finished_and_been_acknowledged() -> None:
    agent = serving()
    agent.hears(execute(1))
    assert agent.sees(DrainAsked()) == [hello(running=(key(1),), draining=True)]
    agent.now += CROSSING_S
    assert agent.hears(execute(2)) == [
        hello(running=(key(1),), draining=True),
        refused(2, Outcome.CANCELLED, "the node is leaving"),
    ]
    assert agent.hears(Acknowledge(1, (key(2),))) == []
    assert agent.sees(ended(1)) == [Ended(key(1), Outcome.DONE), done(1, wall_s=CROSSING_S)]
    assert agent.hears(Acknowledge(1, (key(1),))) == [Drained()]
    assert agent.sleeps(DRAIN_ACKNOWLEDGE_S) == []
    assert agent.runner.deadline() is None
    assert agent.sees(DrainAsked()) == [Drained()]


def test_an_execute_that_crossed_the_news_of_the_draining_is_run() -> None:
    agent = serving()
    assert agent.sees(DrainAsked()) == [hello(draining=True)]
    assert agent.runner.deadline() == agent.now + CROSSING_S
    assert agent.hears(execute(1)) == [start(1)]
    assert agent.runner.deadline() is None
    assert agent.sees(ended(1)) == [Ended(key(1), Outcome.DONE), done(1)]
    assert agent.hears(Acknowledge(1, (key(1),))) == []
    assert agent.sleeps(CROSSING_S) == [Drained()]


def test_an_agent_without_a_master_is_drained_at_once() -> None:
    assert Agent().sees(DrainAsked()) == [Drained()]


def test_a_draining_agent_does_not_wait_for_acknowledgements_for_ever() -> None:
    agent = serving()
    agent.hears(execute(1))
    agent.sees(ended(1))
    agent.sees(DrainAsked())
    give_up_at = agent.now + CROSSING_S + DRAIN_ACKNOWLEDGE_S
    effects = agent.sleeps(CROSSING_S)
    while agent.now < give_up_at:
        assert Drained() not in effects
        effects += agent.sleeps(0.25)
    assert effects[-1] == Drained()
    assert agent.sees(DrainAsked()) == [Drained()]


def test_a_draining_agent_waits_for_what_runs_however_long() -> None:
    agent = serving()
    agent.hears(execute(1))
    agent.sees(DrainAsked())
    assert agent.sleeps(100 * DRAIN_ACKNOWLEDGE_S) == []
