"""The plan: topological, digested, there and back, and hostile."""

import random
import struct
from typing import Any

import cbor2
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from nanoboost.errors import RemoteError
from nanoboost.ids import TaskId
from nanoboost.plan import (
    PART_TASKS,
    PLAN_VERSION,
    Family,
    FileRef,
    Plan,
    PlanClass,
    PlanInput,
    PlanOutput,
    PlanTask,
    decode_plan,
    encode_plan,
    plan_digest,
    plan_reading,
)
from nanoboost.wire.packing import Reader, write_block

CUT = PlanClass("Cut", "film", "Cut", ("ffmpeg",), (), 1, 2, 0.0)
MERGE = PlanClass("Merge", "film", "Merge", (), ("ssd",), 2, 0, 60.0)


def task(number: int, *reads: int, after: tuple[int, ...] = (), cls: int = 0) -> PlanTask:
    files = tuple(FileRef(each, f"out/{each}") for each in reads)
    return PlanTask(
        cls=cls,
        ordinal=number,
        params={"crf": 23},
        inputs=(PlanInput("parts", files, many=True),),
        outputs=(PlanOutput("out", (f"out/{number}",), many=False),),
        after=after,
        size=1.0,
    )


def plan(*tasks: PlanTask, results: tuple[int, ...] = (0,)) -> Plan:
    return Plan(PLAN_VERSION, "Film", (CUT, MERGE), tasks, results)


FILM = plan(task(0, -1), task(1, 0), task(2, 0), task(3, 1, 2, 2, after=(0,), cls=1), results=(3,))


# --- structure -----------------------------------------------------------------------------------


def test_parents_are_what_is_read_and_what_is_waited_for() -> None:
    assert [each.parents for each in FILM.tasks] == [(), (0,), (0,), (0, 1, 2)]


def test_the_family_both_ways() -> None:
    family = Family(FILM)
    assert family.parents == ((), (0,), (0,), (0, 1, 2))
    assert family.children == ((1, 2, 3), (3,), (3,), ())


def test_names_and_classes() -> None:
    assert FILM.name(TaskId(2)) == "Cut-0002"
    assert FILM.class_of(TaskId(3)) == MERGE


@pytest.mark.parametrize(
    ("tasks", "complaint"),
    [
        ((), "a plan has 1 to 1000000 tasks, not 0"),
        ((task(0, 0),), "task 0 comes before one of its parents"),
        ((task(0), task(1, 1)), "task 1 comes before one of its parents"),
        ((task(0, 1), task(1)), "task 0 comes before one of its parents"),
        ((task(0), task(1, after=(2,)), task(2)), "task 1 comes before one of its parents"),
        ((task(0), task(1, after=(-1,))), "task 1 comes before one of its parents"),
        ((task(0, 1 << 62),), "task 0 comes before one of its parents"),
        ((task(0, cls=2),), "task 0 is of no known class"),
        ((task(0, cls=-1),), "task 0 is of no known class"),
    ],
)
def test_what_is_no_plan(tasks: tuple[PlanTask, ...], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        plan(*tasks)


@pytest.mark.parametrize("result", [-1, 1, 1 << 40])
def test_results_are_tasks(result: int) -> None:
    with pytest.raises(ValueError, match=f"result {result} of 1 tasks"):
        plan(task(0), results=(result,))


@pytest.mark.parametrize(
    "change", [{"cores": 0}, {"cores": -1}, {"retries": -1}, {"timeout_s": -0.5}], ids=str
)
def test_a_class_that_nothing_could_run(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        evolve(CUT, **change)


def test_a_size_is_not_negative() -> None:
    with pytest.raises(ValueError, match="size"):
        evolve(task(0), size=-1.0)


def test_a_long_chain_is_a_plan() -> None:
    chain = plan(*(task(number, number - 1) for number in range(20_000)))
    assert Family(chain).children[19_998] == (19_999,)


# --- bytes ---------------------------------------------------------------------------------------


def test_there_and_back() -> None:
    data = encode_plan(FILM)
    assert decode_plan(data, plan_digest(data)) == FILM


def test_the_same_plan_gives_the_same_bytes() -> None:
    assert encode_plan(FILM) == encode_plan(evolve(FILM))


@given(st.data())
def test_any_plan_comes_back(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 8))
    tasks = []
    for number in range(count):
        reads = data.draw(st.lists(st.integers(-1, number - 1), max_size=4))
        after = data.draw(st.lists(st.integers(0, number - 1), max_size=2)) if number else []
        tasks.append(task(number, *reads, after=tuple(after)))
    made = plan(*tasks, results=(count - 1,))
    encoded = encode_plan(made)
    assert decode_plan(encoded, plan_digest(encoded)) == made
    family = Family(made)
    for number, parents in enumerate(family.parents):
        assert list(parents) == sorted(set(parents))
        assert all(number in family.children[parent] for parent in parents)


def test_other_bytes_than_the_log_says_are_refused() -> None:
    data = encode_plan(FILM)
    with pytest.raises(RemoteError, match="digest differs"):
        decode_plan(data + b"\0", plan_digest(data))


def test_a_plan_of_another_version_is_refused() -> None:
    data = encode_plan(evolve(FILM, version=PLAN_VERSION + 1))
    with pytest.raises(RemoteError, match="plan of version 2, this is 1"):
        decode_plan(data, plan_digest(data))


def test_a_plan_that_is_no_plan_is_the_makers_fault() -> None:
    """Its digest is right; whoever made it did not use our classes."""
    read = Reader(encode_plan(FILM))
    (_, head), (_, part) = read.block(), read.block()
    fields = cbor2.loads(part)
    fields[1][1][3] = [["parts", [[3, "out/3"]], True]]  # task 1 reads task 3
    data = _file((0, head), (1, cbor2.dumps(fields)))
    with pytest.raises(RemoteError, match="task 1 comes before one of its parents"):
        decode_plan(data, plan_digest(data))


def _file(*blocks: tuple[int, bytes]) -> bytes:
    out = bytearray()
    for form, body in blocks:
        write_block(out, form, body)
    return bytes(out)


def test_the_parts_come_in_their_order() -> None:
    read = Reader(encode_plan(FILM))
    head, part = read.block(), read.block()
    assert read.is_at_end
    for wrong in ((part, head), (part,), (head, head), (), (head,), ((1, head[1]), part)):
        data = _file(*wrong)
        with pytest.raises(RemoteError):
            decode_plan(data, plan_digest(data))
    for cut in range(len(encode_plan(FILM))):
        data = encode_plan(FILM)[:cut]
        with pytest.raises(RemoteError):
            decode_plan(data, plan_digest(data))


def test_a_large_plan_is_read_in_steps() -> None:
    large = plan(*(task(number, number - 1) for number in range(3 * PART_TASKS + 1)))
    data = encode_plan(large)
    assert list(plan_reading(data, plan_digest(data))) == [None] * 4 + [large]


def test_changed_bytes_are_a_plan_or_refused() -> None:
    original, rng = encode_plan(FILM), random.Random(1)
    for _ in range(2000):
        changed = bytearray(original)
        for _ in range(rng.randint(1, 3)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        data = bytes(changed)
        try:
            found = decode_plan(data, plan_digest(data))
        except RemoteError:
            continue
        assert len(Family(found).parents) == len(found.tasks)


@pytest.mark.parametrize("size", [-1.0, 1e-300, 1e300])
def test_a_size_with_which_nothing_can_be_computed_is_refused(size: float) -> None:
    with pytest.raises(ValueError, match="size"):
        evolve(task(0), size=size)
    data = encode_plan(plan(task(0))).replace(
        b"\xfb\x3f\xf0" + bytes(6), b"\xfb" + struct.pack(">d", size)
    )
    with pytest.raises(RemoteError):
        decode_plan(data, plan_digest(data))
