"""Driving a core: one event at a time, one timer, and what must come first after a sleep."""

from collections.abc import Callable

from attrs import define, field
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from nanoboost.core import Woke
from nanoboost.net.pump import Pump


@define
class Echo:
    """A core that answers each event with itself, and has one deadline."""

    due: float | None = None
    seen: list[object] = field(factory=list)

    def step(self, now: float, event: "str | Woke") -> list[str]:
        self.seen.append((now, event))
        if isinstance(event, Woke):
            self.due = None
            return ["woken"]
        if event == "break":
            raise AssertionError("a broken invariant")
        return [event]

    def deadline(self) -> float | None:
        return self.due


@define
class World:
    core: Echo = field(factory=Echo)
    clock: Clock = field(factory=Clock)
    done: list[str] = field(factory=list)
    crashes: list[Failure] = field(factory=list)

    def pump(self, ahead: Callable[[], None] = lambda: None) -> "Pump[str, str]":
        return Pump(self.core, self.clock, self.done.append, self.crashes.append, ahead)


def test_an_event_fed_by_an_effect_waits_its_turn() -> None:
    core, clock = Echo(), Clock()
    done: list[str] = []

    def perform(effect: str) -> None:
        done.append(f"begin {effect}")
        if effect == "one":
            pump.feed("two")
        done.append(f"end {effect}")

    pump: Pump[str, str] = Pump(core, clock, perform, lambda failure: None)
    pump.feed("one")
    assert done == ["begin one", "end one", "begin two", "end two"]


def test_there_is_one_timer_for_the_latest_deadline() -> None:
    world = World()
    pump = world.pump()
    world.core.due = 5.0
    pump.start()
    world.core.due = 2.0
    pump.feed("an event")
    assert [call.getTime() for call in world.clock.getDelayedCalls()] == [2.0]
    world.clock.advance(2.0)
    assert world.core.seen[-1] == (2.0, Woke())
    assert world.clock.getDelayedCalls() == []


def test_a_broken_invariant_stops_the_core_for_good() -> None:
    world = World()
    pump = world.pump()
    world.core.due = 1.0
    pump.feed("break")
    pump.feed("more")
    world.clock.advance(9.0)
    assert [crash.type for crash in world.crashes] == [AssertionError]
    assert len(world.core.seen) == 1
    assert world.clock.getDelayedCalls() == []


def test_what_is_overdue_is_done_at_once_when_asked_for() -> None:
    world = World()
    pump = world.pump()
    world.core.due = 3.0
    pump.start()
    pump.catch_up()
    assert world.core.seen == [], "nothing is due"
    world.clock.rightNow = 8.0  # the process has slept: no timer has been looked at
    pump.catch_up()
    assert world.core.seen == [(8.0, Woke())]


def test_what_goes_ahead_is_done_before_each_event_and_not_within_one() -> None:
    order: list[str] = []
    core, clock = Echo(), Clock()

    def perform(effect: str) -> None:
        order.append(effect)
        if effect == "one":
            pump.feed("two")

    pump: Pump[str, str] = Pump(
        core, clock, perform, lambda failure: None, lambda: order.append("ahead")
    )
    pump.feed("one")
    pump.feed("three")
    assert order == ["ahead", "one", "two", "ahead", "three"]
