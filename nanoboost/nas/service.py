"""The node's side of the NAS: one process that is asked, and what to do when it does not answer.

**Nothing here ever waits for the NAS**: a request that gets no sign of life in time fails, its
process is killed, and whether or not it dies (one that hangs in the kernel does not), the node goes
on.  At most `STUCK_MAX` such processes are left behind; after them the next one starts when one of
them has ended, which it does as soon as the NAS is back.
"""

from collections import deque
from collections.abc import Callable, Iterator

from attrs import define, field
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from nanoboost.errors import NasError
from nanoboost.ids import JobId
from nanoboost.nas.messages import (
    NAS,
    NAS_MODULE,
    Clean,
    FetchPlan,
    Finished,
    Inspect,
    Inspected,
    PlanPiece,
    Publish,
    Published,
    Working,
)
from nanoboost.net.pipe import Pipe
from nanoboost.runtime import Runtime

LOOK_S = 5.0
"""Between two looks at the NAS: so long may its absence go unnoticed."""
SILENCE_S = 10.0
"""How long a request may go without a sign of life."""
WORK_SILENCE_S = 60.0
"""The same while files are published or removed: a single sync of a busy disk takes long."""
PROBE_S = 10.0
"""Between two tries while the NAS does not answer."""
STUCK_MAX = 3

PATHS_MAX = 1000
PATH_BYTES_MAX = 256 << 10
"""What one `Publish` may carry, so that it fits in a frame."""

Question = Inspect | FetchPlan | Publish | Clean


@define(eq=False)
class _Errand:
    """A request that waits for its turn or for its answer."""

    question: Question
    silence_s: float
    answered: "Deferred[bytes]"
    data: bytearray = field(factory=bytearray)


class Nas(Service):
    """The NAS as the node sees it.

    `fit` is "" while it can be used, else one line that says why not; `changed` is told that line
    once after the start and then whenever it changes.
    """

    _log = Logger()

    def __init__(
        self, nas_dir: str, cluster: str, runtime: Runtime, changed: Callable[[str], None]
    ) -> None:
        self._nas_dir = nas_dir
        self._cluster = cluster
        self._runtime = runtime
        self._changed = changed
        self.fit = f"the NAS at {nas_dir} has not been looked at yet"
        self._is_told = False
        self._is_down = False
        self._requests = 0
        self._waiting: deque[_Errand] = deque()
        self._current: _Errand | None = None
        self._pipe: Pipe | None = None
        self._is_used = False  # the process has done more than look, and has grown
        self._stuck: list[Pipe] = []
        self._deadline: IDelayedCall | None = None
        self._next_look: IDelayedCall | None = None

    # --- life ------------------------------------------------------------------------------------

    def startService(self) -> None:
        """Take the first look."""
        super().startService()
        self._look()

    def stopService(self) -> None:
        """End the process; what it was doing can be repeated by whoever is master next."""
        super().stopService()
        _cancel(self._deadline)
        _cancel(self._next_look)
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            pipe.kill()
        self._fail_all("the node is stopping")

    # --- what others ask -------------------------------------------------------------------------

    def read_plan(self, digest: str) -> "Deferred[bytes]":
        """The plan with this SHA-256, as it was deposited."""
        return self._ask(FetchPlan(self._number(), digest), SILENCE_S)

    def publish(self, results: tuple[Published, ...]) -> "Deferred[None]":
        """Bring results to their users' names; a repeat changes nothing."""
        return Deferred.fromCoroutine(self._publish(results))

    async def _publish(self, results: tuple[Published, ...]) -> None:
        for portion in portions(results):
            await self._ask(Publish(self._number(), portion), WORK_SILENCE_S)

    def clean(self, job: JobId) -> "Deferred[None]":
        """Remove what the job's attempts have written but their logs and manifests."""
        return self._ask(Clean(self._number(), job), WORK_SILENCE_S).addCallback(lambda _: None)

    def _number(self) -> int:
        self._requests += 1
        return self._requests

    def _ask(self, question: Question, silence_s: float) -> "Deferred[bytes]":
        errand = _Errand(question, silence_s, Deferred())
        if not self.running:
            errand.answered.errback(NasError("the node is stopping"))
        elif self._is_down and not isinstance(question, Inspect):
            errand.answered.errback(NasError(self.fit))
        else:
            self._waiting.append(errand)
            self._advance()
        return errand.answered

    # --- the regular look ------------------------------------------------------------------------

    def _look(self) -> None:
        self._next_look = None
        if self._is_used and self._current is None and not self._waiting:
            self._retire()
        looked = self._ask(Inspect(self._number()), SILENCE_S)
        looked.addCallbacks(self._looked, self._could_not_look)
        looked.addErrback(self._bug)

    def _looked(self, fit: bytes) -> None:
        self._is_down = False
        self._tell(fit.decode())
        self._look_in(LOOK_S)

    def _could_not_look(self, failure: Failure) -> None:
        failure.trap(NasError)
        self._tell(failure.getErrorMessage())
        self._look_in(PROBE_S)

    def _bug(self, failure: Failure) -> None:
        self._log.failure("looking at the NAS", failure)

    def _look_in(self, delay_s: float) -> None:
        _cancel(self._next_look)
        self._next_look = None
        if self.running:
            self._next_look = self._runtime.reactor.callLater(delay_s, self._look)

    def _tell(self, fit: str) -> None:
        if self.running and (fit != self.fit or not self._is_told):
            self.fit, self._is_told = fit, True
            self._changed(fit)

    # --- one request at a time -------------------------------------------------------------------

    def _advance(self) -> None:
        """Give the process its next request, and start a process if there is none."""
        if self._current is not None or not self._waiting:
            return
        if self._pipe is None:
            if len(self._stuck) >= STUCK_MAX:
                self._fail_all(self._silence)
                return
            try:
                self._start()
            except OSError as error:
                self._pipe = None
                self._fail_all(f"no process for the NAS can be started: {error.strerror or error}")
                return
        self._current = self._waiting.popleft()
        self._is_used |= not isinstance(self._current.question, Inspect)
        assert self._pipe is not None, "just started"
        self._pipe.send(self._current.question)
        self._wait_for_life()

    def _start(self) -> None:
        pipe = Pipe(
            self._runtime,
            NAS,
            self._received,
            lambda complaint: self._ended(pipe, complaint),
        )
        self._pipe, self._is_used = pipe, False
        pipe.start(
            ("-m", NAS_MODULE, self._nas_dir, self._cluster),
            {"HOME": self._runtime.scratch_dir},
        )

    def _retire(self) -> None:
        """Let the idle process end; the next request gets a fresh, small one."""
        pipe, self._pipe, self._is_used = self._pipe, None, False
        if pipe is not None:
            pipe.finish()

    def _received(self, message: object) -> None:
        errand = self._current
        if errand is None or getattr(message, "request", None) != errand.question.request:
            return  # the late answer to a request that was given up: numbers are never reused
        if isinstance(message, Working):
            self._wait_for_life()
        elif isinstance(message, PlanPiece):
            errand.data += message.data
            if message.more:
                self._wait_for_life()
            else:
                self._finish(bytes(errand.data))
        elif isinstance(message, Inspected):
            self._finish(message.fit.encode())
        elif isinstance(message, Finished):
            self._finish(NasError(message.error) if message.error else b"")

    def _finish(self, result: bytes | NasError) -> None:
        errand, self._current = self._current, None
        assert errand is not None, "only what runs can finish"
        _cancel(self._deadline)
        self._deadline = None
        if isinstance(result, NasError):
            errand.answered.errback(result)
        else:
            errand.answered.callback(result)
        self._advance()

    # --- processes that hang or die --------------------------------------------------------------

    @property
    def _silence(self) -> str:
        return f"the NAS at {self._nas_dir} does not answer"

    def _wait_for_life(self) -> None:
        assert self._current is not None
        _cancel(self._deadline)
        self._deadline = self._runtime.reactor.callLater(self._current.silence_s, self._overdue)

    def _overdue(self) -> None:
        """No sign of life: leave the process to itself, and believe nothing until a look
        succeeds."""
        self._deadline = None
        pipe, self._pipe = self._pipe, None
        assert pipe is not None, "a request without a process"
        self._stuck.append(pipe)
        self._is_down = True
        pipe.kill()
        self._tell(self._silence)
        self._fail_all(self._silence)
        if self._next_look is None:
            self._look_in(PROBE_S)

    def _ended(self, pipe: Pipe, complaint: str | None) -> None:
        if pipe is self._pipe:  # it died at work, or for no reason
            self._pipe = None
            if self._current is not None:
                self._finish(NasError(f"the process for the NAS ended: {complaint or 'too early'}"))
        elif pipe in self._stuck:
            if len(self._stuck) == STUCK_MAX:
                self._look_in(0.0)  # what held it has let go
            self._stuck.remove(pipe)

    def _fail_all(self, why: str) -> None:
        errands = [*([self._current] if self._current else []), *self._waiting]
        self._current = None
        self._waiting.clear()
        for errand in errands:
            errand.answered.errback(NasError(why))


def portions(results: tuple[Published, ...]) -> Iterator[tuple[Published, ...]]:
    """The same results in portions that fit in a frame each."""
    portion: list[Published] = []
    count = size = 0
    for result in results:
        paths: list[str] = []
        for path in result.paths:
            if count >= PATHS_MAX or size >= PATH_BYTES_MAX:
                yield (*portion, Published(result.key, tuple(paths)))
                portion, paths, count, size = [], [], 0, 0
            paths.append(path)
            count += 1
            size += len(path.encode())
        portion.append(Published(result.key, tuple(paths)))
    if portion:
        yield tuple(portion)


def _cancel(call: IDelayedCall | None) -> None:
    if call is not None and call.active():
        call.cancel()
