"""The core of the agent: which attempts run here, and which results are still to be acknowledged.

**A result is kept until a master says that a committed frontier covers it, and is told to each new
master**, so a failover repeats no finished task and no running one.  Only the master of the highest
term seen is obeyed.  Every Execute is answered by a TaskDone: what cannot run here now is refused,
so that the master moves on.
"""

from collections.abc import Iterable
from itertools import islice

from attrs import define, frozen

from nanoboost.agent.messages import AttemptEnded, RunAttempt
from nanoboost.core import Woke
from nanoboost.ids import AttemptKey, NodeId
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

RESEND_S = 1.0
"""A result that is not acknowledged is told again this often, and not sooner."""
RESEND_MAX = 64
"""At most so many are told again at a time: a master that is slow must not be drowned."""
HELD_MAX = 1024
"""With so many unacknowledged results nothing more is started: memory is bounded."""
FULL = "too many results are not acknowledged"
CROSSING_S = 0.25
"""For so long a draining agent still runs what it gets: its master had not heard of it yet, and to
refuse would start the task twice."""
DRAIN_ACKNOWLEDGE_S = 10.0
"""How long a draining agent that runs nothing waits for its last results to be acknowledged."""

Order = MasterHere | Execute | CancelAttempt | Acknowledge
"""What a master says to its agents; each names the master's term."""

# --- events --------------------------------------------------------------------------------------


@frozen
class Received:
    """A master, or one that believes to be it, has spoken."""

    sender: NodeId
    message: Order


@frozen
class ChildFinished:
    """An attempt has ended and nothing of it runs any more; exactly one for each `Start`."""

    ended: AttemptEnded


@frozen
class NasChanged:
    """The NAS became usable (`fit` is "") or unusable (why, in one line)."""

    fit: str


@frozen
class DrainAsked:
    """Finish what runs, take nothing new, and say when that is done."""


Event = Received | ChildFinished | NasChanged | DrainAsked

# --- effects -------------------------------------------------------------------------------------


@frozen
class Send:
    """Say `message` to the master."""

    node: NodeId
    message: AgentHello | TaskDone


@frozen
class Start:
    """Run this attempt in a child process; `ChildFinished` tells its end."""

    order: RunAttempt


@frozen
class Stop:
    """End the attempt's process and all that it started, at once."""

    key: AttemptKey


@frozen
class Ended:
    """A fact for the journal: an attempt that ran here has ended."""

    key: AttemptKey
    outcome: Outcome


@frozen
class Settled:
    """A master knows that this attempt was lost here: it need not be told after a restart."""

    key: AttemptKey


@frozen
class Drained:
    """Nothing runs here, and nothing need be waited for."""


Effect = Send | Start | Stop | Ended | Settled | Drained

# --- the core ------------------------------------------------------------------------------------


@frozen
class Facts:
    """What an agent says of itself in its hello and what never changes."""

    slots: int
    speed: float
    labels: tuple[str, ...]


@define
class _Running:
    """An attempt in progress.  `verdict` is why it is being stopped, if it is."""

    started_at: float
    overrun_at: float | None
    timeout_s: float
    verdict: tuple[Outcome, str] | None = None


@frozen
class _Held:
    """A result that is not acknowledged yet."""

    done: TaskDone
    told_at: float


class Runner:
    """One agent's attempts and results.  Bound by `facts.slots` attempts at a time: the master
    counts the cores that an attempt takes, the runner the attempts.  `lost` are those that ran here
    when an earlier process of the node ended."""

    def __init__(self, facts: Facts, lost: Iterable[AttemptKey] = ()) -> None:
        self._facts = facts
        self._term = 0
        self._master: NodeId | None = None
        self._running: dict[AttemptKey, _Running] = {}
        self._held: dict[AttemptKey, _Held] = {}
        """In the order in which they were told last."""
        for key in lost:
            self._held[key] = _Held(TaskDone(key, Outcome.LOST, (), 0.0, 0.0, NODE_DIED), 0.0)
        self._resend_after = 0.0
        self._fit = ""
        self._draining = False
        self._drained_told = False
        self._closed_at = 0.0
        self._give_up_at: float | None = None
        self._fit_told: str | None = None
        """What the master was told of our fitness, if it was told anything."""
        self._outbox: list[Effect] = []

    def step(self, now: float, event: Event | Woke) -> tuple[Effect, ...]:
        """Take one event; see `nanoboost.core`."""
        self._outbox = []
        match event:
            case Received(sender, message):
                if self._obeys(now, sender, message):
                    self._obey(now, message)
            case ChildFinished(ended):
                self._finish(now, ended)
            case NasChanged(fit):
                self._fit = fit
            case DrainAsked():
                self._drain(now)
            case Woke():
                pass
        self._stop_overrun(now)
        self._tell_again(now)
        self._tell_drained(now)
        if self._fit_told not in (None, self._fit_now):
            self._say_hello()  # or it would send the next attempt as fast as it is refused, or none
        return tuple(self._outbox)

    def deadline(self) -> float | None:
        """When to be woken next."""
        times = [
            self._resend_at(),
            self._drain_due(),
            *(each.overrun_at for each in self._running.values() if each.verdict is None),
        ]
        return min((each for each in times if each is not None), default=None)

    # --- the master ------------------------------------------------------------------------------

    def _obeys(self, now: float, sender: NodeId, message: Order) -> bool:
        """Whether the sender is the master of the highest term seen; a new one is told all."""
        if message.term > self._term:
            self._term, self._master = message.term, sender
            self._introduce(now)
        elif (message.term, sender) != (self._term, self._master):
            return False
        elif isinstance(message, MasterHere):  # again: it has not heard us
            self._introduce(now)
        return True

    def _introduce(self, now: float) -> None:
        """Say hello, and tell every result that is held."""
        self._say_hello()
        for key in list(self._held):
            self._tell(now, key)

    def _obey(self, now: float, message: Order) -> None:
        match message:
            case Execute():
                self._execute(now, message)
            case CancelAttempt(_, key):
                self._cancel(now, key)
            case Acknowledge(_, keys):
                for key in keys:
                    held = self._held.pop(key, None)
                    if held is not None and held.done.outcome is Outcome.LOST:
                        self._outbox.append(Settled(key))
            case MasterHere():
                pass

    # --- attempts --------------------------------------------------------------------------------

    def _execute(self, now: float, order: Execute) -> None:
        key = order.key
        if key in self._running:
            return
        if key in self._held:
            self._tell(now, key)
        elif self._fit:
            self._refuse(now, key, Outcome.UNFIT, self._fit)
        elif self._draining and now >= self._closed_at:
            self._refuse(now, key, Outcome.CANCELLED, "the node is leaving")
        elif len(self._running) >= self._facts.slots:
            self._refuse(now, key, Outcome.CANCELLED, "all slots are taken")
        elif self._is_full:
            self._refuse(now, key, Outcome.CANCELLED, FULL)
        else:
            overrun_at = now + order.timeout_s if order.timeout_s > 0 else None
            self._running[key] = _Running(now, overrun_at, order.timeout_s)
            run = RunAttempt(key, order.plan, order.code, order.parents, order.name)
            self._outbox.append(Start(run))

    def _refuse(self, now: float, key: AttemptKey, outcome: Outcome, why: str) -> None:
        """Answer an attempt that did not run.  The master's view of this agent was wrong, so it is
        set right.  With too much to hold, the answer is said once."""
        done = TaskDone(key, outcome, (), 0.0, 0.0, why)
        if not self._is_full:
            self._say_hello()
            self._hold(now, done)
        else:
            self._say(done)

    def _cancel(self, now: float, key: AttemptKey) -> None:
        """Stop the attempt; it is told once its process is gone.  One that is not known here is
        answered too: its Execute was lost."""
        running = self._running.get(key)
        if running is not None:
            self._stop(key, running, Outcome.CANCELLED, "cancelled")
        elif key in self._held:
            self._tell(now, key)
        else:
            self._refuse(now, key, Outcome.CANCELLED, "cancelled before it started")

    def _stop_overrun(self, now: float) -> None:
        for key, running in self._running.items():
            if running.overrun_at is not None and running.overrun_at <= now:
                why = f"ran longer than its timeout of {running.timeout_s:g} s"
                self._stop(key, running, Outcome.FAILED, why)

    def _stop(self, key: AttemptKey, running: _Running, outcome: Outcome, why: str) -> None:
        if running.verdict is None:
            running.verdict = (outcome, why)
            self._outbox.append(Stop(key))

    def _finish(self, now: float, ended: AttemptEnded) -> None:
        """Free the slot and keep the result.  One that was done before it could be stopped is
        done: its outputs are complete."""
        running = self._running.pop(ended.key)
        outcome, error = ended.outcome, ended.error
        if running.verdict is not None and outcome is not Outcome.DONE:
            outcome, error = running.verdict
        wall_s = now - running.started_at
        done = TaskDone(ended.key, outcome, ended.read, wall_s, ended.cpu_s, error, ended.tail)
        self._outbox.append(Ended(ended.key, outcome))
        self._hold(now, done)

    # --- results ---------------------------------------------------------------------------------

    @property
    def _is_full(self) -> bool:
        return len(self._held) >= HELD_MAX

    @property
    def _fit_now(self) -> str:
        """Why nothing can be started here, or ""."""
        return self._fit or (FULL if self._is_full else "")

    def _hold(self, now: float, done: TaskDone) -> None:
        """Keep a result and tell it."""
        self._held[done.key] = _Held(done, now)
        self._tell(now, done.key)

    def _tell(self, now: float, key: AttemptKey) -> None:
        done = self._held.pop(key).done
        self._held[key] = _Held(done, now)  # now the last in order
        self._say(done)

    def _tell_again(self, now: float) -> None:
        """Tell the results that were told longest ago again, if that is long enough ago."""
        due = self._resend_at()
        if due is None or due > now:
            return
        self._resend_after = now + RESEND_S
        for key, held in list(islice(self._held.items(), RESEND_MAX)):
            if held.told_at + RESEND_S <= now:
                self._tell(now, key)

    def _resend_at(self) -> float | None:
        if not self._held or self._master is None:
            return None
        oldest = next(iter(self._held.values()))
        return max(oldest.told_at + RESEND_S, self._resend_after)

    # --- leaving ---------------------------------------------------------------------------------

    def _drain(self, now: float) -> None:
        self._drained_told = False
        if not self._draining:
            self._draining = True
            if self._master is not None:
                self._closed_at = now + CROSSING_S
            self._say_hello()

    def _drain_due(self) -> float | None:
        """When draining is over if nothing happens: what runs comes to its own end."""
        if not self._draining or self._running or self._drained_told:
            return None
        return self._give_up_at if self._held else self._closed_at

    def _tell_drained(self, now: float) -> None:
        if self._running or not self._draining:
            self._give_up_at = None
        elif self._give_up_at is None:
            self._give_up_at = max(now, self._closed_at) + DRAIN_ACKNOWLEDGE_S
        due = self._drain_due()
        if due is not None and due <= now:
            self._drained_told = True
            self._outbox.append(Drained())

    # --- saying ----------------------------------------------------------------------------------

    def _say_hello(self) -> None:
        hello = AgentHello(
            term=self._term,
            slots=self._facts.slots,
            speed=self._facts.speed,
            labels=self._facts.labels,
            running=tuple(self._running),
            held=tuple(self._held),
            fit=self._fit_now,
            draining=self._draining,
        )
        self._fit_told = self._fit_now
        self._say(hello)

    def _say(self, message: AgentHello | TaskDone) -> None:
        """Say it to the master; one that is not known yet will hear it all in the introduction."""
        if self._master is not None:
            self._outbox.append(Send(self._master, message))
