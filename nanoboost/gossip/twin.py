"""Two machines with one identity: somebody has copied a card, and both copies run.

**The one that was started later gives way**, and takes another identity; the one with the lesser
boot id judges which that is, for both, so that they cannot disagree.  What is heard of a twin may
be old news of an earlier start of this very node; only one that answers is real: a sealed datagram
in our own name that we have not made.
"""

from nanoboost.gossip.effects import Effect, TwinFound
from nanoboost.gossip.messages import Datagram, Twin
from nanoboost.gossip.voice import Voice
from nanoboost.ids import Address

SAY_GAP_S = 1.0


class TwinWatch:
    """Looks out for another process with this node's id; `boot` is drawn at each start."""

    def __init__(self, boot: bytes, begun: float, voice: Voice, outbox: list[Effect]) -> None:
        self._boot = boot
        self._begun = begun
        self._voice = voice
        self._outbox = outbox
        self._said_at: float | None = None
        self._has_found = False

    def suspect(self, now: float, address: Address) -> None:
        """Somebody has said that this node is at `address`: ask there, once a second at most."""
        if self._boot and (self._said_at is None or now - self._said_at >= SAY_GAP_S):
            self._said_at = now
            self._say(now, address, gives_way=False)

    def heard(self, now: float, source: Address, message: Datagram) -> bool:
        """A datagram in our own name has come from `source`.  Whether we have to give way."""
        if not isinstance(message, Twin) or message.boot == self._boot:
            self.suspect(now, source)
            return False
        is_judge = self._boot < message.boot
        must = message.up_s > now - self._begun if is_judge else message.gives_way
        if must and not self._has_found:
            self._has_found = True
            self._outbox.append(TwinFound(source))
        elif is_judge and not must:
            self._say(now, source, gives_way=True)
        elif not must:
            self.suspect(now, source)
        return must

    def _say(self, now: float, address: Address, *, gives_way: bool) -> None:
        self._voice.say(address, Twin, self._boot, now - self._begun, gives_way)
