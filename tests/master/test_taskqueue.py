"""The queue of ready tasks: fair between jobs, the longest way first inside a job."""

from nanoboost.ids import JobId, TaskId
from nanoboost.master.taskqueue import FIRST, TaskQueue, Waiting

A, B = JobId("a"), JobId("b")


def waiting(job: JobId, task: int, level: float = 0.0, cls: int = 0) -> Waiting:
    return Waiting(job, cls, TaskId(task), level)


def drained(queue: TaskQueue) -> list[tuple[JobId, int]]:
    found = []
    while (each := queue.pop()) is not None:
        found.append((each.job, int(each.task)))
    return found


def test_the_longest_way_to_the_end_goes_first_and_what_was_lost_before_it() -> None:
    queue = TaskQueue()
    queue.open(A, 0)
    for task, level in ((0, 1.0), (1, 3.0), (2, 2.0), (3, FIRST), (4, 3.0)):
        queue.push(waiting(A, task, level, cls=task % 2))
    assert drained(queue) == [(A, 3), (A, 1), (A, 4), (A, 2), (A, 0)]


def test_the_job_that_has_attained_least_goes_first() -> None:
    queue = TaskQueue()
    for job in (A, B):
        queue.open(job, 0)
        for task in range(3):
            queue.push(waiting(job, task))
    found = []
    while (each := queue.pop()) is not None:
        found.append(each.job)
        queue.charge(each.job, 1.0 if each.job == A else 2.0)
    assert found == [A, B, A, A, B, B]


def test_priority_comes_before_fairness() -> None:
    queue = TaskQueue()
    queue.open(A, 0)
    queue.open(B, 5)
    queue.charge(B, 100.0)
    queue.push(waiting(A, 0))
    queue.push(waiting(B, 0))
    assert drained(queue) == [(B, 0), (A, 0)]


def test_a_blocked_pool_does_not_hide_the_others() -> None:
    queue = TaskQueue()
    queue.open(A, 0)
    queue.push(waiting(A, 0, 9.0, cls=0))
    queue.push(waiting(A, 1, 1.0, cls=1))
    assert queue.pop({(A, 0): None}) == waiting(A, 1, 1.0, cls=1)
    assert queue.pop({(A, 0): None}) is None
    assert queue.classes(A) == [0]


def test_what_is_discarded_or_pushed_twice_comes_once_or_not_at_all() -> None:
    queue = TaskQueue()
    queue.open(A, 0)
    queue.push(waiting(A, 0, 1.0))
    queue.push(waiting(A, 0, 1.0))
    queue.push(waiting(A, 1, 1.0))
    queue.push(waiting(A, 1, 5.0))
    queue.push(waiting(A, 2, 1.0))
    queue.discard(A, TaskId(2))
    assert len(queue) == 2
    assert drained(queue) == [(A, 1), (A, 0)]
    assert queue.classes(A) == []


def test_new_levels_change_the_order_but_not_what_goes_in_front() -> None:
    queue = TaskQueue()
    queue.open(A, 0)
    for task, level in ((0, 3.0), (1, 2.0), (2, FIRST), (3, 9.0)):
        queue.push(waiting(A, task, level))
    queue.discard(A, TaskId(3))
    queue.relevel(A, lambda task: float(task))
    assert drained(queue) == [(A, 2), (A, 1), (A, 0)]
