"""Security in the simulated world: simulated certificates, and keys for datagrams from the seed.

**OpenSSL draws from the system's entropy**, so it cannot be part of a run that is a function of its
seed; the handshake is `simulations.net.tls`.  Datagrams are sealed as always: their key comes from
here.  Each machine has a certificate of its own, which is the cluster's, until a fault changes it.
"""

import hashlib

from attrs import define, field
from twisted.internet.interfaces import IStreamClientEndpoint, IStreamServerEndpoint

from nanoboost.errors import UserError
from simulations.net.tls import ClientEndpoint, ServerEndpoint


@define(eq=False)
class SimSecurity:
    """A `nanoboost.runtime.Security`."""

    seed: int = field()
    cluster: str = field()
    certificate: str = field(init=False)
    """What is shown."""
    accepted: tuple[str, ...] = field(init=False)
    """What others may show."""

    def __attrs_post_init__(self) -> None:
        self.certificate, self.accepted = self.cluster, (self.cluster,)

    @classmethod
    def of(cls, seed: int) -> "SimSecurity":
        """The cluster of one run."""
        return cls(seed, hashlib.blake2b(f"cluster {seed}".encode(), digest_size=8).hexdigest())

    def wrap_server(self, endpoint: IStreamServerEndpoint) -> IStreamServerEndpoint:
        """The endpoint, accepting only holders of the cluster's certificate."""
        wrapped: IStreamServerEndpoint = ServerEndpoint(endpoint, self)
        return wrapped

    def wrap_client(self, endpoint: IStreamClientEndpoint) -> IStreamClientEndpoint:
        """The endpoint, connecting only to holders of the cluster's certificate."""
        wrapped: IStreamClientEndpoint = ClientEndpoint(endpoint, self)
        return wrapped

    def datagram_keys(self) -> tuple[bytes, ...]:
        """One, of 32 bytes."""
        return (hashlib.blake2b(f"datagrams {self.seed}".encode(), digest_size=32).digest(),)

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """The one that all have."""
        return (self.cluster,)

    def rekey(self, pem: bytes) -> None:
        """There is no file."""
        raise UserError("the simulated world has no credential to change")
