"""The process that touches the NAS for its node, so that the node never does.

**One request at a time, in order; each gets its answer or this process is replaced.**  A mount that
hangs holds whoever looks at it, often beyond the reach of SIGKILL: better this process than a vote.
While a long request goes on it says `Working`, so that slow and hung can be told apart.

It starts light: what only publishing needs is imported when something is published.
"""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator

from nanoboost.errors import NasError, RemoteError
from nanoboost.nas.files import fetch, inspect, look
from nanoboost.nas.layout import plan_path
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
    Working,
)
from nanoboost.nas.walk import Pace
from nanoboost.wire.frame import FrameReader, pack

IN_FD, OUT_FD = 0, 3
READ_BYTES = 1 << 16
WORKING_S = 1.0
PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Errands:
    """Does what the node asks; `say` takes each answer."""

    def __init__(
        self,
        nas_dir: str,
        cluster: str,
        say: Callable[[object], None],
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._nas_dir = nas_dir
        self._cluster = cluster
        self._say = say
        self._clock = clock
        self._pace = Pace(sleep, clock, self._tick)
        self._request = 0
        self._said_at = 0.0
        self._has_inspected = False

    def run(self, question: object) -> None:
        """Answer one question, completely."""
        self._said_at = self._clock()
        if isinstance(question, Inspect):
            self._request = question.request
            # Only the first look writes: a disk that nobody uses may sleep.
            check = look if self._has_inspected else inspect
            fit = check(self._nas_dir, self._cluster)
            self._has_inspected = not fit
            self._say(Inspected(question.request, fit))
        elif isinstance(question, FetchPlan):
            self._request = question.request
            self._fetch(question)
        elif isinstance(question, Publish | Clean):
            self._request = question.request
            self._say(Finished(question.request, self._outcome(question)))
        else:
            raise RemoteError(f"{type(question).__name__} is no question")

    def _fetch(self, question: FetchPlan) -> None:
        path = plan_path(question.digest)
        try:
            data = fetch(self._nas_dir, path, question.digest, pace=self._pace)
        except NasError as error:
            self._say(Finished(question.request, str(error)))
            return
        for start in range(0, max(1, len(data)), PIECE_BYTES):
            more = start + PIECE_BYTES < len(data)
            self._say(PlanPiece(question.request, data[start : start + PIECE_BYTES], more))

    def _outcome(self, question: Publish | Clean) -> str:
        from nanoboost.nas.publish import clean, publish  # not needed by an idle node

        try:
            if isinstance(question, Publish):
                publish(self._nas_dir, question.results, pace=self._pace)
            else:
                clean(self._nas_dir, question.job, pace=self._pace)
        except NasError as error:
            return str(error)
        return ""

    def _tick(self) -> None:
        """The NAS has answered once more."""
        if self._clock() >= self._said_at + WORKING_S:
            self._said_at = self._clock()
            self._say(Working(self._request))


def questions(fd: int) -> Iterator[object]:
    """What the node asks, until it closes the pipe or dies."""
    reader = FrameReader()
    while data := os.read(fd, READ_BYTES):
        for body in reader.feed(data):
            yield NAS.decode(body)


def write_whole(fd: int, data: bytes) -> None:
    """Write all of it, however small the pipe."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def die_with_node() -> None:
    """Lead a process group of our own (a Ctrl-C is the node's), and die when the node does."""
    if os.getpgid(0) != os.getpid():
        os.setsid()
    node = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != node:
        sys.exit("the node has died")


def main(arguments: list[str]) -> None:
    """Serve until the input ends.  `arguments` are NAS_DIR, CLUSTER."""
    nas_dir, cluster = arguments
    die_with_node()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # an answer to nobody is no error to show
    os.umask(0o022)  # results are for all users of the NAS
    errands = Errands(
        nas_dir, cluster, lambda answer: write_whole(OUT_FD, pack(NAS.encode(answer)))
    )
    for question in questions(IN_FD):
        errands.run(question)


if __name__ == "__main__":
    main(sys.argv[1:])
