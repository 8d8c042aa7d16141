"""The executor, with puppets for children: which child gets what, and what their ends mean."""

import pytest

from nanoboost.agent.executor import ERROR_MAX, FINISH_S, IDLE_S, TAIL_MAX, Executor
from nanoboost.agent.messages import AttemptEnded, ChildReady, RunAttempt
from nanoboost.ids import Attempt, AttemptKey, JobId, TaskId
from nanoboost.wire.frame import pack
from nanoboost.wire.messages import Outcome, Parent
from tests.agent.fakes import Puppet, PuppetReactor, runtime

PARENT = Parent(TaskId(0), Attempt(1, 1))


def order(task: int, code: str = "code") -> RunAttempt:
    key = AttemptKey(JobId("job"), TaskId(task), Attempt(1, 1))
    return RunAttempt(key, "plan", code, (PARENT,), f"Nap-{task:04d}")


def ended(task: int, outcome: Outcome = Outcome.DONE, error: str = "") -> AttemptEnded:
    return AttemptEnded(order(task).key, outcome, (), 0.5, error)


class Slots:
    """An executor with two slots, its puppets, and what it told."""

    def __init__(self) -> None:
        self.reactor = PuppetReactor()
        self.told: list[AttemptEnded] = []
        self.executor = Executor("/nas", 2, runtime(self.reactor), self.told.append)

    @property
    def puppets(self) -> list[Puppet]:
        return self.reactor.puppets

    def does(self, task: int, code: str = "code") -> Puppet:
        """Run a task from its start to its end; return the puppet that ran it."""
        self.executor.start(order(task, code))
        (puppet,) = [each for each in self.puppets if each.heard[-1].key == order(task).key]
        puppet.says(ChildReady(), ended(task))
        return puppet


@pytest.fixture
def slots() -> Slots:
    return Slots()


def test_a_child_is_started_with_what_it_must_know_and_nothing_secret(slots: Slots) -> None:
    slots.executor.start(order(1))
    (puppet,) = slots.puppets
    assert puppet.command == [
        *("python3", "-I", "-m", "nanoboost.agent.child"),
        *("/nas", "c" * 16, "/scratch/slot-0"),
    ]
    assert puppet.heard == [order(1)]
    puppet.says(ChildReady())
    assert slots.told == []
    puppet.says(ended(1))
    assert slots.told == [ended(1)]


def test_a_child_stays_warm_for_the_same_code(slots: Slots) -> None:
    for task in range(3):
        slots.does(task)
    assert len(slots.puppets) == 1
    assert slots.told == [ended(0), ended(1), ended(2)]


def test_each_slot_has_a_child_and_a_scratch_directory_of_its_own(slots: Slots) -> None:
    slots.executor.start(order(1))
    slots.executor.start(order(2))
    assert [each.command[-1] for each in slots.puppets] == ["/scratch/slot-0", "/scratch/slot-1"]


@pytest.mark.parametrize("outcome", [each for each in Outcome if each is not Outcome.DONE])
def test_after_a_failure_the_next_attempt_gets_a_new_child(slots: Slots, outcome: Outcome) -> None:
    slots.executor.start(order(1))
    slots.puppets[0].says(ChildReady(), ended(1, outcome))
    assert slots.puppets[0].is_asked_to_end
    assert slots.does(2) is slots.puppets[1]


def test_a_child_with_other_code_makes_room(slots: Slots) -> None:
    first = slots.does(1)
    assert slots.does(2, "other") is not first
    assert not first.is_asked_to_end, "there are two slots"
    slots.does(3, "third")
    assert [each.is_asked_to_end for each in slots.puppets] == [True, False, False]
    assert slots.puppets[2].command[-1] == "/scratch/slot-2", "the first still has its own"
    first.ends()
    assert slots.does(4, "fourth").command[-1] == "/scratch/slot-0"


def test_an_idle_child_is_ended_after_a_while(slots: Slots) -> None:
    puppet = slots.does(1)
    slots.reactor.advance(IDLE_S - 1)
    slots.does(2)
    slots.reactor.advance(IDLE_S - 1)
    assert not puppet.is_asked_to_end
    slots.reactor.advance(1)
    assert puppet.is_asked_to_end
    puppet.ends()
    assert slots.executor.children == {}
    slots.reactor.advance(FINISH_S)
    assert slots.reactor.killed == []
    assert slots.reactor.getDelayedCalls() == []


def test_a_child_that_does_not_end_when_asked_is_killed(slots: Slots) -> None:
    puppet = slots.does(1)
    slots.reactor.advance(IDLE_S)
    slots.reactor.advance(FINISH_S)
    assert slots.reactor.killed == [puppet.pid]


def test_a_child_that_was_asked_to_end_gets_nothing_more(slots: Slots) -> None:
    first = slots.does(1)
    slots.reactor.advance(IDLE_S)
    assert slots.does(2) is not first


def test_a_child_that_runs_is_never_idle(slots: Slots) -> None:
    slots.does(1)
    slots.executor.start(order(2))
    slots.reactor.advance(10 * IDLE_S)
    assert not slots.puppets[0].is_asked_to_end


def test_a_stopped_attempt_ends_with_its_child(slots: Slots) -> None:
    slots.executor.start(order(1))
    slots.executor.start(order(2))
    slots.executor.stop(order(2).key)
    assert slots.reactor.killed == [slots.puppets[1].pid]
    assert slots.told == [], "it may still run"
    slots.puppets[1].says(ChildReady())
    slots.puppets[1].ends(signal=9)
    (told,) = slots.told
    assert (told.key, told.outcome) == (order(2).key, Outcome.CRASHED)


def test_an_attempt_that_ends_as_it_is_stopped_ends_once(slots: Slots) -> None:
    slots.executor.start(order(1))
    slots.executor.stop(order(1).key)
    slots.puppets[0].says(ChildReady(), ended(1))
    slots.executor.start(order(2))
    assert len(slots.puppets) == 2, "the one that was killed gets nothing more"
    slots.puppets[0].ends(signal=9)
    assert slots.told == [ended(1)]


@pytest.mark.parametrize(
    ("status", "signal", "error"),
    [
        (0, None, "the process was lost: exit status 0"),
        (3, None, "the process was lost: exit status 3"),
        (0, 11, "the process was lost: killed by signal 11"),
        (0, 9, "the process was lost: killed by signal 9 (out of memory?)"),
    ],
)
def test_a_child_that_dies_has_crashed_its_attempt(
    slots: Slots, status: int, signal: int | None, error: str
) -> None:
    slots.executor.start(order(1))
    slots.puppets[0].says(ChildReady())
    slots.puppets[0].ends(status, signal)
    assert slots.told == [AttemptEnded(order(1).key, Outcome.CRASHED, (), 0.0, error)]
    assert slots.executor.children == {}


def test_a_child_that_never_started_is_the_machines_fault(slots: Slots) -> None:
    slots.executor.start(order(1))
    slots.puppets[0].ends(1)
    error = "no process came up for it: exit status 1"
    assert slots.told == [AttemptEnded(order(1).key, Outcome.UNFIT, (), 0.0, error)]


def test_a_machine_without_room_for_a_process_is_unfit(slots: Slots) -> None:
    slots.reactor.has_no_room = True
    slots.executor.start(order(1))
    error = "no process can be started: Resource temporarily unavailable"
    assert slots.told == [AttemptEnded(order(1).key, Outcome.UNFIT, (), 0.0, error)]
    assert slots.executor.children == {}


@pytest.mark.parametrize(
    "wrong",
    [
        ended(7),
        AttemptEnded(order(1).key, Outcome.DONE, (Parent(TaskId(0), Attempt(9, 9)),), 0.0),
    ],
)
def test_user_code_cannot_speak_for_another_attempt(slots: Slots, wrong: AttemptEnded) -> None:
    slots.executor.start(order(1))
    slots.puppets[0].says(ChildReady(), wrong)
    assert slots.reactor.killed == [slots.puppets[0].pid]
    slots.puppets[0].ends(signal=9)
    assert [each.outcome for each in slots.told] == [Outcome.CRASHED]


def test_a_wrong_frame_costs_the_child_only(slots: Slots) -> None:
    slots.executor.start(order(1))
    slots.puppets[0].says(ChildReady())
    slots.puppets[0].says_bytes(pack(b"nonsense"))
    assert slots.reactor.killed == [slots.puppets[0].pid]
    slots.puppets[0].ends(signal=9)
    (told,) = slots.told
    assert told.outcome is Outcome.CRASHED
    assert "said something wrong" in told.error


def test_what_a_child_tells_is_cut(slots: Slots) -> None:
    slots.executor.start(order(1))
    long = AttemptEnded(order(1).key, Outcome.FAILED, (), 0.0, "e" * 10_000, "t" * 10_000 + "end")
    slots.puppets[0].says(ChildReady(), long)
    (told,) = slots.told
    assert len(told.error) == ERROR_MAX
    assert len(told.tail) == TAIL_MAX
    assert told.tail.endswith("end")


def test_shutting_down_kills_all_and_waits_for_them(slots: Slots) -> None:
    slots.does(1)
    slots.executor.start(order(2, "other"))
    gone = slots.executor.shut_down()
    assert slots.reactor.killed == [each.pid for each in slots.puppets]
    assert not gone.called
    for each in slots.puppets:
        each.ends(signal=9)
    assert gone.called
    assert slots.reactor.getDelayedCalls() == []


def test_shutting_down_without_children_takes_no_time(slots: Slots) -> None:
    assert slots.executor.shut_down().called
