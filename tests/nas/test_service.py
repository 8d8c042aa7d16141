"""The node's side of the NAS: one question at a time, deadlines, processes that hang or die."""

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from nanoboost.errors import NasError
from nanoboost.ids import Attempt, AttemptKey, JobId, TaskId
from nanoboost.nas.messages import (
    NAS,
    Clean,
    FetchPlan,
    Finished,
    Inspect,
    Inspected,
    PlanPiece,
    Publish,
    Published,
    Working,
)
from nanoboost.nas.service import (
    LOOK_S,
    PROBE_S,
    SILENCE_S,
    STUCK_MAX,
    WORK_SILENCE_S,
    Nas,
    portions,
)
from nanoboost.wire.frame import FRAME_BYTES_MAX
from tests.nas.fakes import FakeReactor, fake_runtime, no_calls_left

CLUSTER = "0123456789abcdef"
JOB = JobId("film-1a2b3c4d")
KEY = AttemptKey(JOB, TaskId(3), Attempt(1, 1))
RESULT = Published(KEY, ("film.mkv",))
DOWN = "the NAS at /nas does not answer"


class Desk:
    """A `Nas` with its reactor and what it has told."""

    def __init__(self) -> None:
        self.reactor = FakeReactor()
        self.told: list[str] = []
        self.nas = Nas("/nas", CLUSTER, fake_runtime(self.reactor), self.told.append)

    def start_fit(self) -> None:
        """Past the first look, which found all well."""
        self.nas.startService()
        self.answer_look("")

    def answer_look(self, fit: str) -> None:
        question = self.reactor.process.heard[-1]
        assert isinstance(question, Inspect)
        self.reactor.process.say(Inspected(question.request, fit))

    def last(self, kind: type) -> Any:
        question = self.reactor.process.heard[-1]
        assert isinstance(question, kind)
        return question


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    with no_calls_left(desk.reactor):
        yield desk
        if desk.nas.running:
            desk.nas.stopService()


def failure_of(deferred: "Deferred[Any]") -> str:
    found: list[Failure] = []
    deferred.addErrback(found.append)
    assert found, "has not failed"
    found[0].trap(NasError)
    return found[0].getErrorMessage()


def results(deferred: "Deferred[Any]") -> list[Any]:
    found: list[Any] = []
    deferred.addCallback(found.append)
    return found


# --- looking -----------------------------------------------------------------------------------


def test_the_first_look_is_told_once_even_if_all_is_well(desk: Desk) -> None:
    desk.nas.startService()
    assert desk.nas.fit != ""
    assert desk.told == []
    desk.answer_look("")
    assert desk.nas.fit == ""
    assert desk.told == [""]
    assert desk.reactor.process.command == [
        "/bin/python", "-I", "-m", "nanoboost.nas.nashelper", "/nas", CLUSTER
    ]  # fmt: skip


def test_a_look_is_repeated_in_the_same_process_and_only_a_change_is_told(desk: Desk) -> None:
    desk.start_fit()
    for fit in ("", "gone", "gone", ""):
        desk.reactor.advance(LOOK_S)
        desk.answer_look(fit)
    assert desk.told == ["", "gone", ""]
    assert len(desk.reactor.processes) == 1
    assert len(desk.reactor.process.heard) == 5


# --- errands -----------------------------------------------------------------------------------


def test_questions_go_one_at_a_time_in_order(desk: Desk) -> None:
    desk.start_fit()
    plan = results(desk.nas.read_plan("a" * 64))
    published = results(desk.nas.publish((RESULT,)))
    cleaned = results(desk.nas.clean(JOB))
    process = desk.reactor.process

    question = desk.last(FetchPlan)
    process.say(PlanPiece(question.request, b"pl", True), PlanPiece(question.request, b"an", False))
    assert plan == [b"plan"]

    question = desk.last(Publish)
    assert question.results == (RESULT,)
    assert published == []
    process.say(Finished(question.request, ""))
    assert published == [None]

    question = desk.last(Clean)
    assert question.job == JOB
    process.say(Finished(question.request, ""))
    assert cleaned == [None]
    assert len(desk.reactor.processes) == 1


def test_an_error_fails_its_own_question_only(desk: Desk) -> None:
    desk.start_fit()
    first, second = desk.nas.publish((RESULT,)), desk.nas.read_plan("a" * 64)
    desk.reactor.process.say(Finished(desk.last(Publish).request, "no room"))
    assert failure_of(first) == "no room"
    desk.reactor.process.say(Finished(desk.last(FetchPlan).request, "not there"))
    assert failure_of(second) == "not there"
    assert desk.nas.fit == ""


def test_an_answer_to_another_question_is_ignored(desk: Desk) -> None:
    desk.start_fit()
    plan = results(desk.nas.read_plan("a" * 64))
    request = desk.last(FetchPlan).request
    desk.reactor.process.say(PlanPiece(request - 1, b"old", False), Finished(request + 1, ""))
    assert plan == []
    desk.reactor.process.say(PlanPiece(request, b"new", False))
    assert plan == [b"new"]


def test_large_results_travel_in_portions(desk: Desk) -> None:
    desk.start_fit()
    many = Published(KEY, tuple(f"{number:05d}-{'x' * 190}" for number in range(5000)))
    published = results(desk.nas.publish((many, RESULT)))
    process, seen = desk.reactor.process, []
    while not published:
        question = desk.last(Publish)
        seen += [path for each in question.results for path in each.paths]
        process.say(Finished(question.request, ""))
    assert seen == [*many.paths, "film.mkv"]


def test_portions_lose_nothing_and_fit_in_a_frame() -> None:
    given = [Published(KEY, tuple("ä" * 100 for _ in range(count))) for count in (0, 1, 1000, 2500)]
    found = list(portions(tuple(given)))
    for portion in found:
        assert len(NAS.encode(Publish(1, portion))) < FRAME_BYTES_MAX
    assert sum(len(each.paths) for portion in found for each in portion) == 3501
    assert list(portions(())) == []


def test_a_process_that_has_worked_is_replaced_before_the_next_look(desk: Desk) -> None:
    """It has grown; a node that idles must be small."""
    desk.start_fit()
    desk.nas.clean(JOB)
    first = desk.reactor.process
    first.say(Finished(desk.last(Clean).request, ""))
    desk.reactor.advance(LOOK_S)
    assert first.is_input_closed
    assert len(desk.reactor.processes) == 2
    first.end()
    desk.answer_look("")
    desk.reactor.advance(LOOK_S)
    desk.answer_look("")
    assert len(desk.reactor.processes) == 2
    assert desk.told == [""]


# --- a NAS that hangs ----------------------------------------------------------------------------


def test_silence_makes_the_nas_unfit_and_fails_all_that_wait(desk: Desk) -> None:
    desk.start_fit()
    plan, published = desk.nas.read_plan("a" * 64), desk.nas.publish((RESULT,))
    desk.reactor.advance(SILENCE_S - 0.1)
    assert desk.told == [""]
    desk.reactor.advance(0.1)
    assert desk.told == ["", DOWN]
    assert failure_of(plan) == failure_of(published) == DOWN
    assert desk.reactor.process.is_killed
    assert failure_of(desk.nas.clean(JOB)) == DOWN, "and nobody waits again"


def test_signs_of_life_keep_a_long_request(desk: Desk) -> None:
    desk.start_fit()
    published = results(desk.nas.publish((RESULT,)))
    request = desk.last(Publish).request
    for _ in range(10):
        desk.reactor.advance(WORK_SILENCE_S - 1)
        desk.reactor.process.say(Working(request))
    desk.reactor.process.say(Finished(request, ""))
    assert published == [None]
    assert desk.told == [""]
    desk.answer_look("")  # it has waited for its turn


def test_a_plan_in_pieces_is_alive(desk: Desk) -> None:
    desk.start_fit()
    plan = results(desk.nas.read_plan("a" * 64))
    request = desk.last(FetchPlan).request
    for _ in range(4):
        desk.reactor.advance(SILENCE_S - 1)
        desk.reactor.process.say(PlanPiece(request, b"x", True))
    desk.reactor.process.say(PlanPiece(request, b"y", False))
    assert plan == [b"xxxxy"]
    desk.answer_look("")


def test_a_fresh_process_probes_until_the_nas_is_back(desk: Desk) -> None:
    desk.nas.startService()
    desk.reactor.advance(SILENCE_S)
    assert desk.told == [DOWN]
    desk.reactor.process.end(signal=9)
    desk.reactor.advance(PROBE_S)
    assert len(desk.reactor.processes) == 2
    desk.answer_look("")
    assert desk.told == [DOWN, ""]
    plan = results(desk.nas.read_plan("a" * 64))
    desk.reactor.process.say(PlanPiece(desk.last(FetchPlan).request, b"plan", False))
    assert plan == [b"plan"]


def test_processes_that_cannot_die_are_few_and_their_end_is_the_sign(desk: Desk) -> None:
    desk.nas.startService()
    for _ in range(200):
        desk.reactor.advance(1.0)
    assert len(desk.reactor.processes) == STUCK_MAX
    assert all(each.is_killed for each in desk.reactor.processes)
    desk.reactor.processes[1].end(signal=9)
    desk.reactor.advance(0.0)
    assert len(desk.reactor.processes) == STUCK_MAX + 1
    desk.answer_look("")
    assert desk.told == [DOWN, ""]


def test_a_late_answer_of_a_given_up_process_is_ignored(desk: Desk) -> None:
    desk.nas.startService()
    late = desk.last(Inspect)
    desk.reactor.advance(SILENCE_S)
    desk.reactor.process.say(Inspected(late.request, ""))
    assert desk.told == [DOWN]


# --- a process that dies -------------------------------------------------------------------------


def test_a_process_that_dies_fails_its_question_and_the_next_gets_a_new_one(desk: Desk) -> None:
    desk.start_fit()
    plan, cleaned = desk.nas.read_plan("a" * 64), results(desk.nas.clean(JOB))
    desk.reactor.process.end(signal=9)
    assert "killed by signal 9" in failure_of(plan)
    assert len(desk.reactor.processes) == 2
    desk.reactor.process.say(Finished(desk.last(Clean).request, ""))
    assert cleaned == [None]
    assert desk.nas.fit == ""


def test_a_process_that_dies_idle_is_replaced_when_needed(desk: Desk) -> None:
    desk.start_fit()
    desk.reactor.process.end(signal=9)
    assert desk.told == [""]
    desk.reactor.advance(LOOK_S)
    assert len(desk.reactor.processes) == 2
    desk.answer_look("")
    assert desk.told == [""]


def test_a_process_that_cannot_work_is_told_and_not_started_in_a_loop(desk: Desk) -> None:
    desk.nas.startService()
    for _ in range(60):
        if desk.reactor.process.pid is not None:
            desk.reactor.process.end(status=1)
        desk.reactor.advance(1.0)
    assert desk.told == ["the process for the NAS ended: exit status 1"]
    assert len(desk.reactor.processes) <= 1 + 60 / PROBE_S


def test_a_process_that_says_nonsense_is_ended(desk: Desk) -> None:
    desk.start_fit()
    plan = desk.nas.read_plan("a" * 64)
    desk.reactor.process.protocol.childDataReceived(3, b"\0\0\0\1\xff")
    assert desk.reactor.process.is_killed
    desk.reactor.process.end(signal=9)
    assert "said something wrong" in failure_of(plan)


def test_a_machine_without_processes_is_told(desk: Desk) -> None:
    desk.reactor.refusal = OSError(11, "Resource temporarily unavailable")
    desk.nas.startService()
    assert "Resource temporarily unavailable" in desk.told[0]
    desk.reactor.refusal = None
    desk.reactor.advance(PROBE_S)
    desk.answer_look("")
    assert desk.nas.fit == ""


# --- the end -------------------------------------------------------------------------------------


def test_stopping_ends_the_process_and_fails_what_waits(desk: Desk) -> None:
    desk.start_fit()
    plan, cleaned = desk.nas.read_plan("a" * 64), desk.nas.clean(JOB)
    desk.nas.stopService()
    assert desk.reactor.process.is_killed
    assert failure_of(plan) == failure_of(cleaned) == "the node is stopping"
    desk.reactor.process.end(signal=9)
    assert failure_of(desk.nas.read_plan("a" * 64)) == "the node is stopping"
    assert len(desk.reactor.processes) == 1
    assert desk.told == [""]
