"""A model of `nanoboost.nas.nashelper`: the true protocol over the simulated NAS.

**One request at a time, in order**; each takes a few milliseconds.
"""

from collections import deque
from typing import Any

from twisted.logger import Logger

from nanoboost.errors import NanoBoostError
from nanoboost.ids import AttemptKey
from nanoboost.nas.layout import output_path, plan_path
from nanoboost.nas.messages import (
    NAS,
    PIECE_BYTES,
    Clean,
    FetchPlan,
    Finished,
    Inspect,
    Inspected,
    PlanPiece,
    Publish,
)
from nanoboost.wire.frame import FrameReader, pack
from simulations.kernel.world import MS
from simulations.procs.nas import Mount
from simulations.procs.process import Process

ERRAND_LEAST_NS = 2 * MS
ERRAND_JITTER_NS = 4 * MS


class ErrandChild:
    """Does what the node asks of the NAS."""

    _log = Logger()

    def __init__(self, process: Process, mount: Mount) -> None:
        self._process = process
        self._mount = mount
        self._reader = FrameReader()
        self._questions: deque[Any] = deque()
        self._draw = process.draw("errands")
        self._busy = False
        self._ended = False

    def started(self) -> None:
        """It has no first words."""

    def received(self, data: bytes) -> None:
        """Questions."""
        self._questions.extend(NAS.decode(body) for body in self._reader.feed(data))
        self._next()

    def input_ended(self) -> None:
        """End when all is answered."""
        self._ended = True
        self._next()

    def _next(self) -> None:
        if self._busy:
            return
        if self._questions:
            self._busy = True
            question = self._questions.popleft()
            delay = self._draw.tailed(ERRAND_LEAST_NS, ERRAND_JITTER_NS) + self._mount.slow_ns
            if blocked := self._mount.blocked_ns():
                self._process.stuck_until = self._mount.hangs_until
            self._process.after(delay + blocked, lambda: self._answer(question))
        elif self._ended:
            self._process.exit()

    def _answer(self, question: Any) -> None:
        try:
            self._do(question)
        except NanoBoostError as error:
            self._say(Finished(question.request, str(error)))
        self._busy = False
        self._next()

    def _do(self, question: Any) -> None:
        number, mount = question.request, self._mount
        if isinstance(question, Inspect):
            self._say(Inspected(number, mount.error))
            return
        mount.check()
        if isinstance(question, FetchPlan):
            data = mount.read(plan_path(question.digest))
            for start in range(0, len(data), PIECE_BYTES):
                piece = data[start : start + PIECE_BYTES]
                self._say(PlanPiece(number, piece, start + PIECE_BYTES < len(data)))
        elif isinstance(question, Publish):
            for result in question.results:
                for path in result.paths:
                    data = mount.read(output_path(result.key, path))
                    mount.nas.write(path, data, mount.machine)
                    self._note(result.key, path)
            self._say(Finished(number, ""))
        else:
            assert isinstance(question, Clean), type(question).__name__
            mount.nas.clean(question.job)
            self._say(Finished(number, ""))

    def _note(self, key: AttemptKey, path: str) -> None:
        self._log.info(
            "{path} is published",
            event="published",
            job=key.job,
            task=int(key.task),
            attempt=str(key.attempt),
            path=path,
        )

    def _say(self, message: object) -> None:
        self._process.say(pack(NAS.encode(message)))
