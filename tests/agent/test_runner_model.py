"""The runner against a model: whatever order messages, ends and time come in.

Results are kept until acknowledged, no more runs than there are slots, a lower term is never
obeyed, and every Execute is answered.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from nanoboost.agent.messages import AttemptEnded
from nanoboost.agent.runner import (
    RESEND_S,
    ChildFinished,
    DrainAsked,
    Drained,
    Effect,
    Ended,
    Event,
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
    TaskDone,
)

SLOTS = 2
TERMS = st.integers(1, 4)
KEYS = st.builds(
    AttemptKey,
    st.just(JobId("job")),
    st.integers(0, 4).map(TaskId),
    st.builds(Attempt, TERMS, st.just(1)),
)
REAL = st.sampled_from([Outcome.DONE, Outcome.FAILED, Outcome.CRASHED, Outcome.UNFIT])


def master_of(term: int) -> NodeId:
    return NodeId(f"{term:016x}")


class RunnerMachine(RuleBasedStateMachine):
    """Masters of several terms, the old ones too, speak to one runner."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.term = 0
        self.running: dict[AttemptKey, bool] = {}
        """What was started and has not ended, and whether it was stopped."""
        self.unanswered: dict[AttemptKey, None] = {}
        self.results: dict[AttemptKey, TaskDone] = {}
        """What was told and not acknowledged by a master who may."""

    @initialize(lost=st.lists(KEYS, max_size=SLOTS, unique=True))
    def start(self, lost: list[AttemptKey]) -> None:
        """What an earlier process ran is a result like others."""
        self.runner = Runner(Facts(SLOTS, 1.0, ()), lost)
        for key in lost:
            self.results[key] = TaskDone(key, Outcome.LOST, (), 0.0, 0.0, NODE_DIED)

    def step(self, event: Event | Woke) -> list[Effect]:
        effects = list(self.runner.step(self.now, event))
        for effect in effects:
            match effect:
                case Send(node, message):
                    assert node == master_of(self.term)
                    if isinstance(message, AgentHello):
                        assert message.term == self.term
                        assert set(message.running) == set(self.running)
                        assert set(message.held) <= set(self.results)
                    else:
                        self.told(message)
                case Start(order):
                    assert order.key not in self.running
                    assert order.key not in self.results
                    self.running[order.key] = False
                case Stop(key):
                    assert not self.running[key], "stopped once"
                    self.running[key] = True
                case Ended(key, _):
                    assert key not in self.running
                case Settled(key):
                    assert key not in self.results
                case Drained():
                    assert not self.running
        assert len(self.running) <= SLOTS
        return effects

    def told(self, done: TaskDone) -> None:
        assert done.key not in self.running
        assert self.results.setdefault(done.key, done) == done, "a result never changes"
        self.unanswered.pop(done.key, None)

    def hear(self, term: int, message: Order) -> list[Effect]:
        is_obeyed = term >= self.term
        self.term = max(term, self.term)
        effects = self.step(Received(master_of(term), message))
        assert is_obeyed or effects in ([], [Drained()]) or all_told_again(effects)
        return effects

    @rule(term=TERMS)
    def a_master_introduces_itself(self, term: int) -> None:
        effects = self.hear(term, MasterHere(term))
        if term == self.term:
            told = [each.message for each in effects if isinstance(each, Send)]
            assert isinstance(told[0], AgentHello)
            assert set(told[0].held) == set(self.results)
            assert set(self.results.values()) <= set(told[1:]), "each held result follows"

    @rule(term=TERMS, key=KEYS, timeout_s=st.sampled_from([0.0, 0.5, 3.0]))
    def a_master_executes(self, term: int, key: AttemptKey, timeout_s: float) -> None:
        if term >= self.term:
            self.unanswered[key] = None
        self.hear(term, Execute(term, key, "p", "c", (), timeout_s, "name"))
        for each in self.unanswered:
            assert each in self.running, "it runs, or it was answered"

    @rule(term=TERMS, key=KEYS)
    def a_master_cancels(self, term: int, key: AttemptKey) -> None:
        self.hear(term, CancelAttempt(term, key))
        if term == self.term:
            assert self.running.get(key) or key in self.results

    @rule(term=TERMS, keys=st.lists(KEYS, max_size=3).map(tuple))
    def a_master_acknowledges(self, term: int, keys: tuple[AttemptKey, ...]) -> None:
        if term >= self.term:
            self.hear(term, Acknowledge(term, ()))
            for key in keys:
                self.results.pop(key, None)
        self.hear(term, Acknowledge(term, keys))

    @rule(which=st.integers(0, SLOTS - 1), outcome=REAL)
    def a_child_finishes(self, which: int, outcome: Outcome) -> None:
        if which < len(self.running):
            key = list(self.running)[which]
            was_stopped = self.running.pop(key)
            effects = self.step(ChildFinished(AttemptEnded(key, outcome, (), 0.0, "why")))
            assert isinstance(effects[0], Ended)
            if outcome is Outcome.DONE or not was_stopped:
                assert effects[0].outcome is outcome
            else:
                assert effects[0].outcome in (Outcome.CANCELLED, Outcome.FAILED)
            assert key in self.results

    @rule(fit=st.sampled_from(["", "not mounted"]))
    def the_nas_comes_and_goes(self, fit: str) -> None:
        self.step(NasChanged(fit))

    @rule()
    def the_node_is_to_leave(self) -> None:
        self.step(DrainAsked())

    @rule(seconds=st.sampled_from([0.1, RESEND_S, 20.0]))
    def time_passes(self, seconds: float) -> None:
        end = self.now + seconds
        while (due := self.runner.deadline()) is not None and due <= end:
            self.now = due
            assert self.step(Woke()) != [], "no waking for nothing"
        self.now = end
        assert self.step(Woke()) == [], "nothing is forgotten"

    @rule()
    def all_is_told_within_two_periods(self) -> None:
        told: dict[AttemptKey, None] = {}
        for _ in range(2):
            self.now += RESEND_S
            for effect in self.step(Woke()):
                if isinstance(effect, Send) and isinstance(effect.message, TaskDone):
                    told[effect.message.key] = None
        assert set(told) == (set(self.results) if self.term else set()), "once a master is known"

    @invariant()
    def a_deadline_is_never_in_the_past(self) -> None:
        due = self.runner.deadline()
        assert due is None or due > self.now


def all_told_again(effects: list[Effect]) -> bool:
    """Whether a step did only what time had brought."""
    return all(isinstance(each, Send) and isinstance(each.message, TaskDone) for each in effects)


TestRunner = RunnerMachine.TestCase
TestRunner.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
