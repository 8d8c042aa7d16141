"""The addresses of the peers of this run, kept on the node's own disk for the next one.

**Of the living first, then of all others**: after a power cut in the whole house everybody was
somebody's dead.  One write at a time, so that a crowd that joins costs two.
"""

from collections.abc import Callable, Iterable

from twisted.python.failure import Failure

from nanoboost.ids import Address
from nanoboost.runtime import DurableStore
from nanoboost.wire.codec import decode_value, encode_value

PEERS_KEY = b"gossip/peers"
PEERS_MAX = 64


def remembered(store: DurableStore) -> tuple[Address, ...]:
    """Where members were in the last run of the node whose store this is."""
    found = dict(store.load(PEERS_KEY)).get(PEERS_KEY)
    return tuple(Address(host, port) for host, port in decode_value(found)) if found else ()


class Peers:
    """What is remembered; `crashed` hears if the disk refuses it."""

    def __init__(self, store: DurableStore, crashed: Callable[[Failure], None]) -> None:
        self._store = store
        self._crashed = crashed
        self.addresses = remembered(store)
        self._saved = self.addresses
        self._is_saving = False

    def note(self, addresses: Iterable[Address]) -> None:
        """These are known now, the living first; those of before count after them."""
        self.addresses = tuple(dict.fromkeys((*addresses, *self.addresses)))[:PEERS_MAX]
        self._save()

    def _save(self) -> None:
        if self._is_saving or set(self.addresses) == set(self._saved):
            return
        self._is_saving = True
        self._saved = self.addresses
        write = (PEERS_KEY, encode_value([[each.host, each.port] for each in self.addresses]))
        self._store.commit([write]).addCallbacks(self._are_saved, self._crashed)

    def _are_saved(self, _: None) -> None:
        self._is_saving = False
        self._save()
