"""What agents and clients say, as events; and the answers back to the clients.

**Nothing reaches the core that makes no sense**: what no agent of ours would say (numbers out of
range, a task that its job does not have) is a `RemoteError`, and costs that peer its connection.
"""

from collections.abc import Callable, Iterable
from typing import Protocol

from nanoboost.config import SLOTS_MAX
from nanoboost.errors import RemoteError
from nanoboost.ids import AttemptKey, JobId, NodeId
from nanoboost.master.events import Asked, DoneReceived, HelloReceived, Question
from nanoboost.wire.messages import AgentHello, TaskDone


class Sender(Protocol):
    """Where an answer goes: a session of `nanoboost.net`."""

    def send(self, message: object) -> None:
        """Say `message`; lost without notice if the client is gone."""


class Listener:
    """`feed` takes the events; `tasks_of` tells how many tasks a job has, None if unknown."""

    def __init__(
        self,
        feed: Callable[[Asked | DoneReceived | HelloReceived], None],
        tasks_of: Callable[[JobId], int | None],
    ) -> None:
        self._feed = feed
        self._tasks_of = tasks_of
        self._tickets = 0
        self._sender_by_ticket: dict[int, Sender] = {}

    def receive(self, sender: NodeId, message: AgentHello | TaskDone) -> None:
        """An agent speaks.  Raises `RemoteError` if that is nonsense."""
        if isinstance(message, AgentHello):
            if not 0 <= message.slots <= SLOTS_MAX or message.speed <= 0:
                raise RemoteError(f"{message.slots} slots of speed {message.speed}")
            self._check(message.running)
            self._check(message.held)
            self._feed(HelloReceived(sender, message))
        else:
            self._check((message.key,))
            if any(not 0 <= parent.task < message.key.task for parent in message.read):
                raise RemoteError("a task that has read what comes after it")
            self._feed(DoneReceived(sender, message))

    def answer(self, sender: Sender, question: Question) -> None:
        """A client asks."""
        self._tickets += 1
        self._sender_by_ticket[self._tickets] = sender
        self._feed(Asked(self._tickets, question))

    def reply(self, ticket: int, message: object) -> None:
        """The client that holds the ticket gets its answer."""
        self._sender_by_ticket.pop(ticket).send(message)

    def _check(self, keys: Iterable[AttemptKey]) -> None:
        for key in keys:
            tasks = self._tasks_of(key.job)
            if key.task < 0 or key.attempt.n < 1 or (tasks is not None and key.task >= tasks):
                raise RemoteError(f"attempt {key.attempt} of task {key.task} of {key.job}")
