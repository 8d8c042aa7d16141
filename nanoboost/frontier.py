"""The frontier: the finished tasks of one job, and which attempt won each.

**A frontier is an element of a join-semilattice and only grows**: `merge` is commutative,
associative and idempotent, so an old, repeated or reordered frontier can never take progress away.
Element by element, undone < done; where two attempts claim a task the smaller one wins; failures
are counted and the larger count stays.

It is encoded whole.  Tasks are numbered topologically and finish nearly in order, so nearly all of
a million tasks hide behind one number, the *watermark* (all below it are done); a bitmap holds the
window above it, in the smallest of four forms; and the winners are runs of the same attempt.
Memory is two bytes and one bit a task, whatever the bytes that were decoded say.
"""

import hashlib
import zlib
from array import array
from collections.abc import Iterator
from itertools import pairwise

from nanoboost.errors import LocalError, RemoteError
from nanoboost.ids import Attempt, TaskId
from nanoboost.wire.packing import (
    LISTED_MAX,
    Reader,
    inflate,
    not_zero,
    pack_bits,
    positions,
    unpack_bits,
    write,
    write_block,
)

VERSION = 1
ATTEMPTS_MAX = (1 << 16) - 1
"""Distinct attempts among the winners of one job: codes are 16 bits, and 0 means undone."""

_CHECK_BYTES = 8

_RUNS, _CODES = range(2)


class Frontier:
    """Which of `tasks` tasks are done, by which attempt, and how often each has failed."""

    __slots__ = (
        "_attempts",
        "_code_of",
        "_codes",
        "_done",
        "_done_count",
        "_failures",
        "_settled",
        "_settled_runs",
        "_top",
        "_watermark",
        "tasks",
    )
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, tasks: int) -> None:
        self.tasks = tasks
        self._attempts: list[Attempt] = []
        self._code_of: dict[Attempt, int] = {}  # code = place in _attempts + 1
        self._codes = array("H", bytes(2 * tasks))  # the winner of each task, 0 while undone
        self._done = bytearray((tasks + 7) // 8)  # bit t of byte t // 8, least significant first
        self._done_count = 0
        self._watermark = 0  # all tasks below are done, this one is not
        self._top = 0  # no task from here on is done
        self._failures: dict[int, int] = {}
        # Winners of the tasks below _settled as runs, kept because winners (nearly) never change.
        self._settled = 0
        self._settled_runs: list[tuple[int, int]] = []

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

    def is_done(self, task: TaskId) -> bool:
        """Whether the task has a winner."""
        return self._codes[task] != 0

    def winner(self, task: TaskId) -> Attempt | None:
        """The attempt that won the task, or None while it is undone."""
        code = self._codes[task]
        return self._attempts[code - 1] if code else None

    def failures(self, task: TaskId) -> int:
        """How often the task has failed."""
        return self._failures.get(task, 0)

    def failed(self) -> dict[TaskId, int]:
        """All tasks that have ever failed, ascending, with how often."""
        return {TaskId(task): self._failures[task] for task in sorted(self._failures)}

    def done(self) -> Iterator[TaskId]:
        """The tasks that are done, ascending."""
        return (TaskId(task) for task in range(self._top) if self._codes[task])

    def undone(self) -> Iterator[TaskId]:
        """The tasks that are not done, ascending."""
        return (
            TaskId(task) for task in range(self._watermark, self.tasks) if not self._codes[task]
        )

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
        runs = [(self._attempts[code - 1], count) for code, count in self._runs()]
        return (self.tasks, bytes(self._done), runs, sorted(self._failures.items()))

    # --- growing ---------------------------------------------------------------------------------

    def finish(self, task: TaskId, attempt: Attempt) -> None:
        """The task is done, won by `attempt`; if it had a winner, that one stays."""
        if not 0 <= task < self.tasks:
            raise LocalError(f"task {task} of {self.tasks}")
        if not self._codes[task]:
            self._win(task, self._code(attempt))

    def fail(self, task: TaskId) -> int:
        """One more failure of the task; return how many that makes."""
        if not 0 <= task < self.tasks:
            raise LocalError(f"task {task} of {self.tasks}")
        count = self._failures[task] = self._failures.get(task, 0) + 1
        return count

    def merge(self, other: "Frontier") -> bool:
        """Become the join of both; return whether that changed anything."""
        if other.tasks != self.tasks:
            raise LocalError(f"frontiers of {self.tasks} and {other.tasks} tasks")
        changed = False
        for task, count in other._failures.items():
            if count > self._failures.get(task, 0):
                self._failures[task] = count
                changed = True
        if not self._done_count:
            self._adopt(other)
            return changed or bool(other._done_count)
        theirs = self._translated(other)
        start = min(self._watermark, other._watermark)
        if self._codes[:start] != theirs[:start]:
            start = 0
        for offset in _differing(self._codes[start : other._top], theirs[start : other._top]):
            code, mine = theirs[start + offset], self._codes[start + offset]
            if code and (not mine or self._attempts[code - 1] < self._attempts[mine - 1]):
                self._win(start + offset, code)
                changed = True
        return changed

    def copy(self) -> "Frontier":
        """An equal frontier that grows on its own."""
        made = Frontier(self.tasks)
        made._adopt(self)
        made._failures = dict(self._failures)
        return made

    def _adopt(self, other: "Frontier") -> None:
        """Take over all of what is done in `other`; nothing is done here yet."""
        self._attempts = list(other._attempts)
        self._code_of = dict(other._code_of)
        self._codes = other._codes[:]
        self._done = other._done[:]
        self._done_count = other._done_count
        self._watermark, self._top = other._watermark, other._top
        self._settled, self._settled_runs = other._settled, list(other._settled_runs)

    def _code(self, attempt: Attempt) -> int:
        code = self._code_of.get(attempt)
        if code is None:
            if len(self._attempts) == ATTEMPTS_MAX:
                raise LocalError(f"more than {ATTEMPTS_MAX} distinct attempts won in one job")
            self._attempts.append(attempt)
            code = self._code_of[attempt] = len(self._attempts)
        return code

    def _translated(self, other: "Frontier") -> "array[int]":
        """The winners of `other` in codes of ours.  Replicas learn attempts in the same order,
        so their codes are nearly always the same already."""
        ours = [0, *(self._code(attempt) for attempt in other._attempts)]
        if ours == list(range(len(ours))):
            return other._codes
        return array("H", map(ours.__getitem__, other._codes))

    def _win(self, task: int, code: int) -> None:
        if self._codes[task]:  # a smaller attempt takes it over
            self._settled, self._settled_runs = 0, []
        else:
            self._done[task >> 3] |= 1 << (task & 7)
            self._done_count += 1
        self._codes[task] = code
        self._top = max(self._top, task + 1)
        while self._watermark < self._top and self._codes[self._watermark]:
            self._watermark += 1

    # --- bytes -----------------------------------------------------------------------------------

    def encode(self) -> bytes:
        """The whole frontier: 50 to 200 bytes for a million tasks that finish nearly in order,
        125 kB at the worst order there is (if one attempt won all)."""
        out = bytearray([VERSION])
        write(out, self.tasks, self._watermark, self._top - self._watermark)
        write_block(out, *pack_bits(self._window(), self._top - self._watermark))
        write(out, len(self._attempts))
        for attempt in self._attempts:
            write(out, attempt.term, attempt.n)
        write_block(out, *self._packed_winners())
        write(out, len(self._failures))
        previous = -1
        for task, count in sorted(self._failures.items()):
            write(out, task - previous - 1, count)
            previous = task
        return bytes(out) + _check(out)

    @classmethod
    def decode(cls, data: bytes, tasks: int) -> "Frontier":
        """The frontier over `tasks` tasks that `data` holds.  Raises `RemoteError` only."""
        if len(data) <= _CHECK_BYTES or _check(data[:-_CHECK_BYTES]) != data[-_CHECK_BYTES:]:
            raise RemoteError("a frontier that is damaged or cut short")
        read = Reader(data[:-_CHECK_BYTES])
        if read.number(255) != VERSION:
            raise RemoteError("a frontier of another version")
        if read.number() != tasks:
            raise RemoteError("a frontier of a job with another number of tasks")
        made = cls(tasks)
        made._read_window(read)
        made._read_winners(read)
        made._read_failures(read)
        if not read.is_at_end:
            raise RemoteError("bytes after the frontier")
        return made

    def _window(self) -> int:
        """The bits from the watermark to the top; bit 0 is the (undone) watermark."""
        low, high = self._watermark >> 3, (self._top + 7) >> 3
        return int.from_bytes(self._done[low:high], "little") >> (self._watermark & 7)

    def _runs(self) -> list[tuple[int, int]]:
        """The winners of the done tasks in order, as (code, how many in a row)."""
        if len(self._attempts) == 1 and self._done_count:
            return [(1, self._done_count)]
        if self._settled < self._watermark:
            grown = _run_lengths(self._codes[self._settled : self._watermark])
            self._settled_runs = _joined(self._settled_runs, grown)
            self._settled = self._watermark
        window = array("H", filter(None, self._codes[self._settled : self._top]))
        return _joined(self._settled_runs, _run_lengths(window))

    def _packed_winners(self) -> tuple[int, bytes]:
        runs = self._runs()
        if len(runs) > LISTED_MAX:
            codes = array("H", filter(None, self._codes))
            return _CODES, zlib.compress(_little_endian(codes).tobytes(), 1)
        out = bytearray()
        for code, count in runs:
            write(out, code, count)
        return _RUNS, bytes(out)

    def _read_window(self, read: Reader) -> None:
        self._watermark = read.number(self.tasks)
        size = read.number(self.tasks - self._watermark)
        window = unpack_bits(*read.block(), size)
        if window.bit_length() != size or window & 1:
            raise RemoteError("a window that is not as wide as it says")
        self._top = self._watermark + size
        done = (window << self._watermark) | ((1 << self._watermark) - 1)
        self._done = bytearray(done.to_bytes(len(self._done), "little"))
        self._done_count = self._watermark + window.bit_count()

    def _read_winners(self, read: Reader) -> None:
        for _ in range(read.number(ATTEMPTS_MAX)):
            attempt = Attempt(read.number(), read.number())
            if attempt in self._code_of:
                raise RemoteError("an attempt that is listed twice")
            self._code(attempt)
        form, body = read.block()
        if form == _RUNS:
            winners = self._winners_from_runs(body)
        elif form == _CODES:
            winners = _little_endian(array("H", inflate(body, 2 * self._done_count)))
            if winners and not 0 < min(winners) <= max(winners) <= len(self._attempts):
                raise RemoteError("a winner that is no attempt")
        else:
            raise RemoteError(f"winners in form {form}")
        if len(winners) != self._done_count:
            raise RemoteError("not as many winners as tasks that are done")
        self._codes[: self._watermark] = winners[: self._watermark]
        above = positions(self._window())
        for offset, code in zip(above, winners[self._watermark :], strict=True):
            self._codes[self._watermark + offset] = code

    def _winners_from_runs(self, body: bytes) -> "array[int]":
        read, winners = Reader(body), array("H")
        while not read.is_at_end:
            code = read.number(len(self._attempts))
            if not code:
                raise RemoteError("a winner that is no attempt")
            count = read.number(self._done_count - len(winners))
            winners.extend(array("H", [code]) * count)
        return winners

    def _read_failures(self, read: Reader) -> None:
        task = -1
        for _ in range(read.number(self.tasks)):
            task += 1 + read.number(self.tasks)
            if task >= self.tasks:
                raise RemoteError("a failure of no task")
            self._failures[task] = read.number()


def _check(data: bytes | bytearray) -> bytes:
    return hashlib.sha256(data).digest()[:_CHECK_BYTES]


def _little_endian(codes: "array[int]") -> "array[int]":
    if array("H", [1]).tobytes() == b"\1\0":
        return codes
    swapped = codes[:]
    swapped.byteswap()
    return swapped


def _differing(left: "array[int]", right: "array[int]") -> Iterator[int]:
    """Where two arrays of one length differ, ascending; found without a loop over what agrees."""
    one, other = left.tobytes(), right.tobytes()
    if one == other:
        return
    xor = int.from_bytes(one, "little") ^ int.from_bytes(other, "little")
    previous = -1
    for place in not_zero(xor.to_bytes(len(one), "little")):
        if place >> 1 != previous:
            previous = place >> 1
            yield previous


def _run_lengths(codes: "array[int]") -> list[tuple[int, int]]:
    """An array as (code, how many in a row)."""
    if not codes:
        return []
    borders = [0, *(place + 1 for place in _differing(codes[:-1], codes[1:])), len(codes)]
    return [(codes[start], end - start) for start, end in pairwise(borders)]


def _joined(left: list[tuple[int, int]], right: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Runs after runs; a run that goes on over the border is one run."""
    if not left or not right or left[-1][0] != right[0][0]:
        return [*left, *right]
    return [*left[:-1], (right[0][0], left[-1][1] + right[0][1]), *right[1:]]
