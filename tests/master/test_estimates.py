"""What is learned about classes and machines."""

import math
from random import Random

import pytest

from nanoboost.master.estimates import UNKNOWN_S, Estimates
from nanoboost.master.listener import SPEED_MAX, TIMES_MAX_S
from nanoboost.plan import SIZE_MAX, SIZE_MIN
from tests.master.plans import node

CLS = ("Graph", "Nano")
PC, PI = node(1), node(2)


def taught(pc_says: float, pi_says: float, samples: int, noise: float = 0.1) -> Estimates:
    """A PC of speed 1 and a Pi of speed 0.2 whose benchmarks said something else."""
    rng = Random(7)
    estimates = Estimates()
    estimates.meet(PC, pc_says)
    estimates.meet(PI, pi_says)
    for number in range(samples):
        machine, speed = ((PC, 1.0), (PI, 0.2))[number % 2]
        seconds = 3.0 / speed * math.exp(rng.gauss(0.0, noise))
        estimates.learn(CLS, 0.0, machine, seconds + 2.0, seconds)
    return estimates


def test_an_unknown_class_takes_a_second_and_sizes_tell_the_differences() -> None:
    estimates = Estimates()
    assert estimates.work_s(CLS, 5.0) == UNKNOWN_S
    estimates.expect(CLS, [1.0, 3.0, 0.0])
    assert estimates.work_s(CLS, 0.0) == UNKNOWN_S
    assert estimates.work_s(CLS, 3.0) == pytest.approx(1.5)
    assert not estimates.knows(CLS)


def test_the_scale_of_the_size_is_learned() -> None:
    estimates = Estimates()
    estimates.meet(PC, 1.0)
    estimates.expect(CLS, [100.0, 300.0])
    for size in (100.0, 300.0, 200.0):
        estimates.learn(CLS, size, PC, size / 10, size / 10)
    assert estimates.work_s(CLS, 50.0) == pytest.approx(5.0)
    pace = estimates.pace(CLS)
    assert pace.wait_s + 50.0 * pace.per_size_s == pytest.approx(5.0)
    assert pace.unsized_s == pytest.approx(20.0)


def test_a_second_job_with_other_sizes_keeps_what_was_learned() -> None:
    estimates = Estimates()
    estimates.meet(PC, 1.0)
    estimates.expect(CLS, [100.0])
    estimates.learn(CLS, 100.0, PC, 10.0, 10.0)
    estimates.expect(CLS, [1000.0, 3000.0])
    assert estimates.work_s(CLS, 1000.0) == pytest.approx(100.0)


def test_waiting_is_not_slowness() -> None:
    estimates = taught(1.0, 0.2, 40)
    assert estimates.wait_s(CLS) == pytest.approx(2.0)
    assert estimates.work_s(CLS, 0.0) == pytest.approx(3.0, rel=0.15)


@pytest.mark.parametrize("pi_says", [0.1, 0.2, 0.3])
def test_a_wrong_benchmark_is_corrected(pi_says: float) -> None:
    estimates = taught(1.0, pi_says, 100)
    ratio = estimates.factor(CLS, PI) / estimates.factor(CLS, PC)
    assert ratio == pytest.approx(5.0, rel=0.15)


def test_without_correction_the_ratio_would_stay_wrong() -> None:
    """The control of the test above: two samples correct nothing yet."""
    estimates = taught(1.0, 0.1, 2)
    assert estimates.factor(CLS, PI) / estimates.factor(CLS, PC) == pytest.approx(10.0)


def test_one_wild_sample_does_not_turn_a_machine_into_another() -> None:
    estimates = taught(1.0, 0.2, 60)
    before = estimates.speed(PI)
    estimates.learn(CLS, 0.0, PI, 15_000.0, 15_000.0)
    assert estimates.speed(PI) > before / 1.5


def test_naps_and_nonsense_never_break_it() -> None:
    estimates = Estimates()
    estimates.meet(PC, 1e-9)
    for wall_s, cpu_s in ((0.0, 0.0), (-5.0, 3.0), (1e12, 1e12), (0.2, 0.0)):
        assert estimates.learn(CLS, 0.0, PC, wall_s, cpu_s) > 0
    assert 0 < estimates.work_s(CLS, 1.0) < math.inf
    assert estimates.factor(CLS, PC) > 0


def test_the_oddest_plan_and_the_oddest_agent_that_are_let_in_break_nothing() -> None:
    estimates = Estimates()
    estimates.meet(PC, SPEED_MAX)
    estimates.meet(PI, 1e-300)
    for sizes in ([SIZE_MIN] * 3, [SIZE_MAX] * 3, [SIZE_MIN, SIZE_MAX]):
        estimates.expect(CLS, sizes)
        for size in sizes:
            for machine in (PC, PI):
                estimates.learn(CLS, size, machine, TIMES_MAX_S, TIMES_MAX_S)
                assert math.isfinite(estimates.work_s(CLS, size) * estimates.factor(CLS, machine))
                assert math.isfinite(estimates.pace(CLS).per_size_s * size)
                estimates.learn(CLS, size, machine, 0.0, 0.0)
