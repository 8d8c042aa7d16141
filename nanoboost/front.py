"""What a node answers to clients: the command line asks any node.

**Only the master answers about work; every other node names the master.**  Questions about the
cluster as a whole are answered by any node from what its rooms know.
"""

from typing import TYPE_CHECKING, Any

from nanoboost.consensus.counters import flat
from nanoboost.errors import RemoteError, UserError
from nanoboost.gossip.members import Member
from nanoboost.ids import NodeId
from nanoboost.master.report import AgentView
from nanoboost.net.session import Session
from nanoboost.wire.messages import (
    Cancel,
    FindTask,
    GetJob,
    GetStatus,
    Leave,
    MissingVoter,
    NodeReport,
    NotMaster,
    RequestRefused,
    StatusReport,
    Submit,
)
from nanoboost.wire.operating import CountersReport, GetCounters, Measure, Salvage
from nanoboost.wire.rekeying import Rekey, Rekeyed

if TYPE_CHECKING:
    from nanoboost.node import Node


class Front:
    """Answers the questions of clients at one node."""

    def __init__(self, node: "Node") -> None:
        self._node = node

    def answer(self, session: Session, question: Any) -> None:
        """Answer `question` on `session`, now or (for the master's work) later.

        Raises `RemoteError` for what is an answer: nobody asks that.
        """
        if isinstance(question, GetStatus):
            session.send(self._status(question.request))
        elif isinstance(question, GetCounters):
            session.send(self._counters(question.request))
        elif isinstance(question, Leave):
            self._node.leave_and_end()
            session.send(self._status(question.request))
        elif isinstance(question, Rekey):
            session.send(self._rekey(question))
        elif not isinstance(question, Submit | Cancel | GetJob | FindTask | Salvage):
            raise RemoteError(f"{type(question).__name__} is no question")
        elif self._node.consensus.mastership.is_me:
            self._node.master.answer(session, question)
        else:
            session.send(self._not_master(question.request))

    def _rekey(self, question: Rekey) -> Rekeyed | RequestRefused:
        try:
            fingerprints = self._node.rekey(question.pem)
        except UserError as error:
            return RequestRefused(question.request, str(error))
        return Rekeyed(question.request, self._node.me, fingerprints)

    def _not_master(self, request: int) -> NotMaster:
        leader = self._node.consensus.mastership.master
        for member in self._node.gossip.members:
            if member.node == leader and member.node != self._node.me:
                return NotMaster(request, member.address.host, member.address.port)
        return NotMaster(request, "", 0)

    def _status(self, request: int) -> StatusReport:
        node, raft = self._node, self._node.consensus.status
        agents = node.master.agents()
        gauges = node.consensus.gauges()
        now = node.runtime.reactor.seconds()
        return StatusReport(
            request=request,
            cluster=node.runtime.security.cluster,
            node=node.me,
            master=raft.leader or NodeId(""),
            term=raft.term,
            survives=raft.survives,
            nas=node.config.nas_dir,
            nodes=tuple(
                self._report(member, agents.get(member.node)) for member in node.gossip.members
            ),
            jobs=node.master.summaries() if raft.is_master else (),
            voters=gauges.voters,
            lacks=gauges.lacks,
            log_term=gauges.last_term,
            log_index=gauges.last,
            missing=tuple(
                MissingVoter(each.node, each.name, -1.0 if each.since is None else now - each.since)
                for each in gauges.missing
            ),
        )

    def _note(self, node: NodeId, agent: AgentView | None) -> str:
        """What people should know of a node; of its own disk each node knows alone."""
        notes = [agent.note] if agent and agent.note else []
        if node == self._node.me and self._node.consensus.is_disk_full:
            notes.append("its own disk is full: no job is taken until there is space")
        return "; ".join(notes)

    def _counters(self, request: int) -> CountersReport:
        consensus = self._node.consensus
        numbers = {**flat(consensus.counters), **flat(consensus.gauges())}
        measures = tuple(Measure(name, float(value)) for name, value in numbers.items())
        return CountersReport(request, self._node.me, measures)

    def _report(self, member: Member, agent: AgentView | None) -> NodeReport:
        return NodeReport(
            node=member.node,
            name=member.name,
            host=member.address.host,
            port=member.address.port,
            state=member.state.name.lower(),
            part=self._node.consensus.status.parts.get(member.node, ""),
            slots=agent.slots if agent else -1,
            busy=agent.busy if agent else 0,
            speed=agent.speed if agent else member.meta.speed,
            labels=member.meta.labels,
            note=self._note(member.node, agent),
        )
