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

SPEED_MAX = 1e6
"""Of an agent, the reference machine being 1."""
TIMES_MAX_S = 1e9
"""What an attempt may say that it took: 30 years."""

TEXT_MAX = 8_000
"""Of what an agent says for people (an agent of ours cuts it at 4,000): reports carry many."""

RUNS_MAX = 1 << 32
"""Of one task in one term; the number after it must still fit in a message."""


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
            if not (0 <= message.slots <= SLOTS_MAX and 0 < message.speed <= SPEED_MAX):
                raise RemoteError(f"{message.slots} slots of speed {message.speed}")
            if len(message.fit) > TEXT_MAX:
                raise RemoteError(f"a reason of {len(message.fit)} characters")
            self._check(message.running)
            self._check(message.held)
            self._feed(HelloReceived(sender, message))
        else:
            self._check((message.key,))
            if any(not 0 <= parent.task < message.key.task for parent in message.read):
                raise RemoteError("a task that has read what comes after it")
            if max(len(message.error), len(message.tail)) > TEXT_MAX:
                raise RemoteError(f"an error of {len(message.error)} characters, or its log")
            if max(message.wall_s, message.cpu_s) > TIMES_MAX_S:
                raise RemoteError(f"{message.wall_s} s, {message.cpu_s} s of processor time")
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
            is_one = key.task >= 0 and key.attempt.term >= 0 and 1 <= key.attempt.n <= RUNS_MAX
            if not is_one or (tasks is not None and key.task >= tasks):
                raise RemoteError(f"attempt {key.attempt} of task {key.task} of {key.job}")
