"""`kill -9` before each single step of all that writes to the NAS: nothing torn is believed.

A forked process counts its own system calls and kills itself at the chosen one, a `write` after
half of its bytes.  So every point is tried, and every run tries the same ones.
"""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nanoboost.errors import NasError, UserError
from nanoboost.ids import Attempt, AttemptKey, JobId, TaskId
from nanoboost.nas.attempts import OpenAttempt, input_path
from nanoboost.nas.files import claim, deposit, fetch, inspect
from nanoboost.nas.layout import attempt_dir, plan_path
from nanoboost.nas.messages import Published
from nanoboost.nas.publish import clean, publish
from nanoboost.nas.walk import sha256_of, write_new

pytestmark = pytest.mark.slow

CLUSTER = "0123456789abcdef"
JOB = JobId("film-1a2b3c4d")
OUTPUTS = {"films/done.mkv": b"film" * 1000, "log.txt": b""}
STEPS = ("open", "write", "fsync", "mkdir", "rename", "link", "unlink", "rmdir", "close")
STEPS_MAX = 400


def key(number: int, job: JobId = JOB) -> AttemptKey:
    return AttemptKey(job, TaskId(3), Attempt(1, number))


def killed_at(step: int, work: Callable[[], Any], *, without_links: bool = False) -> bool:
    """Run `work` in a process that dies before its `step`-th step; False if it got to its end."""
    child = os.fork()
    if not child:
        status = 1
        with contextlib.suppress(BaseException):
            _count_down(step, without_links)
            work()
            status = 0
        os._exit(status)
    _, how = os.waitpid(child, 0)
    if os.WIFSIGNALED(how):
        assert os.WTERMSIG(how) == signal.SIGKILL
        return True
    assert os.waitstatus_to_exitcode(how) == 0, "the work failed by itself"
    return False


def _count_down(step: int, without_links: bool) -> None:
    left = step

    def dying(call: Callable[..., Any], *, halve: bool) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                if halve:
                    fd, data = arguments
                    call(fd, bytes(data)[: len(data) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **named)

        return counted

    def no_links(*_arguments: Any, **_named: Any) -> None:
        raise PermissionError(1, "no hard links here")

    for name in STEPS:
        setattr(os, name, dying(getattr(os, name), halve=name == "write"))
    if without_links:
        os.link = no_links


def every_step(
    work: Callable[[], Any], *, without_links: bool = False, fresh: Callable[[], Any]
) -> Iterator[int]:
    """Kill `work` at each of its steps in turn, each time after `fresh`; the caller looks."""
    for step in range(STEPS_MAX):
        fresh()
        alive = not killed_at(step, work, without_links=without_links)
        yield step
        if alive:
            assert step > 2, "it did something"
            return
    raise AssertionError("there was no end of it")


def make_attempt(nas: str, made: AttemptKey) -> None:
    attempt = OpenAttempt(nas, made)
    for path, data in OUTPUTS.items():
        attempt.output(path).write_bytes(data)
    attempt.commit([*OUTPUTS])


def test_control_a_file_that_is_written_in_place_is_seen_torn(nas: str) -> None:
    path = Path(nas, "in-place")
    seen = [
        path.stat().st_size if path.exists() else None
        for _ in every_step(
            lambda: write_new(str(path), b"film" * 1000), fresh=lambda: path.unlink(missing_ok=True)
        )
    ]
    assert [*dict.fromkeys(seen)] == [None, 2000, 4000]


def test_an_attempt_is_whole_or_has_no_name(nas: str) -> None:
    number, whole = 0, []

    def begin() -> None:
        nonlocal number
        number += 1

    for _ in every_step(lambda: make_attempt(nas, key(number)), fresh=begin):
        is_there = Path(nas, attempt_dir(key(number))).exists()
        whole.append(is_there)
        for path, data in OUTPUTS.items():
            if is_there:
                assert input_path(nas, key(number), path, 0.0).read_bytes() == data
            else:
                with pytest.raises(NasError):
                    input_path(nas, key(number), path, 0.0)
    assert whole == sorted(whole), "from one step on it is there"
    assert {*whole} == {False, True}


def test_a_deposit_is_whole_or_not_there_and_can_be_repeated(nas: str) -> None:
    data = bytes(range(256)) * 40
    digest = sha256_of(data)
    path = plan_path(digest)
    for _ in every_step(
        lambda: deposit(nas, path, data), fresh=lambda: Path(nas, path).unlink(missing_ok=True)
    ):
        with contextlib.suppress(NasError):
            assert fetch(nas, path, digest, 0.0) == data
        assert not Path(nas, path).exists() or Path(nas, path).read_bytes() == data
        deposit(nas, path, data)
        assert fetch(nas, path, digest, 0.0) == data


@pytest.mark.parametrize("without_links", [False, True])
def test_a_claim_can_be_repeated(tmp_path: Path, without_links: bool) -> None:
    number = 0

    def begin() -> None:
        nonlocal number
        number += 1
        (tmp_path / str(number)).mkdir()

    def work() -> None:
        claim(str(tmp_path / str(number)), CLUSTER)

    for _ in every_step(work, without_links=without_links, fresh=begin):
        assert "damaged" not in inspect(str(tmp_path / str(number)), CLUSTER)
        work()
        assert inspect(str(tmp_path / str(number)), CLUSTER) == ""
        with pytest.raises(UserError):
            claim(str(tmp_path / str(number)), "f" * 16)


@pytest.mark.parametrize("without_links", [False, True])
def test_a_name_shows_the_old_or_the_new_result_and_publishing_can_be_repeated(
    nas: str, without_links: bool
) -> None:
    make_attempt(nas, key(1))
    film = Path(nas, "films", "done.mkv")
    film.parent.mkdir()
    results = (Published(key(1), tuple(OUTPUTS)),)

    def begin() -> None:
        film.unlink(missing_ok=True)
        film.write_bytes(b"older")

    for _ in every_step(
        lambda: publish(nas, results, 0.0), without_links=without_links, fresh=begin
    ):
        assert film.read_bytes() in (b"older", OUTPUTS["films/done.mkv"])
        publish(nas, results, 0.0)
        assert {path: Path(nas, path).read_bytes() for path in OUTPUTS} == OUTPUTS
        assert os.listdir(film.parent) == ["done.mkv"]


def test_cleaning_can_be_repeated_and_never_takes_a_manifest(nas: str) -> None:
    done = key(0)

    def begin() -> None:
        nonlocal done
        done = key(1, JobId(f"{done.job}x"))
        make_attempt(nas, done)

    for _ in every_step(lambda: clean(nas, done.job), fresh=begin):
        assert Path(nas, attempt_dir(done), "manifest").is_file()
        clean(nas, done.job)
        assert os.listdir(Path(nas, attempt_dir(done))) == ["manifest"]
