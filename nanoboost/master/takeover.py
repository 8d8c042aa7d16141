"""Asking the agents: at the beginning of a term, when one comes up, and now and then.

**Nothing that may be running elsewhere is started before every live member has said hello, is known
to be gone, or has been waited for long enough.**  Later a busy agent is asked again now and then,
so that an Execute that got lost, or a restart that nobody noticed, is found out.
"""

from nanoboost.config import MasterTiming
from nanoboost.ids import NodeId

POLL = 8
"""A busy agent is asked again after so many times `hello_repeat_s` of silence."""


class Takeover:
    """Whom to ask, and when; who is still waited for."""

    def __init__(self, now: float, timing: MasterTiming, members: list[NodeId]) -> None:
        self._repeat_s = timing.hello_repeat_s
        self._next_by_node = dict.fromkeys(members, now)
        self._silent = dict.fromkeys(members, None)
        self._missing = dict.fromkeys(members, None)
        self._until = now + timing.hello_grace_s

    def is_over(self, now: float) -> bool:
        """Whether what may be running elsewhere is known, as far as it ever will be."""
        return not self._missing or now >= self._until

    def missing(self) -> list[NodeId]:
        """Who is still waited for."""
        return list(self._missing)

    def up(self, now: float, node: NodeId) -> None:
        """The member is there (again): whatever it was before, it is asked at once."""
        self._next_by_node[node] = now
        self._silent[node] = None

    def gone(self, node: NodeId) -> None:
        """The member is no more: it is not asked again until it is back."""
        self._next_by_node.pop(node, None)
        self._silent.pop(node, None)
        self._missing.pop(node, None)

    def refused(self, now: float, node: NodeId) -> None:
        """The member's process is gone, and may come back any moment."""
        self._missing.pop(node, None)
        if node in self._next_by_node:
            self._silent[node] = None
            self._next_by_node[node] = min(self._next_by_node[node], now + self._repeat_s)

    def heard(self, now: float, node: NodeId) -> None:
        """The member has said hello."""
        self._missing.pop(node, None)
        self._silent.pop(node, None)
        self._next_by_node[node] = now + POLL * self._repeat_s

    def ask(self, now: float, busy: dict[NodeId, None]) -> list[NodeId]:
        """Whom to ask now: who is silent, or `busy` and not heard for long."""
        asked = []
        for node, due in self._next_by_node.items():
            if due <= now:
                silent = node in self._silent
                if silent or node in busy:
                    asked.append(node)
                self._next_by_node[node] = now + self._repeat_s * (1 if silent else POLL)
        return asked

    def deadline(self, now: float) -> float | None:
        """When to ask again, or to stop waiting."""
        moments = list(self._next_by_node.values())
        if self._missing and now < self._until:
            moments.append(self._until)
        return min(moments, default=None)
