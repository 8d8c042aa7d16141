"""The NAS process: what it answers, and that it is a good child of a real node."""

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import epollreactor
from twisted.internet.defer import Deferred

from nanoboost.errors import RemoteError
from nanoboost.ids import Attempt, AttemptKey, JobId, TaskId
from nanoboost.nas.attempts import OpenAttempt
from nanoboost.nas.files import deposit
from nanoboost.nas.layout import ID, attempt_dir, output_path, plan_path
from nanoboost.nas.messages import (
    NAS,
    NAS_MODULE,
    PIECE_BYTES,
    Clean,
    FetchPlan,
    Finished,
    Inspect,
    Inspected,
    PlanPiece,
    Publish,
    Published,
    Working,
)
from nanoboost.nas.nashelper import Errands
from nanoboost.nas.service import Nas
from nanoboost.wire.frame import FrameReader, pack
from nanoboost.world.real import kill_group
from tests.nas.clock import SleepClock
from tests.nas.fakes import real_runtime

CLUSTER = "0123456789abcdef"
JOB = JobId("film-1a2b3c4d")
KEY = AttemptKey(JOB, TaskId(3), Attempt(2, 1))
FILM = Published(KEY, ("film.mkv",))
PLAN = bytes(range(256)) * (PIECE_BYTES // 128)
DIGEST = hashlib.sha256(PLAN).hexdigest()


def make_film(nas: str) -> None:
    attempt = OpenAttempt(nas, KEY)
    attempt.output("film.mkv").write_text("film")
    attempt.commit(["film.mkv"])


# --- errands, without a process ------------------------------------------------------------------


@pytest.fixture
def said() -> list[Any]:
    return []


@pytest.fixture
def errands(nas: str, said: list[Any], clock: SleepClock) -> Errands:
    return Errands(nas, CLUSTER, said.append, sleep=clock.sleep, clock=lambda: clock.now)


def test_a_plan_comes_in_pieces(nas: str, errands: Errands, said: list[Any]) -> None:
    deposit(nas, plan_path(DIGEST), PLAN)
    errands.run(FetchPlan(7, DIGEST))
    assert [(each.request, each.more) for each in said] == [(7, True), (7, False)]
    assert b"".join(each.data for each in said) == PLAN


def test_a_plan_that_is_not_there_is_waited_for_with_signs_of_life(
    nas: str, errands: Errands, said: list[Any]
) -> None:
    errands.run(FetchPlan(7, DIGEST))
    *working, end = said
    assert isinstance(end, Finished)
    assert "the mount at" in end.error
    assert working == [Working(7)] * len(working)
    assert 15 <= len(working) <= 90, "at least every 5 s, at most every second"


def test_an_empty_plan_is_an_answer_too(nas: str, errands: Errands, said: list[Any]) -> None:
    digest = hashlib.sha256(b"").hexdigest()
    deposit(nas, plan_path(digest), b"")
    errands.run(FetchPlan(1, digest))
    assert said == [PlanPiece(1, b"", False)]


def test_publishing_and_cleaning(nas: str, errands: Errands, said: list[Any]) -> None:
    make_film(nas)
    errands.run(Publish(1, (FILM,)))
    errands.run(Clean(2, JOB))
    assert said == [Finished(1, ""), Finished(2, "")]
    assert Path(nas, "film.mkv").read_text() == "film"
    assert not Path(nas, output_path(KEY, "film.mkv")).exists()
    assert Path(nas, attempt_dir(KEY), "manifest").is_file()


def test_an_error_is_an_answer(nas: str, errands: Errands, said: list[Any]) -> None:
    Path(nas, ID).unlink()
    errands.run(Clean(1, JOB))
    errands.run(Inspect(2))
    assert "not mounted" in said[0].error
    assert "not mounted" in said[1].fit


def test_only_the_first_look_writes(
    nas: str, errands: Errands, said: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = os.stat(Path(nas)).st_mtime_ns
    errands.run(Inspect(1))
    after = os.stat(Path(nas)).st_mtime_ns
    errands.run(Inspect(2))
    assert said == [Inspected(1, ""), Inspected(2, "")]
    assert before != after == os.stat(Path(nas)).st_mtime_ns


def test_an_answer_is_no_question(errands: Errands) -> None:
    with pytest.raises(RemoteError):
        errands.run(Finished(1, ""))


# --- a real process ------------------------------------------------------------------------------


def converse(nas: str, data: bytes) -> "subprocess.CompletedProcess[bytes]":
    """Give the process `data` and the end of its input; its standard output is its fd 3."""
    command = ["sh", "-c", 'exec "$@" 3>&1', "sh", sys.executable, "-I", "-m", NAS_MODULE]
    return subprocess.run([*command, nas, CLUSTER], input=data, capture_output=True, timeout=30)


@pytest.mark.slow
def test_a_process_answers_what_it_was_asked_and_ends_with_its_input(nas: str) -> None:
    questions = [Inspect(1), FetchPlan(2, DIGEST), Clean(3, JOB)]
    deposit(nas, plan_path(DIGEST), PLAN)
    done = converse(nas, b"".join(pack(NAS.encode(each)) for each in questions))
    answers = [NAS.decode(body) for body in FrameReader().feed(done.stdout)]
    assert [each.request for each in answers] == [1, 2, 2, 3]
    assert answers[0] == Inspected(1, "")
    assert answers[3] == Finished(3, "")
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.slow
def test_a_process_that_hears_nonsense_ends(nas: str) -> None:
    done = converse(nas, pack(NAS.encode(Inspect(1))) + pack(b"\xff") + pack(b"\xff"))
    assert [NAS.decode(body) for body in FrameReader().feed(done.stdout)] == [Inspected(1, "")]
    assert done.returncode == 1
    assert b"RemoteError" in done.stderr


class World:
    """A reactor of its own, with a `Nas` on it."""

    def __init__(self, nas: str, scratch: Path) -> None:
        self.reactor = epollreactor.EPollReactor()
        self.told: list[str] = []
        self._hear: Callable[[str], None] = lambda _: None
        runtime = real_runtime(self.reactor, scratch, kill_group)
        self.nas = Nas(nas, CLUSTER, runtime, self._told)

    def _told(self, fit: str) -> None:
        self.told.append(fit)
        self._hear(fit)

    def next_fit(self) -> "Deferred[str]":
        """Fires when `changed` is told the next time."""
        told: Deferred[str] = Deferred()
        self._hear = told.callback
        return told

    def pid(self) -> int:
        """Of the NAS process, a child of this one."""
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        found = [
            int(child)
            for child in children
            if b"nashelper" in Path(f"/proc/{child}/cmdline").read_bytes()
        ]
        assert len(found) == 1, found
        return found[0]

    def run(self, script: Callable[["World"], Any]) -> Any:
        """Run `script`, a coroutine function, to its end."""
        results: list[Any] = []

        def start() -> None:
            self.nas.startService()
            done = Deferred.fromCoroutine(script(self))
            done.addTimeout(30.0, self.reactor)
            done.addBoth(results.append)
            done.addBoth(lambda _: self.nas.stopService())
            done.addBoth(lambda _: self.reactor.callLater(0.1, self.reactor.stop))

        self.reactor.callWhenRunning(start)
        self.reactor.run()
        if hasattr(results[0], "raiseException"):
            results[0].raiseException()
        return results[0]


@pytest.fixture
def world(nas: str, tmp_path: Path) -> Iterator[World]:
    chld = signal.getsignal(signal.SIGCHLD)
    yield World(nas, tmp_path)
    signal.signal(signal.SIGCHLD, chld)


@pytest.mark.slow
def test_a_real_process_does_it_all(nas: str, world: World) -> None:
    deposit(nas, plan_path(DIGEST), PLAN)
    make_film(nas)

    async def script(world: World) -> None:
        assert await world.next_fit() == ""
        assert await world.nas.read_plan(DIGEST) == PLAN
        await world.nas.publish((FILM,))
        await world.nas.publish((FILM,))
        assert Path(nas, "film.mkv").read_text() == "film"
        await world.nas.clean(JOB)
        assert not Path(nas, output_path(KEY, "film.mkv")).exists()

    world.run(script)
    assert world.told == [""]


@pytest.mark.slow
def test_a_process_that_is_killed_is_replaced_and_one_that_hangs_is_given_up(
    nas: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nanoboost.nas.service.SILENCE_S", 0.5)
    monkeypatch.setattr("nanoboost.nas.service.LOOK_S", 0.1)
    monkeypatch.setattr("nanoboost.nas.service.PROBE_S", 0.1)
    deposit(nas, plan_path(DIGEST), PLAN)

    async def script(world: World) -> None:
        await world.next_fit()
        first = world.pid()
        os.kill(first, signal.SIGSTOP)  # as one that hangs in the NAS
        assert "does not answer" in await world.next_fit()
        monkeypatch.setattr("nanoboost.nas.service.SILENCE_S", 10.0)
        assert await world.next_fit() == ""
        assert await world.nas.read_plan(DIGEST) == PLAN
        assert world.pid() != first

    world.run(script)


@pytest.mark.slow
def test_an_unmounted_nas_is_noticed(
    nas: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nanoboost.nas.service.LOOK_S", 0.05)

    async def script(world: World) -> None:
        await world.next_fit()
        gone = world.next_fit()
        os.rename(Path(nas, ".nanoboost"), Path(nas, "moved"))
        assert "not mounted" in await gone
        back = world.next_fit()
        os.rename(Path(nas, "moved"), Path(nas, ".nanoboost"))
        assert await back == ""

    world.run(script)


@pytest.mark.slow
def test_an_idle_process_is_small_and_leads_its_own_group(nas: str, world: World) -> None:
    async def script(world: World) -> None:
        await world.next_fit()
        pid = world.pid()
        assert os.getpgid(pid) == pid
        maps = Path(f"/proc/{pid}/maps").read_text()
        for heavy in ("libcrypto", "libssl", "libsqlite", "_hashlib"):
            assert heavy not in maps
        status = Path(f"/proc/{pid}/status").read_text()
        assert int(status.split("VmRSS:")[1].split()[0]) < 24 << 10

    world.run(script)
