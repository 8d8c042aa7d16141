"""What has been given to the disk, how far it has come, and which answers wait for it.

**No promise leaves before it is durable**: a vote, an agreement, a candidate's own vote.  Tokens
number the writes and are never used again; each write remembers up to where the log *as it is now*
will be durable when it is done, and cutting the log lowers that.  So a completion that comes late,
for entries that another leader has meanwhile replaced, attests only what is still there (the ABA
race of etcd's asynchronous storage writes).
"""

from collections import deque
from collections.abc import Iterator

from attrs import define

from nanoboost.consensus.messages import Message
from nanoboost.ids import NodeId


@define
class _Write:
    """A write under way."""

    token: int
    since: float
    last: int


class Durability:
    """The writes under way, oldest first, and the messages that wait for them."""

    def __init__(self) -> None:
        self._writes: deque[_Write] = deque()
        self._token = 0
        self._term_token = 0
        self._held: deque[tuple[int, NodeId, Message]] = deque()

    @property
    def is_idle(self) -> bool:
        """Whether everything is durable."""
        return not self._writes

    @property
    def queue(self) -> int:
        """How many writes are under way."""
        return len(self._writes)

    @property
    def knows_term(self) -> bool:
        """Whether the term and the vote are durable."""
        return not self._writes or self._writes[0].token > self._term_token

    def is_stalled(self, now: float, limit_s: float) -> bool:
        """Whether a write has been under way for longer than `limit_s`."""
        return bool(self._writes) and now - self._writes[0].since > limit_s

    def begin(self, now: float, last: int, *, has_term: bool) -> int:
        """A write leaves, after which the log is durable up to `last`; return its token."""
        self._token += 1
        if has_term:
            self._term_token = self._token
        self._writes.append(_Write(self._token, now, last))
        return self._token

    def forgive(self, paused_s: float) -> None:
        """This process did not run for so long: the disk is not to blame."""
        for write in self._writes:
            write.since += paused_s

    def cut(self, first_lost: int) -> None:
        """The log has lost its end: no write under way attests more than what is left."""
        for write in self._writes:
            write.last = min(write.last, first_lost - 1)

    def end(self, token: int) -> tuple[int, float | None]:
        """The write is done, and all before it; return up to where the log is durable, and when the
        oldest of them had begun (None: they had been told as done before)."""
        durable, since = 0, None
        while self._writes and self._writes[0].token <= token:
            write = self._writes.popleft()
            durable, since = max(durable, write.last), write.since if since is None else since
        return durable, since

    def hold(self, to: NodeId, message: Message) -> None:
        """Keep the message until all writes that have begun are done."""
        self._held.append((self._token, to, message))

    def released(self) -> Iterator[tuple[NodeId, Message]]:
        """The messages that need wait no longer, in order."""
        while self._held:
            token, to, message = self._held[0]
            if self._writes and self._writes[0].token <= token:
                return
            self._held.popleft()
            yield to, message
