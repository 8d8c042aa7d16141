"""What people call the members of the configuration, remembered across restarts.

**A voter that is gone is called by its name to whoever must start it again**, also by a node that
has started without it and never heard of it from gossip.  Names are for people only: losing one
costs a name.
"""

from collections.abc import Callable, Iterable, Mapping

from twisted.python.failure import Failure

from nanoboost.consensus.autopilot import PeerView
from nanoboost.errors import RemoteError
from nanoboost.ids import NodeId
from nanoboost.runtime import DurableStore
from nanoboost.wire.codec import decode_value, encode_value

NAMES_KEY = b"names/members"


class Names:
    """The names of the members, as gossip last told them; `crashed` hears if the disk refuses."""

    def __init__(self, store: DurableStore, crashed: Callable[[Failure], None]) -> None:
        self._store = store
        self._crashed = crashed
        self._names: dict[NodeId, str] = {}

    def load(self) -> None:
        """What an earlier start has noted."""
        found = dict(self._store.load(NAMES_KEY)).get(NAMES_KEY)
        try:
            pairs = decode_value(found) if found else []
            self._names = {NodeId(str(node)): str(name) for node, name in pairs}
        except (RemoteError, TypeError, ValueError):
            self._names = {}

    def learn(self, members: Iterable[NodeId], peers: Mapping[NodeId, PeerView]) -> None:
        """Note the names of these members, where gossip knows them."""
        names = {node: peers[node].name if node in peers else "" for node in members}
        names = {node: name or self._names.get(node, "") for node, name in names.items()}
        if any(names.values()) and names != self._names:
            self._names = names
            write = (NAMES_KEY, encode_value([[node, names[node]] for node in sorted(names)]))
            self._store.commit([write]).addErrback(self._crashed)

    def of(self, node: NodeId) -> str:
        """The name, or "" if it is not known."""
        return self._names.get(node, "")
