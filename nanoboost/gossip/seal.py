"""Sealed datagrams: only members can speak, and what was said to us counts once.

    "NB" 1 "g" | boot id of the sender (8) | number (8) | ciphertext | tag (16)

("g" is gossip, "b" the beacon's calls; a key serves one of them only.)

ChaCha20-Poly1305 (no Raspberry Pi before the 5 has AES instructions).  Each start of a node draws a
boot id, and with it gets a key of its own from the cluster's, so that a plain counter can be the
nonce and never repeats under one key.  All that goes before the ciphertext is authenticated, and
so is the cluster's id.

While the cluster's key is changed there are two: one seals, both open.  First every node can open
what the new key sealed, then all begin to seal with it, then the old one is dropped.

**What does not verify, or came before, is dropped and counted: never answered, never raised**; the
window of a sender moves only after the tag has proved good.  (A stranger can still repeat to one
node what was said to another, or before a restart: incarnations make that old news.)
"""

from attrs import define, field
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from nanoboost.gossip.members import BOOT_BYTES as BOOT_BYTES
from nanoboost.gossip.members import MEMBERS_MAX
from nanoboost.gossip.messages import DATAGRAM_BYTES_MAX, SEAL_BYTES

MAGIC, BEACON_MAGIC = b"NB\x01g", b"NB\x01b"
NUMBER_BYTES = 8
TAG_BYTES = 16
HEAD_BYTES = len(MAGIC) + BOOT_BYTES + NUMBER_BYTES
assert HEAD_BYTES + TAG_BYTES == SEAL_BYTES
INFO = b"nanoboost datagram v1 "

WINDOW = 1024
"""How far datagrams of one sender may overtake one another; older ones count as replays."""
BOOTS_MAX = MEMBERS_MAX
"""Senders whose window is remembered, the latest heard ones."""


@define
class _Window:
    """Which numbers of one sender were seen: the greatest, and a bit for it and each before it."""

    ciphers: tuple[ChaCha20Poly1305, ...] = field()
    """One for each of the cluster's keys."""
    greatest: int = field(default=0, init=False)
    seen: int = field(default=0, init=False)

    def is_new(self, number: int) -> bool:
        """Whether `number` has not been seen, as far as we remember."""
        age = self.greatest - number
        return age < 0 or (age < WINDOW and not self.seen >> age & 1)

    def note(self, number: int) -> None:
        """`number` has been seen.  (The shift is clamped: a number says how many bits we make.)"""
        ahead = number - self.greatest
        if ahead > 0:
            self.seen = (self.seen << min(ahead, WINDOW)) & ((1 << WINDOW) - 1)
            self.greatest = number
        self.seen |= 1 << (self.greatest - number)


class Seal:
    """Seals what this node says under its `boot` id, and opens what others of the cluster say.

    `key` is the cluster's datagram key, `also` others that open; `label` is the cluster's id;
    `boot` are `BOOT_BYTES` random bytes that no other start of any node has.
    """

    def __init__(
        self,
        key: bytes,
        label: str,
        boot: bytes,
        *,
        also: tuple[bytes, ...] = (),
        magic: bytes = MAGIC,
    ) -> None:
        assert len(boot) == BOOT_BYTES
        self._keys = (key, *also)
        self._label = label.encode()
        self._boot = boot
        self._magic = magic
        self._cipher = self._ciphers_of(boot)[0]
        self._number = 0
        self._window_by_boot: dict[bytes, _Window] = {}  # the latest heard last
        self.strangers = 0
        """Datagrams that no member has made for this cluster."""
        self.replays = 0
        """Datagrams that came before, or so late that nobody can tell."""

    def rekey(self, key: bytes, *also: bytes) -> None:
        """Seal with `key` from now on; open what it or one of `also` has sealed.  What was seen
        stays seen: a sender goes on counting under its new key."""
        self._keys = (key, *also)
        self._cipher = self._ciphers_of(self._boot)[0]
        for boot, window in self._window_by_boot.items():
            window.ciphers = self._ciphers_of(boot)

    def close(self, message: bytes) -> bytes:
        """The datagram that carries `message`, `SEAL_BYTES` longer."""
        self._number += 1
        head = self._magic + self._boot + self._number.to_bytes(NUMBER_BYTES, "big")
        return head + self._cipher.encrypt(_nonce(head), message, head + self._label)

    def open(self, datagram: bytes) -> bytes | None:
        """The message in `datagram`, or None if it is not to be believed."""
        if not SEAL_BYTES <= len(datagram) <= DATAGRAM_BYTES_MAX or datagram[:4] != self._magic:
            self.strangers += 1
            return None
        head, sealed = datagram[:HEAD_BYTES], datagram[HEAD_BYTES:]
        boot = head[len(MAGIC) : -NUMBER_BYTES]
        number = int.from_bytes(head[-NUMBER_BYTES:], "big")
        window = self._window_by_boot.get(boot)
        if boot == self._boot or (window is not None and not window.is_new(number)):
            self.replays += 1
            return None
        window = window or _Window(self._ciphers_of(boot))
        for cipher in window.ciphers:
            try:
                message = cipher.decrypt(_nonce(head), sealed, head + self._label)
            except InvalidTag:
                continue
            window.note(number)
            self._remember(boot, window)
            return message
        self.strangers += 1
        return None

    def _remember(self, boot: bytes, window: _Window) -> None:
        self._window_by_boot.pop(boot, None)
        self._window_by_boot[boot] = window
        if len(self._window_by_boot) > BOOTS_MAX:
            del self._window_by_boot[next(iter(self._window_by_boot))]

    def _ciphers_of(self, boot: bytes) -> tuple[ChaCha20Poly1305, ...]:
        # The cluster's key comes out of HKDF already: expanding it is all that is left to do.
        info = INFO + self._magic[-1:] + boot
        return tuple(
            ChaCha20Poly1305(HKDFExpand(SHA256(), length=32, info=info).derive(key))
            for key in self._keys
        )


def _nonce(head: bytes) -> bytes:
    return bytes(4) + head[-NUMBER_BYTES:]
