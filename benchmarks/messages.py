"""What does a message cost?  `python benchmarks/messages.py` prints microseconds of processor time.

A real `Heartbeat` and a real `Execute` go from session to session in memory: no socket, no kernel,
so this is our own Python (and OpenSSL).  An idle leader sends and receives about 80 small messages
a second.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock

from nanoboost.consensus.messages import Heartbeat, Route
from nanoboost.ids import Attempt, AttemptKey, JobId, NodeId, TaskId
from nanoboost.net.credential import Credential, create
from nanoboost.net.dial import ANYBODY
from nanoboost.net.ends import LocalEnd
from nanoboost.net.session import Owner, Session
from nanoboost.net.tls import PinnedTls
from nanoboost.wire.codec import Catalog
from nanoboost.wire.frame import FrameReader, pack
from nanoboost.wire.messages import SESSION, Execute, Parent

A, B = NodeId("a" * 16), NodeId("b" * 16)
HERE = IPv4Address("TCP", "127.0.0.1", 1)
MESSAGES_A_SECOND = 80
ROUNDS, MESSAGES = 7, 2000

HEARTBEAT = Heartbeat(Route("0123456789abcdef", 0, B), 3, 1000, 17)
EXECUTE = Execute(
    3,
    AttemptKey(JobId("film-1a2b3c4d"), TaskId(500), Attempt(3, 1)),
    "a" * 64,
    "b" * 64,
    tuple(Parent(TaskId(number), Attempt(3, 1)) for number in range(3)),
    0.0,
    "Compress-0005",
)
CATALOG = Catalog((*SESSION, Heartbeat, Execute))


class Half:
    """One end of a connection in memory."""

    def __init__(self) -> None:
        self.unread: list[bytes] = []
        self.other: Any = None
        self.protocol: Any = None

    def write(self, data: bytes) -> None:
        """Bytes for the other end, which reads them in `pump`."""
        self.other.unread.append(data)

    def writeSequence(self, chunks: list[bytes]) -> None:
        """The same, for several (Twisted's name)."""
        self.write(b"".join(chunks))

    def read(self) -> bool:
        """Take what has come; whether anything had."""
        unread, self.unread = self.unread, []
        for data in unread:
            self.protocol.dataReceived(data)
        return bool(unread)

    def getPeer(self) -> IPv4Address:
        """Always the same one."""
        return HERE

    def registerProducer(self, producer: object, streaming: bool) -> None:
        """Our buffers are never full."""


class Once(Factory):
    """Makes the one session that it was given."""

    noisy = False

    def __init__(self, session: Session) -> None:
        self._session = session

    def buildProtocol(self, addr: object) -> Session:
        """The session (Twisted's name)."""
        return self._session


class Pair:
    """Two sessions with each other, open."""

    def __init__(self, credential: Credential, *, is_plain: bool) -> None:
        self.clock = Clock()
        self.heard = 0
        tls = PinnedTls(credential, self.clock)
        near, far = Half(), Half()
        near.other, far.other = far, near
        self._halves = near, far
        for half, node, dialled in ((far, A, False), (near, B, True)):
            owner = Owner(lambda _: None, self._hear, lambda _, reason: None)
            end = LocalEnd(self.clock, tls, CATALOG, node)
            self.dialler = Session(end, ANYBODY, owner, dialled=dialled)
            plain = Once(self.dialler)
            made = plain if is_plain else tls.factory(plain, is_client=dialled)
            half.protocol = made.buildProtocol(HERE)
            half.protocol.makeConnection(half)
        self.pump()

    def _hear(self, session: Session, message: object) -> None:
        self.heard += 1

    def pump(self) -> None:
        """Let both ends read until nothing is left."""
        near, far = self._halves
        self.clock.advance(0)
        while near.read() | far.read():
            self.clock.advance(0)

    def say(self, message: object) -> None:
        """From one end to the other."""
        self.dialler.send(message)
        self.pump()


def cost_us(action: Callable[[], object]) -> float:
    """The least processor time of one call, of several rounds of many."""
    best = float("inf")
    for _ in range(ROUNDS):
        before = time.process_time()
        for _ in range(MESSAGES):
            action()
        best = min(best, time.process_time() - before)
    return best / MESSAGES * 1e6


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as directory:
        credential = create(str(Path(directory) / "cluster.pem"))
    print("microseconds of one core           Heartbeat   Execute")
    rows: list[tuple[str, Callable[[Any], Callable[[], object]]]] = [
        ("encode", lambda message: lambda: CATALOG.encode(message)),
        ("decode", _decoding),
        ("frame there and back", _framing),
        (
            "session to session, plain",
            lambda message: _saying(Pair(credential, is_plain=True), message),
        ),
        (
            "session to session, TLS 1.3",
            lambda message: _saying(Pair(credential, is_plain=False), message),
        ),
    ]
    small = 0.0
    for title, prepare in rows:
        small, larger = (cost_us(prepare(message)) for message in (HEARTBEAT, EXECUTE))
        print(f"{title:34} {small:9.1f} {larger:9.1f}")
    share = small * MESSAGES_A_SECOND / 1e4
    print(f"{MESSAGES_A_SECOND} Heartbeats a second, both ends: {share:.2f} % of a core")


def _decoding(message: object) -> Callable[[], object]:
    data = CATALOG.encode(message)
    return lambda: CATALOG.decode(data)


def _framing(message: object) -> Callable[[], object]:
    reader, data = FrameReader(), CATALOG.encode(message)
    return lambda: reader.feed(pack(data))


def _saying(pair: Pair, message: object) -> Callable[[], object]:
    pair.say(message)
    assert pair.heard == 1
    return lambda: pair.say(message)


if __name__ == "__main__":
    main()
