"""The cluster as the command line sees it: ask any node, be led to the master, try again.

**A question is asked until it is answered or patience ends**: a master that dies in the middle, an
election, a node that leaves are nothing a user must act upon.  All questions are idempotent.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from twisted.internet.task import deferLater

from nanoboost.errors import UserError
from nanoboost.ids import Address
from nanoboost.net.client import Client, connect
from nanoboost.runtime import Security
from nanoboost.wire.codec import Catalog
from nanoboost.wire.messages import (
    CLIENT,
    SESSION,
    GetStatus,
    NotMaster,
    RequestRefused,
    StatusReport,
)

AnswerT = TypeVar("AnswerT")

ANSWER_S = 3.0
"""How long one node may take for an answer; a submission waits for a plan and for a commit."""
RETRY_S = 0.1
PATIENCE_S = 30.0
"""How long to go on without a master before telling the user to look at the machines."""


class Unreachable(UserError):
    """No node has answered."""


class Cluster:
    """Asks questions of whichever node can answer them.

    `addresses` are where to begin; the addresses of all members are learnt on the way.  After a
    failure `refresh` is called: the credential may have been changed.
    """

    def __init__(
        self,
        reactor: Any,
        security: Security,
        addresses: Sequence[Address],
        refresh: Callable[[], None] = lambda: None,
    ) -> None:
        self._reactor = reactor
        self._security = security
        self._refresh = refresh
        self._catalog = Catalog((*SESSION, *CLIENT))
        self._addresses = dict.fromkeys(addresses)
        self._asked = 0
        self._abandoned: str | None = None
        self._client: Client | None = None
        self._at: Address | None = None

    async def connect(self) -> None:
        """Reach any node, trying each known address once.  Raises the last node's `UserError`."""
        refusal: UserError = Unreachable(
            "no node is known: is one running here?  Say --node HOST:PORT"
        )
        for address in list(self._addresses):
            try:
                await self._connect(address)
            except UserError as error:
                refusal = error
            else:
                return
        raise refusal

    async def status(self) -> StatusReport:
        """The cluster as its master sees it, or while there is none as any node does that has a
        copy of the log: the others do not know who votes."""
        report: StatusReport = await self.ask_here(GetStatus)
        self._addresses |= {Address(node.host, node.port): None for node in report.nodes}
        for node in report.nodes:
            is_ignorant = not report.master and not report.voters and node.state == "alive"
            if node.node != report.node and (node.node == report.master or is_ignorant):
                try:
                    await self._connect(Address(node.host, node.port))
                    report = await self.ask_here(GetStatus)
                except UserError:
                    pass  # it is just going: what the first node knows will do
        return report

    async def ask(
        self,
        question: Callable[[int], Any],
        kind: type[AnswerT],
        waiting: Callable[[str], None] = lambda reason: None,
    ) -> AnswerT:
        """Ask the master, wherever it is now; `waiting` hears why there is no answer yet.

        `question` makes the message for a request number; `kind` is what the answer must be.
        Raises `UserError` if the master refuses, or if none answers within the patience.
        """
        give_up_at = self._reactor.seconds() + PATIENCE_S
        while True:
            try:
                answer = await self.ask_here(question)
            except Unreachable as error:
                reason = str(error)
            else:
                if isinstance(answer, kind):
                    return answer
                if not isinstance(answer, NotMaster):
                    raise UserError(
                        f"a node answered with {type(answer).__name__}: use one NanoBoost version"
                    )
                reason = "no master yet"
                if answer.host and await self._redirected(Address(answer.host, answer.port)):
                    continue
            if self._abandoned is not None:
                raise UserError(self._abandoned)
            if self._reactor.seconds() > give_up_at:
                raise Unreachable(f"the cluster does not answer ({reason}); see: nanoboost nodes")
            waiting(reason)
            await deferLater(self._reactor, RETRY_S)

    async def ask_here(self, question: Callable[[int], Any]) -> Any:
        """Ask the node we are connected to, or the next that lets us connect."""
        self._asked += 1
        asked = question(self._asked)  # not below: what is wrong with it is not the cluster's fault
        try:
            if self._client is None:
                await self.connect()
            assert self._client is not None
            answer = await self._client.ask(asked, timeout_s=ANSWER_S)
        except UserError as error:
            self._forget_connection()
            raise Unreachable(str(error)) from None
        if isinstance(answer, RequestRefused):
            raise UserError(answer.reason)
        return answer

    def abandon(self, reason: str) -> None:
        """Nobody will ever answer again: `ask` fails with `reason`."""
        self._abandoned = reason

    def close(self) -> None:
        """End the session, if there is one."""
        if self._client is not None:
            self._client.close()
        self._client = None

    async def _connect(self, address: Address) -> None:
        self.close()
        self._client = await connect(
            self._reactor, self._security, self._catalog, address, timeout_s=ANSWER_S
        )
        self._at = address
        self._addresses.setdefault(address)

    async def _redirected(self, address: Address) -> bool:
        try:
            await self._connect(address)
        except UserError:
            return False  # it has just gone: ask around again
        return True

    def _forget_connection(self) -> None:
        """The node we were connected to is asked last from now on."""
        self.close()
        self._refresh()
        if self._at is not None:
            self._addresses.pop(self._at, None)
            self._addresses[self._at] = None
