"""A model of `nanoboost.agent.child`: the true protocol, a modelled duration, a digest as output.

**Only the user's function is replaced**: frames, catalog, order of words, the files on the NAS and
their manifest are those of the real child; so is its patience with a mount that does not see yet
what others wrote.
"""

from collections import deque
from collections.abc import Callable

from twisted.logger import Logger

from nanoboost.agent.messages import CHILD, AttemptEnded, ChildReady, RunAttempt
from nanoboost.errors import NasError
from nanoboost.ids import AttemptKey
from nanoboost.nas.layout import output_path, plan_path
from nanoboost.nas.walk import WAIT_S
from nanoboost.plan import Plan
from nanoboost.wire.frame import FrameReader, pack
from nanoboost.wire.messages import Outcome, Parent
from simulations.kernel.world import MS, SECOND
from simulations.procs.conduct import (
    CRASH,
    EXIT,
    FLOOD,
    GARBAGE,
    HANG,
    MUTE,
    POISON,
    RAISE,
    Conduct,
)
from simulations.procs.nas import Mount, NotThere, inputs_of, made_by
from simulations.procs.process import Process

LOOK_NS = 3 * MS
"""How long it takes to see the NAS and to read what is needed."""
JITTER_PERCENT = 40
AGAIN_NS = 500 * MS
"""Between two looks for what is not there yet."""
FLOOD_BYTES = 64 << 10


class AttemptChild:
    """Runs attempts, one at a time.  A task of size s takes s seconds of the reference machine, and
    up to 40 % more; what goes wrong is `conduct`'s."""

    _log = Logger()

    def __init__(
        self, process: Process, mount: Mount, conduct: Conduct, poisoned: Callable[[str], None]
    ) -> None:
        self._process = process
        self._mount = mount
        self._conduct = conduct
        self._poisoned = poisoned
        self._reader = FrameReader()
        self._orders: deque[RunAttempt] = deque()
        self._busy = False
        self._ended = False

    def started(self) -> None:
        """Say so."""
        self._say(ChildReady())

    def received(self, data: bytes) -> None:
        """Orders."""
        self._orders.extend(CHILD.decode(body) for body in self._reader.feed(data))
        self._next()

    def input_ended(self) -> None:
        """End when all is done."""
        self._ended = True
        self._next()

    def _next(self) -> None:
        if self._busy:
            return
        if self._orders:
            self._busy = True
            order = self._orders.popleft()
            give_up_at = self._process.world.now + int(WAIT_S * SECOND)
            self._call(LOOK_NS, lambda: self._begin(order, give_up_at))
        elif self._ended:
            self._process.exit()

    def _call(self, takes_ns: int, then: Callable[[], None]) -> None:
        """A call of the NAS, which may hang."""
        mount = self._mount
        blocked = mount.blocked_ns()
        if blocked:
            self._process.stuck_until = mount.hangs_until
        self._process.after(takes_ns + blocked + mount.slow_ns, then)

    # --- one attempt -----------------------------------------------------------------------------

    def _begin(self, order: RunAttempt, give_up_at: int) -> None:
        try:
            plan = self._mount.plan(plan_path(order.plan), order.plan)
            read = self._read(plan, order)
        except NotThere as error:
            if self._process.world.now < give_up_at:
                self._call(AGAIN_NS, lambda: self._begin(order, give_up_at))
            else:
                self._unfit(order, error)
            return
        except NasError as error:
            self._unfit(order, error)
            return
        size_ns = int(plan.tasks[order.key.task].size * SECOND / self._process.machine.facts.speed)
        draw = self._process.world.stream(f"duration/{order.key}")
        duration = draw.tailed(size_ns, size_ns * JITTER_PERCENT // 100)
        permille = self._conduct.mishaps_permille
        misdeed = self._conduct.misdeed(self._process.machine.name, order.key.task)
        if not misdeed and draw.chance(permille):
            misdeed = RAISE
        if not misdeed and draw.chance(permille):
            misdeed = CRASH
        if misdeed and misdeed != MUTE:
            self._process.after(duration // 2, lambda: self._misbehave(order, misdeed))
        else:
            commit = lambda: self._commit(order, plan, read, duration, misdeed == MUTE)  # noqa: E731
            self._process.after(duration, lambda: self._call(0, commit))

    def _read(self, plan: Plan, order: RunAttempt) -> list[bytes]:
        winners = {parent.task: parent.attempt for parent in order.parents}
        read = []
        for ref in inputs_of(plan.tasks[order.key.task]):
            path = ref.path
            if ref.task >= 0:
                parent = next(task for task in winners if task == ref.task)
                path = output_path(AttemptKey(order.key.job, parent, winners[parent]), ref.path)
            read.append(self._mount.read(path))
        return read

    def _commit(
        self, order: RunAttempt, plan: Plan, read: list[bytes], duration: int, mute: bool
    ) -> None:
        if self._process.is_orphan and self._process.machine.orphans_wait_ns:
            wait, self._process.machine.orphans_wait_ns = self._process.machine.orphans_wait_ns, 0
            self._process.after(wait, lambda: self._commit(order, plan, read, duration, mute))
            return
        task = plan.tasks[order.key.task]
        try:
            self._mount.commit(order.key, made_by(plan, order.key.task, read))
        except NasError as error:
            self._unfit(order, error)
            return
        if self._process.is_orphan:
            self._log.info("{key} is written by an orphan", event="zombie", key=str(order.key))
        if mute:
            self._process.killed()
            return
        used = {ref.task for ref in inputs_of(task)}
        parents: tuple[Parent, ...] = tuple(each for each in order.parents if each.task in used)
        self._finish(AttemptEnded(order.key, Outcome.DONE, parents, duration / SECOND))

    def _misbehave(self, order: RunAttempt, how: str) -> None:
        process = self._process
        self._log.info("{how}", event="misdeed", task=int(order.key.task), how=how)
        if how == RAISE:
            error = "ValueError: on purpose"
            self._finish(AttemptEnded(order.key, Outcome.FAILED, (), 0.0, error))
        elif how == EXIT:
            process.exit(3)
        elif how == CRASH:
            process.killed()
        elif how in (GARBAGE, FLOOD):
            for _ in range(1 if how == GARBAGE else 16):
                process.say(b"\xff" * FLOOD_BYTES)
        elif how == POISON:
            self._poisoned(process.machine.name)
        else:
            assert how == HANG, how

    def _unfit(self, order: RunAttempt, error: Exception) -> None:
        self._finish(AttemptEnded(order.key, Outcome.UNFIT, (), 0.0, str(error)))

    def _finish(self, ended: AttemptEnded) -> None:
        self._say(ended)
        self._busy = False
        self._next()

    def _say(self, message: object) -> None:
        self._process.say(pack(CHILD.encode(message)))
