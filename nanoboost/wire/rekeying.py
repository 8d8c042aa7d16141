"""What a client and a node say when the cluster's credential is changed (tags 60 and 61).

**The secret travels only over mutual TLS, from whoever holds it already**; no answer holds one.
"""

from attrs import field

from nanoboost.ids import NodeId
from nanoboost.wire.codec import message


@message(60)
class Rekey:
    """To one node, from a client: use the credential in `pem` from now on.  Empty: nothing is to
    change; say how you stand."""

    request: int
    pem: bytes = field(repr=False)


@message(61)
class Rekeyed:
    """The answer: what the node accepts, by fingerprint, the one that it uses first."""

    request: int
    node: NodeId
    fingerprints: tuple[str, ...]


REKEYING = (Rekey, Rekeyed)
