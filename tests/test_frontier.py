"""The frontier: a join-semilattice, small bytes, and no harm from hostile ones."""

import hashlib
import random
import tracemalloc

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nanoboost.errors import LocalError, RemoteError
from nanoboost.frontier import Cause, Frontier
from nanoboost.ids import Attempt, TaskId
from nanoboost.wire.packing import write, write_block

TASKS = 40
MILLION = 1_000_000
FIRST = Attempt(1, 1)

attempts = st.builds(Attempt, st.integers(1, 4), st.integers(1, 3))
tasks = st.integers(0, TASKS - 1).map(TaskId)
causes = st.sampled_from(Cause)


@st.composite
def frontiers(draw: st.DrawFn) -> Frontier:
    made = Frontier.empty(TASKS)
    for task in range(draw(st.integers(0, TASKS))):
        made.finish(TaskId(task), FIRST)
    for task, attempt in draw(st.lists(st.tuples(tasks, attempts), max_size=30)):
        made.finish(task, attempt)
    for task, attempt, cause in draw(st.lists(st.tuples(tasks, attempts, causes))):
        made.fail(task, attempt, cause)
    return made


def join(*parts: Frontier) -> Frontier:
    made = Frontier.empty(parts[0].tasks)
    for part in parts:
        made.merge(part)
    return made


@given(frontiers(), frontiers())
def test_merging_is_commutative(a: Frontier, b: Frontier) -> None:
    one, other = a.copy(), b.copy()
    one.merge(b)
    other.merge(a)
    assert one == other
    assert one.digest() == other.digest()


@given(frontiers(), frontiers(), frontiers())
def test_merging_is_associative(a: Frontier, b: Frontier, c: Frontier) -> None:
    assert join(join(a, b), c) == join(a, join(b, c))


@given(frontiers(), frontiers())
def test_merging_again_changes_nothing(a: Frontier, b: Frontier) -> None:
    merged = join(a, b)
    assert not merged.merge(a)
    assert not merged.merge(b)
    assert not merged.merge(merged)


@given(frontiers(), frontiers())
def test_merging_only_adds(a: Frontier, b: Frontier) -> None:
    merged = join(a, b)
    assert list(merged.done()) == sorted({*a.done(), *b.done()})
    for task in map(TaskId, range(TASKS)):
        winners = [each for each in (a.winner(task), b.winner(task)) if each is not None]
        assert merged.winner(task) == min(winners, default=None)
        assert merged.failures(task) >= max(a.failures(task), b.failures(task))
        for cause in Cause:
            assert merged.failures(task, cause) <= a.failures(task, cause) + b.failures(task, cause)


@given(frontiers(), frontiers())
def test_merge_says_whether_it_changed_anything(a: Frontier, b: Frontier) -> None:
    before = a.copy()
    assert a.merge(b) == (a != before)


@given(frontiers())
def test_what_is_encoded_comes_back(a: Frontier) -> None:
    data = a.encode()
    back = Frontier.decode(data, TASKS)
    assert back == a
    assert back.encode() == data


@given(frontiers(), st.lists(st.tuples(tasks, attempts), max_size=10))
def test_a_decoded_frontier_grows_like_the_original(
    a: Frontier, more: list[tuple[TaskId, Attempt]]
) -> None:
    back = Frontier.decode(a.encode(), TASKS)
    for task, attempt in more:
        a.finish(task, attempt)
        back.finish(task, attempt)
    assert back == a
    assert Frontier.decode(back.encode(), TASKS) == a


@given(frontiers())
def test_counts_and_iteration_agree(a: Frontier) -> None:
    done, undone = list(a.done()), list(a.undone())
    assert len(done) == a.done_count
    assert sorted(done + undone) == list(range(TASKS))
    assert a.watermark == (undone[0] if undone else TASKS)
    assert all(a.is_done(task) for task in done)
    assert not any(a.is_done(task) for task in undone)


def test_the_first_winner_stays() -> None:
    frontier = Frontier.empty(3)
    frontier.finish(TaskId(1), Attempt(2, 1))
    frontier.finish(TaskId(1), Attempt(1, 1))
    assert frontier.winner(TaskId(1)) == Attempt(2, 1)


def test_failures_are_counted_and_listed_in_order() -> None:
    frontier = Frontier.empty(5)
    failed = [frontier.fail(TaskId(task), Attempt(1, n)) for n, task in enumerate((4, 2, 4), 1)]
    assert failed == [1, 1, 2]
    assert list(frontier.failed().items()) == [(2, 1), (4, 2)]


@given(st.lists(st.tuples(attempts, causes), min_size=1), st.data())
def test_an_attempt_fails_once_however_often_and_in_whatever_order_it_is_told(
    told: list[tuple[Attempt, Cause]], data: st.DataObject
) -> None:
    """By its agent to one master after the other, who merge what each has heard."""
    masters = [Frontier.empty(5), Frontier.empty(5)]
    for attempt, cause in told:
        master = masters[data.draw(st.integers(0, 1))]
        failed = master.fail(TaskId(1), attempt, cause)
        assert failed == master.failures(TaskId(1), cause)
    merged = Frontier.decode(join(*masters).encode(), 5)
    last = {attempt: max(cause for each, cause in told if each == attempt) for attempt, _ in told}
    for cause in Cause:
        assert merged.failures(TaskId(1), cause) == sum(each <= cause for each in last.values())


def test_a_failure_that_is_told_after_later_ones_counts() -> None:
    frontier = Frontier.empty(5)
    counts = [frontier.fail(TaskId(1), Attempt(3, n)) for n in (6, 4, 5, 4)]
    assert counts == [1, 2, 3, 3]


def test_causes_are_counted_apart() -> None:
    frontier = Frontier.empty(5)
    causes = (Cause.CRASHED, Cause.FAILED, Cause.LOST, Cause.LOST)
    counts = [frontier.fail(TaskId(1), Attempt(1, n), cause) for n, cause in enumerate(causes)]
    assert counts == [1, 1, 3, 4]
    frontier = Frontier.decode(frontier.encode(), 5)
    assert [frontier.failures(TaskId(1), cause) for cause in Cause] == [1, 2, 4]


def test_a_copy_grows_on_its_own() -> None:
    frontier = Frontier.empty(3)
    copy = frontier.copy()
    copy.finish(TaskId(0), FIRST)
    copy.fail(TaskId(1), FIRST)
    assert frontier == Frontier.empty(3)


@pytest.mark.parametrize("task", [-1, 3])
def test_a_task_out_of_range_is_our_own_fault(task: int) -> None:
    with pytest.raises(LocalError):
        Frontier.empty(3).finish(TaskId(task), FIRST)
    with pytest.raises(LocalError):
        Frontier.empty(3).fail(TaskId(task), FIRST)


def test_frontiers_of_different_jobs_do_not_merge() -> None:
    with pytest.raises(LocalError):
        Frontier.empty(3).merge(Frontier.empty(4))


# --- size ----------------------------------------------------------------------------------------


def test_a_million_tasks_nearly_in_order_take_less_than_a_kilobyte() -> None:
    rng = random.Random(1)
    frontier = Frontier.empty(MILLION)
    for task in range(200_000):
        frontier.finish(TaskId(task), FIRST)
    for task in rng.sample(range(200_000, 205_000), 2500):
        frontier.finish(TaskId(task), Attempt(2, 1))
    for task in (7, 199_000):
        frontier.fail(TaskId(task), FIRST)
    data = frontier.encode()
    assert len(data) < 1000
    assert Frontier.decode(data, MILLION) == frontier

    in_order = Frontier.empty(MILLION)
    for task in range(200_000):
        in_order.finish(TaskId(task), FIRST)
    for task in rng.sample(range(200_000, 201_500), 700):
        in_order.finish(TaskId(task), FIRST)
    assert len(in_order.encode()) < 300


def test_the_worst_order_takes_one_bit_a_task() -> None:
    rng = random.Random(1)
    frontier = Frontier.empty(MILLION)
    for task in rng.sample(range(MILLION), 300_000):
        frontier.finish(TaskId(task), FIRST)
    data = frontier.encode()
    assert len(data) <= MILLION // 8 + 64
    assert Frontier.decode(data, MILLION) == frontier


def test_a_few_stragglers_among_a_million_cost_a_few_bytes_each() -> None:
    frontier = Frontier.empty(MILLION)
    for task in range(MILLION):
        if task % 20_000:
            frontier.finish(TaskId(task), FIRST)
    assert len(frontier.encode()) < 250


def test_winners_mixed_task_by_task_still_come_back() -> None:
    frontier = Frontier.empty(50_000)
    for task in range(50_000):
        frontier.finish(TaskId(task), Attempt(1 + task % 2, 1))
    data = frontier.encode()
    assert len(data) < 2000
    assert Frontier.decode(data, 50_000) == frontier


def test_many_attempts_take_a_plane_for_each_bit_of_their_number() -> None:
    rng = random.Random(1)
    frontier, other = Frontier.empty(20_000), Frontier.empty(20_000)
    for task in range(10_000):
        frontier.finish(TaskId(task), Attempt(rng.randrange(1, 200), 1))
        other.finish(TaskId(10_000 + task), Attempt(rng.randrange(1, 200), 1))
    data = frontier.encode()
    assert len(data) < 10_000 // 8 * 8 + 1000
    assert Frontier.decode(data, 20_000) == frontier
    before = {task: other.winner(task) for task in other.done()}
    frontier.merge(other)  # which numbers its attempts otherwise
    assert frontier.watermark == 20_000
    assert {task: frontier.winner(task) for task in before} == before


# --- hostile bytes -------------------------------------------------------------------------------


def signed(body: bytes) -> bytes:
    """Hostile bytes with a correct check digest, as a hostile peer would send."""
    return body + hashlib.sha256(body).digest()[:8]


@given(st.binary(max_size=200), st.integers(0, 100))
@example(b"", 0)
@example(b"\x04\x00\x00\x00\x01\x00\x00\x00\x00", 0)
def test_arbitrary_bytes_are_refused_or_are_a_frontier(data: bytes, size: int) -> None:
    versions = [signed(bytes([version, size, *data])) for version in (2, 3, 4)]
    for hostile in (data, signed(data), *versions):
        try:
            made = Frontier.decode(hostile, size)
        except RemoteError:
            continue
        assert Frontier.decode(made.encode(), size) == made


@given(frontiers(), st.data())
def test_a_changed_byte_is_refused_or_gives_a_sound_frontier(
    a: Frontier, data: st.DataObject
) -> None:
    body = bytearray(a.encode()[:-8])
    body[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(RemoteError):
        Frontier.decode(bytes(body) + a.encode()[-8:], TASKS)
    try:
        made = Frontier.decode(signed(bytes(body)), TASKS)
    except RemoteError:
        return
    assert len(list(made.done())) == made.done_count
    assert Frontier.decode(made.encode(), TASKS) == made


def test_a_frontier_of_another_job_is_refused() -> None:
    with pytest.raises(RemoteError):
        Frontier.decode(Frontier.empty(4).encode(), 5)


def hostile(
    *numbers: int, form: int = 0, body: bytes = b"", rest: bytes = b"", version: int = 4
) -> bytes:
    out = bytearray([version])
    write(out, *numbers)
    write_block(out, form, body)
    return signed(bytes(out) + rest)


def test_a_bomb_is_refused_within_bounded_memory() -> None:
    import zlib

    bomb = zlib.compress(bytes(200_000_000), 9)
    tracemalloc.start()
    with pytest.raises(RemoteError):
        Frontier.decode(hostile(1000, 0, 999, form=1, body=bomb), 1000)
    assert tracemalloc.get_traced_memory()[1] < 4_000_000
    tracemalloc.stop()


THREE = b"\x03\x01\x01\x01\x02\x01\x03"  # attempts (1, 1), (1, 2) and (1, 3)


@pytest.mark.parametrize(
    "data",
    [
        hostile(8, 9, 0),  # a watermark above the tasks
        hostile(8, 4, 5, body=b"\x10"),  # a window above the tasks
        hostile(8, 0, 4, body=b"\x09"),  # the watermark itself is done
        hostile(8, 0, 5, body=b"\x0a"),  # narrower than it says
        hostile(8, 0, 4, form=7, body=b"\x08"),
        hostile(8, 2, 0, rest=b"\x00\x00"),  # winners, but no attempt
        hostile(8, 2, 0, rest=THREE + b"\x00\x01\x03\x00\x01\x02\x00"),  # the fourth of three
        hostile(8, 2, 0, rest=THREE + b"\x00\x01\x03\x00"),  # a plane is missing
        hostile(8, 2, 0, rest=b"\x02\x01\x01\x01\x01\x00\x01\x00\x00"),  # listed twice
        hostile(8, 0, 0, rest=b"\x00\x01\x08\x00\x01\x02\x00"),  # a failure of no task
        hostile(8, 0, 0, rest=b"\x00\x01\x07\x01\x01\x02\x00"),  # two attempts, and one is told
        hostile(8, 0, 0, rest=b"\x00\x01\x07\x00\x01\x02\x03"),  # a cause that there is not
        hostile(8, 0, 0, rest=b"\x00\x00", version=6),
        hostile(8, 0, 0, rest=b"\x00\x00\x00"),  # one byte too many
    ],
)
def test_each_impossible_frontier_is_refused(data: bytes) -> None:
    with pytest.raises(RemoteError):
        Frontier.decode(data, 8)


def test_the_hostile_frame_is_otherwise_sound() -> None:
    """Control: the frames above fail for what is wrong in them, and for nothing else."""
    made = Frontier.decode(hostile(8, 0, 0, rest=b"\x00\x00"), 8)
    assert list(made.done()) == []
    good = hostile(
        8, 2, 0, rest=THREE + b"\x00\x01\x02\x00\x01\x01\x01\x07\x01\x01\x01\x00\x01\x02\x01"
    )
    made = Frontier.decode(good, 8)
    assert list(made.done()) == [0, 1]
    assert [made.winner(TaskId(task)) for task in (0, 1)] == [Attempt(1, 2), Attempt(1, 3)]
    assert (made.failures(TaskId(7)), made.failures(TaskId(7), Cause.FAILED)) == (2, 1)


def test_a_frontier_that_knew_two_causes_is_read_as_it_is() -> None:
    rest = b"\x00\x01\x07\x01\x01\x01\x00\x01\x02\x01"
    made = Frontier.decode(hostile(8, 0, 0, rest=rest, version=4), 8)
    assert (made.failures(TaskId(7)), made.failures(TaskId(7), Cause.FAILED)) == (2, 1)


@pytest.mark.parametrize(("version", "facts"), [(2, b"\x02"), (3, b"\x02\x01\x01\x02")])
def test_a_frontier_of_before_is_read_still(version: int, facts: bytes) -> None:
    """It does not say which attempts have failed: they are forgiven."""
    rest = THREE + b"\x00\x01\x02\x00\x01\x01\x02\x06" + facts + b"\x00" + facts
    made = Frontier.decode(hostile(8, 2, 0, rest=rest, version=version), 8)
    assert list(made.done()) == [0, 1]
    assert made.fail(TaskId(7), FIRST) == 1
