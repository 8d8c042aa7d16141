"""A model of `nanoboost.agent.child`: the true protocol, a modelled duration, a digest as output.

**Only the user's function is replaced**: frames, catalog, order of words, the files on the NAS and
their manifest are those of the real child.
"""

from collections import deque

from nanoboost.agent.messages import CHILD, AttemptEnded, ChildReady, RunAttempt
from nanoboost.errors import NanoBoostError
from nanoboost.ids import AttemptKey
from nanoboost.nas.layout import output_path, plan_path
from nanoboost.plan import Plan
from nanoboost.wire.frame import FrameReader, pack
from nanoboost.wire.messages import Outcome, Parent
from simulations.kernel.world import MS, SECOND
from simulations.procs.nas import SimNas, inputs_of, made_by
from simulations.procs.process import Process

LOOK_NS = 3 * MS
"""How long it takes to see the NAS and to read what is needed."""
JITTER_PERCENT = 40


class AttemptChild:
    """Runs attempts, one at a time.  A task of size s takes s seconds and up to 40 % more; of 1000
    attempts `mishaps_permille` raise, and as many take their process with them."""

    def __init__(self, process: Process, nas: SimNas, mishaps_permille: int = 0) -> None:
        self._process = process
        self._nas = nas
        self._mishaps_permille = mishaps_permille
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
            self._process.after(LOOK_NS, lambda: self._begin(order))
        elif self._ended:
            self._process.exit()

    def _begin(self, order: RunAttempt) -> None:
        try:
            plan = self._nas.plan(plan_path(order.plan), order.plan)
            read = self._read(plan, order)
        except NanoBoostError as error:
            self._finish(AttemptEnded(order.key, Outcome.UNFIT, (), 0.0, str(error)))
            return
        size_ns = int(plan.tasks[order.key.task].size * SECOND)
        draw = self._process.world.stream(f"duration/{order.key}")
        duration = draw.tailed(size_ns, size_ns * JITTER_PERCENT // 100)
        if draw.chance(self._mishaps_permille):
            failed = AttemptEnded(order.key, Outcome.FAILED, (), 0.0, "ValueError: on purpose")
            self._process.after(duration // 2, lambda: self._finish(failed))
        elif draw.chance(self._mishaps_permille):
            self._process.after(duration // 2, self._process.killed)
        else:
            self._process.after(duration, lambda: self._commit(order, plan, read, duration))

    def _read(self, plan: Plan, order: RunAttempt) -> list[bytes]:
        winners = {parent.task: parent.attempt for parent in order.parents}
        read = []
        for ref in inputs_of(plan.tasks[order.key.task]):
            path = ref.path
            if ref.task >= 0:
                parent = next(task for task in winners if task == ref.task)
                path = output_path(AttemptKey(order.key.job, parent, winners[parent]), ref.path)
            read.append(self._nas.read(path))
        return read

    def _commit(self, order: RunAttempt, plan: Plan, read: list[bytes], duration: int) -> None:
        task = plan.tasks[order.key.task]
        try:
            self._nas.commit(order.key, made_by(plan, order.key.task, read))
        except NanoBoostError as error:
            self._finish(AttemptEnded(order.key, Outcome.UNFIT, (), 0.0, str(error)))
            return
        used = {ref.task for ref in inputs_of(task)}
        parents: tuple[Parent, ...] = tuple(each for each in order.parents if each.task in used)
        self._finish(AttemptEnded(order.key, Outcome.DONE, parents, duration / SECOND))

    def _finish(self, ended: AttemptEnded) -> None:
        self._say(ended)
        self._busy = False
        self._next()

    def _say(self, message: object) -> None:
        self._process.say(pack(CHILD.encode(message)))
