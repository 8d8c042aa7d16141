"""The agent's shell: carries what masters say to the runner, and what the runner wants to the
children, to the master and to the journal.  **It decides nothing.**
"""

from collections.abc import Callable

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from nanoboost.agent.executor import Executor
from nanoboost.agent.inflight import InFlight
from nanoboost.agent.messages import AttemptEnded, RunAttempt
from nanoboost.agent.runner import (
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
from nanoboost.config import NodeConfig
from nanoboost.ids import NodeId
from nanoboost.net.pump import Pump
from nanoboost.runtime import Runtime

SHUT_DOWN_S = 2.0
"""How long a node that stops waits for its killed children; the kernel ends the rest."""


class Agent(Service):
    """One node's part in the work.  `send` speaks to a node; `crashed` hears of a broken
    invariant."""

    _log = Logger()

    def __init__(
        self,
        me: NodeId,
        config: NodeConfig,
        runtime: Runtime,
        send: Callable[[NodeId, object], None],
        crashed: Callable[[Failure], None],
    ) -> None:
        self._me = me
        self._clock = runtime.reactor
        self._send = send
        self._executor = Executor(config.nas_dir, config.slots, runtime, self._ended)
        self._in_flight = InFlight(me, runtime.store, crashed)
        facts = Facts(config.slots, runtime.host.speed, config.labels)
        runner = Runner(facts, self._in_flight.load())
        self._pump: Pump[Event, Effect] = Pump(runner, runtime.reactor, self._perform, crashed)
        self._drains: list[Deferred[None]] = []

    def startService(self) -> None:
        """Nothing happens before a master speaks."""
        super().startService()
        self._pump.start()

    def stopService(self) -> "Deferred[None]":
        """Kill what runs: whoever is master starts it elsewhere."""
        super().stopService()
        self._pump.stop()
        self._in_flight.close()
        gone = self._executor.shut_down()
        return gone.addTimeout(SHUT_DOWN_S, self._clock, lambda _result, _timeout: None)

    def receive(self, sender: NodeId, message: Order) -> None:
        """A master has spoken."""
        self._pump.feed(Received(sender, message))

    def nas_changed(self, fit: str) -> None:
        """The NAS became usable ("") or unusable (why)."""
        self._pump.feed(NasChanged(fit))

    def drain(self) -> "Deferred[None]":
        """Finish what runs and take nothing new; fires when that is done and the results are
        acknowledged, or no acknowledgement came in time."""
        drained: Deferred[None] = Deferred()
        self._drains.append(drained)
        self._pump.feed(DrainAsked())
        return drained

    def _ended(self, ended: AttemptEnded) -> None:
        self._pump.feed(ChildFinished(ended))

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Send(node, message):
                self._send(node, message)
            case Start(order):
                self._start(order)
            case Stop(key):
                self._executor.stop(key)
            case Settled(key):
                self._in_flight.over(key)
            case Ended(key, outcome):
                self._in_flight.over(key)
                self._log.info(
                    "task {task} of {job}, attempt {attempt}: {outcome}",
                    event="ended",
                    job=key.job,
                    task=key.task,
                    attempt=str(key.attempt),
                    outcome=outcome.name,
                )
            case Drained():
                drains, self._drains = self._drains, []
                for each in drains:
                    each.callback(None)

    def _start(self, order: RunAttempt) -> None:
        self._log.info(
            "{name} of {job}, attempt {attempt}, starts",
            event="started",
            job=order.key.job,
            task=order.key.task,
            attempt=str(order.key.attempt),
            name=order.name,
        )
        self._in_flight.begins(order.key)
        self._executor.start(order)
