"""Shrinking finds the few faults that matter, and spends few runs on it."""

from hypothesis import given, settings
from hypothesis import strategies as st

from simulations.command.shrink import Shrinking
from simulations.faults import Kill, Plan

PLAN = Plan(tuple(Kill(number, 1, f"n{number}") for number in range(16)))


def shrunk(needed: set[int], plan: Plan = PLAN, runs_max: int = 500) -> tuple[set[int], int]:
    search = Shrinking(lambda each: needed <= {fault.at for fault in each}, runs_max)
    return {fault.at for fault in search.shrink(plan)}, search.runs


def test_one_fault_of_many_is_found_by_halving() -> None:
    left, runs = shrunk({11})
    assert left == {11}
    assert runs <= 12


@given(needed=st.sets(st.integers(0, 15), max_size=6))
@settings(max_examples=60, deadline=None)
def test_exactly_what_is_needed_is_left(needed: set[int]) -> None:
    left, runs = shrunk(needed)
    assert left == needed
    assert runs <= 200


def test_faults_stay_in_their_order() -> None:
    search = Shrinking(lambda plan: len(plan) >= 3)
    left = search.shrink(PLAN)
    assert len(left) == 3
    assert [each.at for each in left] == sorted(each.at for each in left)


def test_a_failure_that_needs_no_fault_shrinks_to_none() -> None:
    assert shrunk(set())[0] == set()


def test_with_its_runs_used_up_it_answers_with_what_it_has() -> None:
    left, runs = shrunk({1, 14}, runs_max=3)
    assert {1, 14} <= left
    assert runs == 3
