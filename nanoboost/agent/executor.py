"""Runs attempts in child processes: at most one warm child a slot.

**An attempt that was started ends exactly once**, however its process ends.  A child whose attempt
is done is kept for the next one with the same code, and ended after a while without work: it holds
the plan and the user's modules in memory.  After any other end the next attempt gets a new process:
whatever went wrong in the old one may be wrong in it still.
"""

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred

from nanoboost.agent.messages import CHILD, CHILD_MODULE, AttemptEnded, ChildReady, RunAttempt
from nanoboost.ids import AttemptKey
from nanoboost.net.pipe import Pipe
from nanoboost.runtime import Runtime
from nanoboost.wire.messages import Outcome

IDLE_S = 30.0
"""A child without work is ended after so long: an idle node is small."""
FINISH_S = 5.0
"""A child that was asked to end is killed if it has not after so long."""
ERROR_MAX = 400
TAIL_MAX = 4000
"""What a child says about its end is cut to so many characters."""


class _Child:
    """One child process: the attempt that it runs, if any, and the timer for what comes next."""

    def __init__(self, executor: "Executor", number: int, code: str) -> None:
        self._executor = executor
        self.number = number
        self.code = code
        self._order: RunAttempt | None = None
        self.is_wanted = True
        """Whether it may get another attempt; false from when it was told to end."""
        self._is_ready = False
        self._timer: Any = None
        runtime = executor.runtime
        self._pipe = Pipe(runtime, CHILD, self._received, self._ended)
        home = runtime.scratch_dir
        arguments = (*executor.arguments, f"{home}/slot-{number}")
        self._pipe.start(("-m", CHILD_MODULE, *arguments), {"HOME": home})

    @property
    def key(self) -> AttemptKey | None:
        """What it runs."""
        return None if self._order is None else self._order.key

    @property
    def is_idle(self) -> bool:
        """Whether it waits for an attempt."""
        return self.is_wanted and self._order is None

    def run(self, order: RunAttempt) -> None:
        """Give it an attempt."""
        self._cancel_timer()
        self._order = order
        self._pipe.send(order)

    def finish(self) -> None:
        """Let it end, in good order if it does so in time."""
        self.is_wanted = False
        self._pipe.finish()
        self._set_timer(FINISH_S, self._pipe.kill)

    def kill(self) -> None:
        """End it and all that it started, at once."""
        self.is_wanted = False
        self._cancel_timer()
        self._pipe.kill()

    def _received(self, message: RunAttempt | AttemptEnded | ChildReady) -> None:
        if isinstance(message, ChildReady):
            self._is_ready = True
        elif isinstance(message, AttemptEnded) and self._answers(message):
            self._order = None
            if self.is_wanted and message.outcome is Outcome.DONE:
                self._set_timer(IDLE_S, self.finish)
            elif self.is_wanted:
                self.finish()
            self._executor.attempt_ended(message)
        else:  # user code has spoken in its child's name
            self.kill()

    def _answers(self, ended: AttemptEnded) -> bool:
        """Whether this can be the end of what it runs."""
        order = self._order
        return order is not None and ended.key == order.key and {*ended.read} <= {*order.parents}

    def _ended(self, how: str | None) -> None:
        self.is_wanted = False
        self._cancel_timer()
        order, self._order = self._order, None
        self._executor.child_ended(self)
        if order is not None:
            self._executor.attempt_ended(self._lost(order.key, how or "exit status 0"))

    def _lost(self, key: AttemptKey, how: str) -> AttemptEnded:
        """What is said of the attempt whose process has ended."""
        if not self._is_ready:
            why = f"no process came up for it: {how}"
            return AttemptEnded(key, Outcome.UNFIT, (), 0.0, why)
        hint = " (out of memory?)" if how == "killed by signal 9" else ""
        return AttemptEnded(key, Outcome.CRASHED, (), 0.0, f"the process was lost: {how}{hint}")

    def _set_timer(self, delay_s: float, call: Callable[[], None]) -> None:
        self._cancel_timer()
        self._timer = self._executor.runtime.reactor.callLater(delay_s, call)

    def _cancel_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None


class Executor:
    """The child processes of one agent, `slots` of them at the most, and those that are ending.

    `ended` hears how each started attempt ended, once.
    """

    def __init__(
        self,
        nas_dir: str,
        slots: int,
        runtime: Runtime,
        ended: Callable[[AttemptEnded], None],
    ) -> None:
        self.runtime = runtime
        self.arguments = (nas_dir, runtime.security.cluster)
        self._slots = slots
        self._tell_ended = ended
        self._children: dict[int, _Child] = {}
        """By number; a number, and with it a scratch directory, is free once its child is gone."""
        self._all_gone: Deferred[None] | None = None

    @property
    def children(self) -> Mapping[int, _Child]:
        """The child processes, those that are ending too, by number."""
        return self._children

    def start(self, order: RunAttempt) -> None:
        """Run the attempt in a child that has its code, or else in a new one."""
        idle = [child for child in self._children.values() if child.is_idle]
        child = next((each for each in idle if each.code == order.code), None)
        if child is None:
            wanted = sum(each.is_wanted for each in self._children.values())
            if idle and wanted >= self._slots:
                idle[0].finish()
            number = next(n for n in range(len(self._children) + 1) if n not in self._children)
            try:
                child = _Child(self, number, order.code)
            except OSError as error:
                why = f"no process can be started: {error.strerror or error}"
                self.attempt_ended(AttemptEnded(order.key, Outcome.UNFIT, (), 0.0, why))
                return
            self._children[number] = child
        child.run(order)

    def stop(self, key: AttemptKey) -> None:
        """End the attempt's child and all that it started, at once."""
        for child in self._children.values():
            if child.key == key:
                child.kill()

    def shut_down(self) -> "Deferred[None]":
        """Kill all children; fires once they are gone."""
        gone: Deferred[None] = Deferred()
        self._all_gone = gone
        for child in list(self._children.values()):
            child.kill()
        self._tell_all_gone()
        return gone

    def attempt_ended(self, ended: AttemptEnded) -> None:
        """An attempt has ended; from its child."""
        error, tail = ended.error[:ERROR_MAX], ended.tail[-TAIL_MAX:]
        self._tell_ended(
            AttemptEnded(ended.key, ended.outcome, ended.read, ended.cpu_s, error, tail)
        )

    def child_ended(self, child: _Child) -> None:
        """A child is gone; from itself."""
        del self._children[child.number]
        self._tell_all_gone()

    def _tell_all_gone(self) -> None:
        if self._all_gone is not None and not self._children:
            gone, self._all_gone = self._all_gone, None
            gone.callback(None)
