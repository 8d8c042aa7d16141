"""Security in a world without strangers: everybody has the credential, and nothing is encrypted.

**OpenSSL draws from the system's entropy**, so it cannot be part of a run that is a function of its
seed; TLS is tested with real sockets.  Datagrams are sealed as always: their key comes from here.
"""

import hashlib

from attrs import define, field
from twisted.internet.interfaces import IStreamClientEndpoint, IStreamServerEndpoint

from nanoboost.errors import UserError


@define(eq=False)
class SimSecurity:
    """A `nanoboost.runtime.Security`."""

    seed: int = field()
    cluster: str = field()

    @classmethod
    def of(cls, seed: int) -> "SimSecurity":
        """The cluster of one run."""
        return cls(seed, hashlib.blake2b(f"cluster {seed}".encode(), digest_size=8).hexdigest())

    def wrap_server(self, endpoint: IStreamServerEndpoint) -> IStreamServerEndpoint:
        """The endpoint."""
        return endpoint

    def wrap_client(self, endpoint: IStreamClientEndpoint) -> IStreamClientEndpoint:
        """The endpoint."""
        return endpoint

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
