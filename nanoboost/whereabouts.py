"""Where other nodes reach this machine, as long as it stays on: a router may give it a new address.

**An address that the machine never had is left alone**: whoever said `--advertise` knows better (a
port that is forwarded, a name of another network).
"""

from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.logger import Logger

from nanoboost.runtime import Runtime

LOOK_S = 10.0
EVERYWHERE = ("0.0.0.0", "::")


class Whereabouts(Service):
    """Looks at the machine's networks now and then; `moved` hears its new address.

    `host` is the address that others have been told, `listen_host` where the node listens: one that
    listens at one address only cannot move.
    """

    _log = Logger()

    def __init__(
        self, host: str, listen_host: str, runtime: Runtime, moved: Callable[[str], None]
    ) -> None:
        self._host = host
        self._can_move = listen_host in EVERYWHERE and runtime.networks is not None
        self._runtime = runtime
        self._moved = moved
        self._was_here = False
        self._timer: Any = None

    def startService(self) -> None:
        """Begin to look."""
        super().startService()
        if self._can_move:
            self._look()

    def stopService(self) -> None:
        """Look no more."""
        super().stopService()
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def _look(self) -> None:
        assert self._runtime.networks is not None
        here = [each.address for each in self._runtime.networks() if not each.is_loopback]
        if self._host in here:
            self._was_here = True
        elif self._was_here and here:
            self._log.warn(
                "this machine is no longer at {old}: it tells the others that it is at {new}",
                event="moved",
                old=self._host,
                new=here[0],
            )
            self._host = here[0]
            self._moved(self._host)
        self._timer = self._runtime.reactor.callLater(LOOK_S, self._look)
