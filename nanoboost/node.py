"""One node: the only place that joins the rooms.

`compose(config, runtime)` builds a node, for the real world and for the simulated one alike.
**No decision is made here**: every line either hands a room what it needs or carries what one room
reports to the room that must hear it.

    mesh ----- Raft messages ------> consensus ---- mastership, committed ----> master
      |------- AgentHello, TaskDone ---------------------------------------------^
      |------- Execute, Acknowledge, ... --> agent            (every node has one)
      |------- Sync ------> gossip --- members ---> mesh, consensus, master
      '------- questions of clients ---> front
"""

from collections.abc import Callable

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from nanoboost.agent.service import Agent
from nanoboost.config import NodeConfig
from nanoboost.consensus.autopilot import PeerView
from nanoboost.consensus.messages import RAFT
from nanoboost.consensus.service import Consensus, MastershipChange
from nanoboost.front import Front
from nanoboost.gossip.effects import MemberDown, MemberEvent, MemberLeft, MemberUp
from nanoboost.gossip.members import Meta
from nanoboost.gossip.messages import STREAM
from nanoboost.gossip.service import Gossip
from nanoboost.identity import IdentityTaken, is_copy, node_id, take_another
from nanoboost.ids import Address, NodeId
from nanoboost.master.service import Master
from nanoboost.nas.service import Nas
from nanoboost.net.mesh import Mesh
from nanoboost.runtime import Runtime
from nanoboost.whereabouts import Whereabouts
from nanoboost.wire.codec import Catalog
from nanoboost.wire.messages import (
    CLIENT,
    SESSION,
    WORK,
    Acknowledge,
    AgentHello,
    CancelAttempt,
    Execute,
    MasterHere,
    TaskDone,
)
from nanoboost.wire.records import Record
from nanoboost.wire.rekeying import REKEYING

TCP = (*SESSION, *WORK, *CLIENT, *REKEYING, *RAFT, *STREAM)
"""All that may travel over a node's TCP port."""


class Node(MultiService):
    """A whole node.

    `ended` is told when the node wants its process to end: with the failure of a broken invariant;
    with `IdentityTaken`, to start again; or with None once it has left the cluster because a client
    said so.
    """

    _log = Logger()

    def __init__(
        self, config: NodeConfig, runtime: Runtime, ended: Callable[[Failure | None], None]
    ) -> None:
        super().__init__()
        self._config = config
        self._runtime = runtime
        self._ended = ended
        self._port = config.listen.port
        self._host = config.advertise_host or config.listen.host
        self.me = me = node_id(runtime)
        profile = config.profile
        host = runtime.host

        self.mesh = Mesh(runtime, Catalog(TCP), me, config.listen)
        self.gossip = Gossip(
            me,
            config.name,
            Meta(host.cores, host.memory_mib, host.speed, config.slots, config.labels),
            profile.gossip,
            runtime,
            self.mesh.ask,
            self._member_changed,
            self._twin_found,
            self._room_crashed,
        )
        self.consensus = Consensus(
            me,
            profile.consensus,
            runtime,
            self.mesh.send,
            self._mastership_changed,
            self._committed,
            self._room_crashed,
            found=not config.seeds and not config.waits and not is_copy(runtime),
        )
        self.nas = Nas(config.nas_dir, runtime.security.cluster, runtime, self._nas_changed)
        self.agent = Agent(me, config, runtime, self.mesh.send, self._room_crashed)
        self.master = Master(
            me,
            profile.master,
            runtime,
            self.mesh.send,
            self.consensus,
            self.nas,
            self._room_crashed,
        )
        self.whereabouts = Whereabouts(self._host, config.listen.host, runtime, self._moved)
        self.front = Front(self)

        self.mesh.subscribe(RAFT, self.consensus.receive)
        self.mesh.subscribe((AgentHello, TaskDone), self.master.receive)
        self.mesh.subscribe((MasterHere, Execute, CancelAttempt, Acknowledge), self.agent.receive)
        self.mesh.serve(STREAM, self.gossip.answer)
        self.mesh.serve((*CLIENT, *REKEYING), self.front.answer)
        self.mesh.on_refused(self._refused)
        self.mesh.on_met(self.gossip.met)

    @property
    def config(self) -> NodeConfig:
        """What the node was told."""
        return self._config

    @property
    def runtime(self) -> Runtime:
        """What the world gave to the node."""
        return self._runtime

    @property
    def address(self) -> Address:
        """Where other nodes reach this one."""
        return Address(self._host, self._port)

    # --- life ------------------------------------------------------------------------------------

    def startService(self) -> None:
        """Listen, then start the rooms; raises `UserError` if the port is taken."""
        self.mesh.listen()
        self._port = self.mesh.address.port
        self.gossip.open(self.address, self._config.listen.host)
        for room in (self.mesh, self.nas, self.agent, self.master, self.consensus, self.gossip):
            room.setServiceParent(self)
        self.whereabouts.setServiceParent(self)
        super().startService()
        self.master.member_up(self.me, self._config.name)  # gossip tells of the others only
        self._log.info(
            "node {name} ({node}) listens on {address}, cluster {cluster}",
            event="listening",
            name=self._config.name,
            node=self.me,
            address=str(self.address),
            cluster=self._runtime.security.cluster,
        )
        self.gossip.join(self._config.seeds)

    def leave(self, *, drain: bool) -> "Deferred[None]":
        """Leave the cluster in good order: finish what runs (if `drain`), hand over, say goodbye.

        Without `drain` the running attempts are given up and start again elsewhere at once.
        """
        return Deferred.fromCoroutine(self._leave(drain))

    async def _leave(self, drain: bool) -> None:
        if drain:
            await self.agent.drain()
        await self.consensus.leave()
        await self.gossip.leave()

    def leave_and_end(self) -> None:
        """Leave in good order, draining, and end the process; what a client's `Leave` asks for."""
        self.leave(drain=True).addCallbacks(self._ended, self._room_crashed)

    def rekey(self, pem: bytes) -> tuple[str, ...]:
        """Use the credential in `pem` from now on, if it is not empty; say what is accepted now.
        Raises `UserError`.

        Once the old one is accepted no more, what it let in is made to come in again.
        """
        security = self._runtime.security
        before = security.fingerprints
        if pem:
            security.rekey(pem)
            self.gossip.rekey(*security.datagram_keys())
            self._log.info(
                "the cluster's credential is {used} now; accepted: {accepted}",
                event="rekeyed",
                used=security.fingerprints[0],
                accepted=" ".join(security.fingerprints),
            )
        if not set(before) <= set(security.fingerprints):
            self._runtime.reactor.callLater(0, self.mesh.renew)  # the answer goes out first
        return security.fingerprints

    def _room_crashed(self, failure: Failure) -> None:
        self._log.failure("this node stops", failure)
        self._ended(failure)

    # --- what one room reports and another must hear ---------------------------------------------

    def _member_changed(self, event: MemberEvent) -> None:
        member = event.member
        self.mesh.learn(member.node, member.address)
        self.consensus.members_changed(self._peers())
        if isinstance(event, MemberUp):
            self.master.member_up(member.node, member.name)
        elif isinstance(event, MemberDown | MemberLeft):
            self.master.member_down(member.node)

    def _twin_found(self, address: Address) -> None:
        """Another machine is this node, and was so before.  Nothing may be said in its name now."""
        self.consensus.stopService()
        taken = take_another(self._runtime, self.me, address)
        taken.addCallbacks(self._give_way, self._room_crashed)

    def _give_way(self, reason: IdentityTaken) -> None:
        self._log.warn("{reason}", event="identity_taken", reason=str(reason))
        self._ended(Failure(reason))

    def _moved(self, host: str) -> None:
        self._host = host
        self.gossip.moved(self.address)

    def _peers(self) -> dict[NodeId, PeerView]:
        return {
            member.node: PeerView(
                member.node,
                member.state.name.lower(),
                member.since,
                True,
                member.name,
                member.address,
            )
            for member in self.gossip.members
        }

    def _mastership_changed(self, change: MastershipChange) -> None:
        self._log.info(
            "term {term}: the master is {master}",
            event="mastership",
            term=change.term,
            master=change.master or "",
            is_me=change.is_me,
        )
        self.master.mastership_changed(change.term, change.is_me)

    def _committed(self, term: int, record: Record) -> None:
        self.master.committed(term, record)

    def _nas_changed(self, fit: str) -> None:
        if fit:
            self._log.warn("{fit}", fit=fit)
        self.agent.nas_changed(fit)

    def _refused(self, node: NodeId) -> None:
        self.consensus.hint(node)
        self.gossip.hint(node)
        self.master.member_refused(node)


def compose(config: NodeConfig, runtime: Runtime, ended: Callable[[Failure | None], None]) -> Node:
    """Build a node; `startService()` starts it, and `ended` hears when it wants to stop."""
    return Node(config, runtime, ended)
