"""Everything ambient in one object: what the world gives to a node.

`compose(config, runtime)` builds the same node from a `Runtime` of the real world
(`nanoboost.world`) and from one of the simulated world (`simulations`).  **Nothing in a node
touches the operating system except through here.**  Monotonic time is `reactor.seconds()` (set to
`time.monotonic` in the real world); `wall()` may jump and is only ever shown to people.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint, IStreamServerEndpoint


class DurableStore(Protocol):
    """A small ordered key-value store on the node's own disk, written in atomic batches.

    **When a commit's Deferred fires, the batch and all before it survive a power cut.**  Batches
    become durable in the order of the calls, and a batch is there whole or not at all.  A failed
    commit poisons the store: the Deferred fails, every later one too, and the node must stop.
    """

    @property
    def is_full(self) -> bool:
        """Whether commits wait until there is space on the disk again."""

    def load(self, prefix: bytes) -> list[tuple[bytes, bytes]]:
        """All pairs whose key starts with `prefix`, by key.  Only used at start; may block."""

    def commit(self, writes: Sequence[tuple[bytes, bytes | None]]) -> "Deferred[None]":
        """Put each (key, value); a value of None deletes the key."""

    def close(self) -> "Deferred[None]":
        """Release the store once all commits are done."""


class Security(Protocol):
    """How strangers are kept out."""

    cluster: str
    """The cluster's id: 16 hexadecimal digits, from the credential."""

    def wrap_server(self, endpoint: IStreamServerEndpoint) -> IStreamServerEndpoint:
        """The endpoint, accepting only sessions with the cluster's credential."""

    def wrap_client(self, endpoint: IStreamClientEndpoint) -> IStreamClientEndpoint:
        """The endpoint, connecting only to holders of the cluster's credential."""

    def datagram_keys(self) -> tuple[bytes, ...]:
        """The 32 secret bytes from which datagram keys are derived; while the credential is being
        changed two of them: the first seals, both open."""

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """What may connect, the identity in use first, as people compare it."""

    def rekey(self, pem: bytes) -> None:
        """Use the credential in `pem` from now on, and after a restart.  Raises `UserError`."""


@frozen
class Network:
    """An IPv4 network that this machine is on: its own address there, and everybody's."""

    address: str
    broadcast: str
    is_loopback: bool


@frozen
class Host:
    """Facts about the machine.  `speed` is relative to the reference machine (1.0)."""

    hostname: str
    cores: int
    memory_mib: int
    speed: float


@frozen(eq=False)
class Runtime:
    """What the world gives to a node.

    `reactor` provides IReactorTime, IReactorTCP, IReactorUDP, IReactorProcess and IReactorCore.
    """

    reactor: Any
    wall: Callable[[], float]
    """Seconds since the epoch, for people's eyes only."""
    store: DurableStore
    security: Security
    host: Host
    python: tuple[str, ...]
    """The command that starts a Python with NanoBoost in it: `(sys.executable, "-I")`."""
    environment: Mapping[str, str]
    """The variables of this process; children get only what their room chooses from it."""
    kill_group: Callable[[int], None]
    """End at once the child process with this id and all of its process group."""
    scratch_dir: str
    """A directory on the node's own disk for children (code, logs); empty it at will."""
    seed: int
    """From the system's entropy in the real world, from the seed in the simulated one."""
    networks: Callable[[], Sequence[Network]] | None = None
    """The networks that the machine is on now; None where nobody can call to everybody.  (Then the
    reactor must provide IReactorMulticast too.)"""

    busy: Callable[[], float] = lambda: 0.0
    """The processor seconds that the reactor's thread has used; how saturated it is."""
    record: Callable[[Mapping[str, Any]], None] | None = None
    """Takes the facts of consensus (`nanoboost.consensus.chronicle`), where somebody wants them."""

    def rng(self, name: str) -> random.Random:
        """A stream of random numbers of its own for each name, so that streams do not disturb
        one another when one of them draws more or less."""
        return random.Random(f"{self.seed}/{name}")
