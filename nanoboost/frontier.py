"""The frontier: the finished tasks of one job, and which attempt won each.

**A frontier is an element of a join-semilattice and only grows**: `merge` is commutative,
associative and idempotent, so an old, repeated or reordered frontier can never take progress away.
Element by element, undone < done; where two attempts claim a task the smaller one wins; of failures
it keeps which attempts have failed and from which cause, so that each counts once, however often it
is told, in whatever order and to however many masters.

It is bitmaps over the tasks: one says which are done, and as many *planes* as the number of an
attempt has bits say which attempt won each.  (One attempt won all, in most jobs: no plane.)  A join
is a few operations on integers of a million bits, whatever their shape.

It is encoded whole.  Tasks are numbered topologically and finish nearly in order, so nearly all of
a million tasks hide behind one number, the *watermark* (all below it are done); a bitmap holds the
window above it.  Memory is one bit a task and plane, whatever the bytes that were decoded say.
"""

import enum
import hashlib
from collections.abc import Iterator, Mapping

from nanoboost.errors import LocalError, RemoteError
from nanoboost.ids import Attempt, TaskId
from nanoboost.wire.packing import Reader, pack_bits, positions, unpack_bits, write, write_block

VERSION = 5
_SAME_LAYOUT = 4
"""The version that had all but the last cause."""
_FACTS_OF_FAILURES = {2: 1, 3: 4}
"""Earlier versions told so many numbers of a task's failures, and not whose they were.  What is
done in them is read still, and the failures are forgiven."""
ATTEMPTS_MAX = (1 << 16) - 1
"""Distinct attempts among the winners of one job: at most 16 planes."""

_CHECK_BYTES = 8


class Cause(enum.IntEnum):
    """What an attempt failed of.  The later, the less the task need be why; of two that are told of
    one attempt the later counts.  (A machine that goes down ends its processes first.)"""

    FAILED = 0
    CRASHED = 1
    """Its process died of a signal."""
    LOST = 2
    """Its node died."""


Failures = Mapping[Attempt, Cause]
"""The attempts of one task that have failed."""


def _join(one: Failures, other: Failures) -> Failures:
    return {
        **one,
        **{attempt: max(cause, one.get(attempt, cause)) for attempt, cause in other.items()},
    }


class Frontier:
    """Which of `tasks` tasks are done, by which attempt, and how often each has failed."""

    __slots__ = (
        "_attempts",
        "_code_of",
        "_done",
        "_done_count",
        "_failures",
        "_planes",
        "_watermark",
        "tasks",
    )
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, tasks: int) -> None:
        self.tasks = tasks
        self._attempts: list[Attempt] = []
        self._code_of: dict[Attempt, int] = {}  # code = place in _attempts
        self._done = self._bitmap()
        self._planes: list[bytearray] = []  # plane p has bit p of the code of each done task
        self._done_count = 0
        self._watermark = 0  # all tasks below are done, this one is not
        self._failures: dict[int, Failures] = {}

    @classmethod
    def empty(cls, tasks: int) -> "Frontier":
        """Nothing is done."""
        return cls(tasks)

    # --- reading ---------------------------------------------------------------------------------

    @property
    def done_count(self) -> int:
        """How many tasks are done."""
        return self._done_count

    @property
    def watermark(self) -> int:
        """The first task that is not done; `tasks` when all are."""
        return self._watermark

    @property
    def attempts(self) -> int:
        """How many distinct attempts are among the winners."""
        return len(self._attempts)

    def is_done(self, task: TaskId) -> bool:
        """Whether the task has a winner."""
        return bool(self._done[task >> 3] >> (task & 7) & 1)

    def winner(self, task: TaskId) -> Attempt | None:
        """The attempt that won the task, or None while it is undone."""
        if not self.is_done(task):
            return None
        byte, bit = task >> 3, task & 7
        code = sum((plane[byte] >> bit & 1) << p for p, plane in enumerate(self._planes))
        return self._attempts[code]

    def failures(self, task: TaskId, cause: Cause = Cause.LOST) -> int:
        """How often the task has failed of `cause` or of one before it."""
        return sum(each <= cause for each in self._failures.get(task, {}).values())

    def failed(self) -> dict[TaskId, int]:
        """All tasks that have ever failed, ascending, with how often."""
        return {TaskId(task): self.failures(TaskId(task)) for task in sorted(self._failures)}

    def done(self) -> Iterator[TaskId]:
        """The tasks that are done, ascending."""
        return map(TaskId, positions(_integer(self._done)))

    def undone(self) -> Iterator[TaskId]:
        """The tasks that are not done, ascending."""
        return map(TaskId, positions(_integer(self._done) ^ _ones(self.tasks)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Frontier):
            return NotImplemented
        return self._canonical() == other._canonical()

    def __repr__(self) -> str:
        return f"<Frontier {self._done_count} of {self.tasks} done, watermark {self._watermark}>"

    def digest(self) -> bytes:
        """A SHA-256 of the value: equal frontiers have equal digests on every machine.  (Encoded
        bytes may differ, with the order of merges and with the version of zlib.)"""
        return hashlib.sha256(repr(self._canonical()).encode()).digest()

    def _canonical(self) -> tuple[object, ...]:
        won = [(attempt, self._won_by(code)) for attempt, code in self._code_of.items()]
        winners = sorted((attempt, hex(tasks)) for attempt, tasks in won if tasks)
        failed = [
            (task, sorted(failures.items())) for task, failures in sorted(self._failures.items())
        ]
        return (self.tasks, winners, failed)

    # --- growing ---------------------------------------------------------------------------------

    def finish(self, task: TaskId, attempt: Attempt) -> None:
        """The task is done, won by `attempt`; if it had a winner, that one stays."""
        if not 0 <= task < self.tasks:
            raise LocalError(f"task {task} of {self.tasks}")
        if self.is_done(task):
            return
        self._win(task, self._code(attempt))
        self._done[task >> 3] |= 1 << (task & 7)
        self._done_count += 1
        while self._watermark < self.tasks and self.is_done(TaskId(self._watermark)):
            self._watermark += 1

    def fail(self, task: TaskId, attempt: Attempt, cause: Cause = Cause.FAILED) -> int:
        """The attempt has failed; return how many of the task have, of that cause or before it."""
        if not 0 <= task < self.tasks:
            raise LocalError(f"task {task} of {self.tasks}")
        self._failures[task] = _join(self._failures.get(task, {}), {attempt: cause})
        return self.failures(task, cause)

    def merge(self, other: "Frontier") -> bool:
        """Become the join of both; return whether that changed anything."""
        if other.tasks != self.tasks:
            raise LocalError(f"frontiers of {self.tasks} and {other.tasks} tasks")
        changed = False
        for task, told in other._failures.items():
            known = self._failures.get(task, {})
            joined = _join(known, told)
            if joined != known:
                self._failures[task] = joined
                changed = True
        done, theirs = _integer(self._done), _integer(other._done)
        planes = self._translated(other)
        for task in positions(self._disputed(planes) & done & theirs):
            claimed, kept = other.winner(TaskId(task)), self.winner(TaskId(task))
            if claimed and kept and claimed < kept:
                self._win(task, self._code(claimed))
                changed = True
        new = theirs ^ (theirs & done)
        if new:
            for plane, bits in zip(self._planes, planes, strict=True):
                if bits & new:
                    plane[:] = self._bitmap(_integer(plane) | bits & new)
            self._set_done(done | new)
        return changed or bool(new)

    def copy(self) -> "Frontier":
        """An equal frontier that grows on its own."""
        made = Frontier(self.tasks)
        made._attempts, made._code_of = list(self._attempts), dict(self._code_of)
        made._done, made._planes = self._done[:], [plane[:] for plane in self._planes]
        made._done_count, made._watermark = self._done_count, self._watermark
        made._failures = dict(self._failures)
        return made

    def _bitmap(self, bits: int = 0) -> bytearray:
        return bytearray(bits.to_bytes((self.tasks + 7) // 8, "little"))

    def _code(self, attempt: Attempt) -> int:
        code = self._code_of.get(attempt)
        if code is None:
            if len(self._attempts) == ATTEMPTS_MAX:
                raise LocalError(f"more than {ATTEMPTS_MAX} distinct attempts won in one job")
            code = self._code_of[attempt] = len(self._attempts)
            self._attempts.append(attempt)
            if code.bit_length() > len(self._planes):
                self._planes.append(self._bitmap())
        return code

    def _win(self, task: int, code: int) -> None:
        byte, bit = task >> 3, 1 << (task & 7)
        for number, plane in enumerate(self._planes):
            if code >> number & 1:
                plane[byte] |= bit
            else:
                plane[byte] &= ~bit

    def _won_by(self, code: int) -> int:
        """The tasks that the attempt of this code won."""
        won = _integer(self._done)
        for number, plane in enumerate(self._planes):
            ours = won & _integer(plane)
            won = ours if code >> number & 1 else won ^ ours
        return won

    def _translated(self, other: "Frontier") -> list[int]:
        """The planes of `other` in codes of ours, as many as ours.  Replicas learn attempts in the
        same order, so their codes are nearly always the same already."""
        codes = [self._code(attempt) for attempt in other._attempts]
        if codes == list(range(len(codes))):
            planes = [_integer(plane) for plane in other._planes]
            return [*planes, *[0] * (len(self._planes) - len(planes))]
        planes = [0] * len(self._planes)
        for theirs, ours in enumerate(codes):
            won = other._won_by(theirs) if ours else 0
            for number in positions(ours):
                planes[number] |= won
        return planes

    def _disputed(self, planes: list[int]) -> int:
        """Where the winners of done tasks differ from these."""
        differing = 0
        for mine, theirs in zip(self._planes, planes, strict=True):
            differing |= _integer(mine) ^ theirs
        return differing

    def _set_done(self, done: int) -> None:
        self._done = self._bitmap(done)
        self._done_count = done.bit_count()
        self._watermark = _trailing_ones(done)

    # --- bytes -----------------------------------------------------------------------------------

    def encode(self) -> bytes:
        """The whole frontier: 50 to 200 bytes for a million tasks that finish nearly in order,
        125 kB at the worst order there is, and as much again for each plane."""
        done = _integer(self._done)
        window = done >> self._watermark
        out = bytearray([VERSION])
        write(out, self.tasks, self._watermark, window.bit_length())
        write_block(out, *pack_bits(window, window.bit_length()))
        write(out, len(self._attempts))
        for attempt in self._attempts:
            write(out, attempt.term, attempt.n)
        top = done.bit_length()
        for plane in reversed(self._planes):
            # What is said about undone tasks is ignored: say what makes the fewest borders.
            bits = _filled(_integer(plane), done ^ _ones(top))
            write_block(out, *pack_bits(bits, top))
        write(out, len(self._failures))
        previous = -1
        for task, failures in sorted(self._failures.items()):
            write(out, task - previous - 1, len(failures) - 1)
            for attempt, cause in sorted(failures.items()):
                write(out, attempt.term, attempt.n, cause)
            previous = task
        return bytes(out) + _check(out)

    @classmethod
    def decode(cls, data: bytes, tasks: int) -> "Frontier":
        """The frontier over `tasks` tasks that `data` holds.  Raises `RemoteError` only."""
        if len(data) <= _CHECK_BYTES or _check(data[:-_CHECK_BYTES]) != data[-_CHECK_BYTES:]:
            raise RemoteError("a frontier that is damaged or cut short")
        read = Reader(data[:-_CHECK_BYTES])
        version = read.number(255)
        if version not in (VERSION, _SAME_LAYOUT, *_FACTS_OF_FAILURES):
            raise RemoteError("a frontier of another version")
        if read.number() != tasks:
            raise RemoteError("a frontier of a job with another number of tasks")
        made = cls(tasks)
        made._read_window(read)
        made._read_winners(read)
        made._read_failures(read, version)
        if not read.is_at_end:
            raise RemoteError("bytes after the frontier")
        return made

    def _read_window(self, read: Reader) -> None:
        watermark = read.number(self.tasks)
        size = read.number(self.tasks - watermark)
        window = unpack_bits(*read.block(), size)
        if window.bit_length() != size or window & 1:
            raise RemoteError("a window that is not as wide as it says")
        self._set_done(window << watermark | _ones(watermark))

    def _read_winners(self, read: Reader) -> None:
        for _ in range(read.number(ATTEMPTS_MAX)):
            attempt = Attempt(read.number(), read.number())
            if attempt in self._code_of:
                raise RemoteError("an attempt that is listed twice")
            self._code(attempt)
        done = _integer(self._done)
        largest = len(self._attempts) - 1
        if done and largest < 0:
            raise RemoteError("winners that are no attempts")
        beyond, equal = 0, done  # the codes of these are larger than the largest; so far like it
        for number in reversed(range(len(self._planes))):
            bits = unpack_bits(*read.block(), done.bit_length()) & done
            self._planes[number] = self._bitmap(bits)
            if largest >> number & 1:
                equal &= bits
            else:
                beyond |= equal & bits
                equal ^= equal & bits
        if beyond:
            raise RemoteError("a winner that is no attempt")

    def _read_failures(self, read: Reader, version: int) -> None:
        task = -1
        for _ in range(read.number(self.tasks)):
            task += 1 + read.number(self.tasks)
            if task >= self.tasks:
                raise RemoteError("a failure of no task")
            if version in _FACTS_OF_FAILURES:
                for _ in range(_FACTS_OF_FAILURES[version]):
                    read.number()
            else:
                self._failures[task] = _read_failures_of_one(read)


def _read_failures_of_one(read: Reader) -> Failures:
    made = dict[Attempt, Cause]()
    for _ in range(1 + read.number()):
        attempt = Attempt(read.number(), read.number())
        made[attempt] = Cause(read.number(max(Cause)))
    return made


def _check(data: bytes | bytearray) -> bytes:
    return hashlib.sha256(data).digest()[:_CHECK_BYTES]


def _integer(bitmap: bytearray) -> int:
    return int.from_bytes(bitmap, "little")


def _ones(count: int) -> int:
    return (1 << count) - 1


def _trailing_ones(bits: int) -> int:
    return ((bits + 1) & ~bits).bit_length() - 1


def _filled(bits: int, gaps: int) -> int:
    """`bits` with each gap filled with the bit below it, by doubling (Kogge and Stone, 1973)."""
    shift = 1
    while gaps:
        bits |= bits << shift & gaps
        gaps &= gaps << shift
        shift *= 2
    return bits
