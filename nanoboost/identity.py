"""Which node this is: an id that is drawn once, and given up only to a twin.

**A node id belongs to one machine.**  Whoever runs on a copy of another's state (a cloned card)
takes another id, and forgets what the first one was in the cluster: votes and log are not its own.
It then joins as a new node, and never founds a cluster beside the one that it was copied from.
"""

from twisted.internet.defer import Deferred

from nanoboost.errors import NanoBoostError
from nanoboost.ids import Address, NodeId
from nanoboost.runtime import Runtime

NODE_ID_KEY = b"node/id"
COPIED_KEY = b"node/copied"
FOREIGN, OWN = b"foreign", b"own"
"""Whether what the state holds of the cluster still is that of the node that it was copied from."""
RAFT_PREFIX = b"raft/"


class IdentityTaken(NanoBoostError):
    """The process must start again: its node has become another one."""


def node_id(runtime: Runtime) -> NodeId:
    """The node's identity: read from its store, or drawn there at the first start.

    Nothing need wait for it to be durable: batches become durable in order, and whatever would
    make the id matter to others (a vote, a boot generation) is a later batch.
    """
    found = dict(runtime.store.load(NODE_ID_KEY)).get(NODE_ID_KEY)
    if found is None:
        return _draw(runtime, "node id")[0]
    if _copied(runtime) == FOREIGN:
        forgotten = [(key, None) for key, _ in runtime.store.load(RAFT_PREFIX)]
        runtime.store.commit([*forgotten, (COPIED_KEY, OWN)])
    return NodeId(found.decode())


def is_copy(runtime: Runtime) -> bool:
    """Whether this node was made from another's state: there is a cluster, and it must join it."""
    return _copied(runtime) is not None


def take_another(runtime: Runtime, me: NodeId, twin: Address) -> "Deferred[IdentityTaken]":
    """Give the id `me` up to the machine at `twin`; fires with why the process must start again,
    once that is durable."""
    drawn, done = _draw(runtime, f"node id after {me}", (COPIED_KEY, FOREIGN))
    reason = IdentityTaken(
        f"another machine runs at {twin} with the identity of this one, {me} (a copied card?), and "
        f"was there first: this one starts again as {drawn}"
    )
    return done.addCallback(lambda _: reason)


def _draw(
    runtime: Runtime, stream: str, *more: tuple[bytes, bytes]
) -> tuple[NodeId, "Deferred[None]"]:
    drawn = NodeId(f"{runtime.rng(stream).getrandbits(64):016x}")
    return drawn, runtime.store.commit([(NODE_ID_KEY, drawn.encode()), *more])


def _copied(runtime: Runtime) -> bytes | None:
    return dict(runtime.store.load(COPIED_KEY)).get(COPIED_KEY)
