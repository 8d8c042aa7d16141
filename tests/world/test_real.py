"""The real runtime: one process and one cluster a state directory, and a clock that never jumps."""

import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.internet.selectreactor import SelectReactor
from twisted.internet.task import Clock

from nanoboost.errors import LocalError, UserError
from nanoboost.net.credential import Credential, Identity, _self_signed
from nanoboost.runtime import Runtime
from nanoboost.world import real
from nanoboost.world.real import check_database, kill_group, monotonic, real_runtime


def a_credential() -> Credential:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _self_signed(key)
    only = Identity(key, certificate)
    return Credential("cluster.pem", (only,), frozenset({only.fingerprint}))


OURS = a_credential()


@pytest.fixture
def reactor() -> Iterator[SelectReactor]:
    """A real reactor that is not the global one and never runs by itself."""
    made = SelectReactor()
    yield made
    made.removeAll()


@pytest.fixture(autouse=True)
def measured(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Each measurement of the speed that was made; it takes no time here."""
    made: list[float] = []

    def measure() -> float:
        made.append(1.25)
        return 1.25

    monkeypatch.setattr(real, "benchmark", measure)
    return made


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "home" / "state"


def close(runtime: Runtime, reactor: Any) -> None:
    fired: list[None] = []
    runtime.store.close().addCallback(fired.append)
    give_up_at = time.monotonic() + 10
    while not fired:
        assert time.monotonic() < give_up_at
        reactor.runUntilCurrent()


def test_the_processor_time_of_the_reactors_thread_grows(state: Path, reactor: Any) -> None:
    runtime = real_runtime(reactor, str(state), OURS)
    before = runtime.busy()
    sum(range(200_000))
    assert runtime.busy() > before
    close(runtime, reactor)


def test_the_database_is_checked_before_anything_is_started(state: Path, reactor: Any) -> None:
    check_database(str(state), OURS.cluster)  # there is none yet
    close(real_runtime(reactor, str(state), OURS), reactor)
    check_database(str(state), OURS.cluster)
    with pytest.raises(UserError, match=r"belongs to cluster .*: give the other credential"):
        check_database(str(state), "f" * 16)
    (state / "node.db").write_bytes(b"The film is cut into chunks. " * 100)
    with pytest.raises(UserError, match="move the state directory away"):
        check_database(str(state), OURS.cluster)


def test_a_state_directory_is_made_for_its_owner_only(state: Path, reactor: Any) -> None:
    runtime = real_runtime(reactor, str(state), OURS)
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert {each.name for each in state.iterdir()} >= {"lock", "node.db", "scratch"}
    assert Path(runtime.scratch_dir).is_dir()
    close(runtime, reactor)


def test_one_that_was_open_to_others_is_closed_to_them(state: Path, reactor: Any) -> None:
    state.mkdir(parents=True, mode=0o755)
    close(real_runtime(reactor, str(state), OURS), reactor)
    assert stat.S_IMODE(state.stat().st_mode) == 0o700


def test_one_in_use_is_refused_and_its_process_named(state: Path, reactor: Any) -> None:
    runtime = real_runtime(reactor, str(state), OURS)
    with pytest.raises(UserError, match=f"is in use by process {os.getpid()}: stop it"):
        real_runtime(reactor, str(state), OURS)
    close(runtime, reactor)
    close(real_runtime(reactor, str(state), OURS), reactor)


HOLDER = """
import sys
from pathlib import Path
from nanoboost.world.real import _lock
_lock(Path(sys.argv[1]))
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
def test_a_killed_process_leaves_the_directory_free(state: Path, reactor: Any) -> None:
    state.mkdir(parents=True)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(state)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"locked\n"
    with pytest.raises(UserError, match=f"is in use by process {holder.pid}"):
        real_runtime(reactor, str(state), OURS)
    holder.kill()
    holder.communicate()
    close(real_runtime(reactor, str(state), OURS), reactor)


def test_another_clusters_is_refused_and_stays_as_it_is(state: Path, reactor: Any) -> None:
    runtime = real_runtime(reactor, str(state), OURS)
    runtime.store.commit([(b"raft/vote", b"us")])
    close(runtime, reactor)
    other = a_credential()
    with pytest.raises(
        UserError, match=f"belongs to cluster {OURS.cluster}, the credential to cluster"
    ):
        real_runtime(reactor, str(state), other)
    again = _when_free(state, reactor)
    assert again.store.load(b"raft/") == [(b"raft/vote", b"us")]
    close(again, reactor)


def _when_free(state: Path, reactor: Any) -> Runtime:
    """The runtime, once the refused attempt has let go of the directory."""
    give_up_at = time.monotonic() + 10
    while True:
        reactor.runUntilCurrent()
        try:
            return real_runtime(reactor, str(state), OURS)
        except UserError:
            assert time.monotonic() < give_up_at


def test_what_is_no_directory_is_refused(tmp_path: Path, reactor: Any) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "state"):
        with pytest.raises(UserError, match=r"cannot be used .*: choose another with --state"):
            real_runtime(reactor, str(path), OURS)


def test_a_lock_that_is_a_link_is_refused(state: Path, reactor: Any) -> None:
    state.mkdir(parents=True)
    (state / "lock").symlink_to("/dev/null")
    with pytest.raises(UserError, match="cannot be locked"):
        real_runtime(reactor, str(state), OURS)


def test_a_damaged_store_does_not_keep_the_directory_locked(state: Path, reactor: Any) -> None:
    state.mkdir(parents=True)
    (state / "node.db").write_bytes(b"no database" * 1000)
    for _ in range(2):
        with pytest.raises(UserError, match="is damaged"):
            real_runtime(reactor, str(state), OURS)


def test_somebody_elses_directory_is_refused(
    state: Path, reactor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    state.mkdir(parents=True)
    us = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: us + 1)
    with pytest.raises(UserError, match=rf"belongs to another user \(uid {us}\)"):
        real_runtime(reactor, str(state), OURS)


def test_the_speed_is_measured_once(state: Path, reactor: Any, measured: list[float]) -> None:
    for _ in range(2):
        runtime = real_runtime(reactor, str(state), OURS)
        assert runtime.host.speed == 1.25
        close(runtime, reactor)
    assert len(measured) == 1


def test_the_scratch_directory_is_empty_at_each_start(state: Path, reactor: Any) -> None:
    runtime = real_runtime(reactor, str(state), OURS)
    (Path(runtime.scratch_dir) / "left").write_text("over")
    close(runtime, reactor)
    runtime = real_runtime(reactor, str(state), OURS)
    assert list(Path(runtime.scratch_dir).iterdir()) == []
    close(runtime, reactor)


def test_randomness_is_of_this_start(state: Path, reactor: Any) -> None:
    seeds = set()
    for _ in range(2):
        runtime = real_runtime(reactor, str(state), OURS)
        seeds.add(runtime.seed)
        assert runtime.rng("a").random() == runtime.rng("a").random()
        assert runtime.rng("a").random() != runtime.rng("b").random()
        close(runtime, reactor)
    assert len(seeds) == 2


# --- the clock -----------------------------------------------------------------------------------


def test_the_reactor_counts_monotonic_seconds(reactor: Any) -> None:
    assert monotonic(reactor) is reactor
    assert abs(reactor.seconds() - time.monotonic()) < 1.0
    timer = reactor.callLater(5.0, lambda: None)
    assert abs(timer.getTime() - time.monotonic() - 5.0) < 1.0
    assert monotonic(reactor) is reactor, "again, with timers: nothing to change"
    timer.cancel()


def test_timers_on_wall_time_are_not_left_behind(reactor: Any) -> None:
    timer = reactor.callLater(5.0, lambda: None)
    with pytest.raises(LocalError, match="timers on wall time already"):
        monotonic(reactor)
    timer.cancel()


def test_a_reactor_that_does_not_follow_is_refused() -> None:
    class Deaf(Clock):
        def callLater(  # type: ignore[override]
            self, delay: float, call: Any, *arguments: Any, **more: Any
        ) -> Any:
            timer: Any = super().callLater(delay, call, *arguments, **more)
            timer.time = self.rightNow + delay
            return timer

    with pytest.raises(LocalError, match="Deaf does not take its time from `seconds`"):
        monotonic(Deaf())


# --- killing -------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("own_group", [True, False])
def test_a_child_and_its_children_are_killed(own_group: bool) -> None:
    """The grandchild holds the pipe open: its end comes only when both are gone."""
    shell = "sleep 60 & echo ready; wait"
    child = subprocess.Popen(
        ["/bin/sh", "-c", shell if own_group else "echo ready; exec sleep 60"],
        stdout=subprocess.PIPE,
        start_new_session=own_group,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    kill_group(child.pid)
    assert child.stdout.read() == b""
    assert child.wait() == -9
    kill_group(child.pid)  # gone: nothing happens
