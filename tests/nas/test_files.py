"""Whose NAS it is, and files that are written once."""

import errno
import hashlib
import os
import threading
from pathlib import Path

import pytest

from nanoboost.errors import NasError, UserError
from nanoboost.nas import files, walk
from nanoboost.nas.files import claim, deposit, fetch, inspect, look
from nanoboost.nas.layout import ID, code_path, plan_path
from tests.nas.clock import SleepClock

CLUSTER = "0123456789abcdef"
OTHER = "fedcba9876543210"
DATA = b"a plan"
DIGEST = hashlib.sha256(DATA).hexdigest()
NOT_ROOT = pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")


# --- claim and inspect -----------------------------------------------------------------------


def test_a_claimed_directory_is_fit_and_claiming_again_changes_nothing(nas: str) -> None:
    before = Path(nas, ID).read_bytes()
    claim(nas, CLUSTER)
    assert inspect(nas, CLUSTER) == look(nas, CLUSTER) == ""
    assert Path(nas, ID).read_bytes() == before
    assert sorted(os.listdir(nas)) == [".nanoboost"]
    assert os.listdir(Path(nas, ".nanoboost")) == ["ID"]


def test_another_clusters_nas_is_refused_and_both_clusters_are_named(nas: str) -> None:
    with pytest.raises(UserError, match="credential") as refused:
        claim(nas, OTHER)
    assert CLUSTER in str(refused.value)
    assert OTHER in str(refused.value)
    assert inspect(nas, OTHER) == str(refused.value)
    assert inspect(nas, CLUSTER) == ""


def test_a_directory_without_id_is_not_mounted(tmp_path: Path) -> None:
    told = inspect(str(tmp_path), CLUSTER)
    assert "not mounted" in told
    assert f"nanoboost init --nas {tmp_path}" in told
    assert os.listdir(tmp_path) == []


def test_what_is_no_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, word in ((tmp_path / "file", "is a file"), (tmp_path / "none", "does not exist")):
        assert word in inspect(str(path), CLUSTER)
        with pytest.raises(UserError, match=word):
            claim(str(path), CLUSTER)
    assert "cannot be used" in inspect(str(tmp_path / "file" / "below"), CLUSTER)


def test_the_root_directory_is_refused() -> None:
    with pytest.raises(UserError, match="/ cannot be the NAS"):
        claim("/", CLUSTER)
    with pytest.raises(UserError, match="/ cannot be the NAS"):
        claim("//tmp/..", CLUSTER)


@NOT_ROOT
def test_a_directory_that_is_not_writable_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="not writable"):
        claim(str(tmp_path), CLUSTER)
    tmp_path.chmod(0o700)
    claim(str(tmp_path), CLUSTER)
    Path(tmp_path, ".nanoboost").chmod(0o500)
    assert "not writable" in inspect(str(tmp_path), CLUSTER)
    assert "not writable" in look(str(tmp_path), CLUSTER)
    Path(tmp_path, ".nanoboost").chmod(0o700)


@pytest.mark.parametrize("code", [errno.EROFS, errno.ENOSPC, errno.EDQUOT])
def test_a_nas_that_takes_no_file_is_not_writable(
    nas: str, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    real = os.open

    def refuse(path: str, flags: int, *rest: int, **named: int) -> int:
        if flags & os.O_CREAT:
            raise OSError(code, os.strerror(code))
        return real(path, flags, *rest, **named)

    monkeypatch.setattr(os, "open", refuse)
    assert "not writable" in inspect(nas, CLUSTER)
    assert look(nas, CLUSTER) == "", "a look writes nothing"


@pytest.mark.parametrize("text", [b"", b"nanoboost format 1 cluster 01", b"\xff\xfe", b"x" * 999])
def test_a_damaged_id_is_told(nas: str, text: bytes) -> None:
    Path(nas, ID).write_bytes(text)
    assert "damaged" in inspect(nas, CLUSTER)
    with pytest.raises(UserError, match="damaged"):
        claim(nas, CLUSTER)
    assert Path(nas, ID).read_bytes() == text


def test_a_newer_format_is_left_alone(nas: str) -> None:
    Path(nas, ID).write_text(f"nanoboost format 2 cluster {CLUSTER}\n")
    assert "format 2" in inspect(nas, CLUSTER)
    with pytest.raises(UserError, match="format 2"):
        claim(nas, CLUSTER)


def test_an_id_that_is_a_link_is_not_followed(nas: str, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    os.rename(Path(nas, ID), elsewhere)
    os.symlink(elsewhere, Path(nas, ID))
    assert "symbolic link" in inspect(nas, CLUSTER)


def test_two_that_claim_at_once_agree_on_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other cluster's ID appears between our look and our writing."""
    nas = str(tmp_path)
    real = walk.write_new

    def late(path: str, data: bytes) -> None:
        monkeypatch.setattr(files, "write_new", real)
        claim(nas, OTHER)
        real(path, data)

    monkeypatch.setattr(files, "write_new", late)
    with pytest.raises(UserError, match=OTHER):
        claim(nas, CLUSTER)
    assert inspect(nas, OTHER) == ""


def test_where_there_are_no_hard_links_claiming_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_arguments: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    claim(str(tmp_path), CLUSTER)
    assert inspect(str(tmp_path), CLUSTER) == ""


# --- deposit and fetch -----------------------------------------------------------------------


def test_what_was_deposited_is_fetched(nas: str, clock: SleepClock) -> None:
    deposit(nas, plan_path(DIGEST), DATA)
    deposit(nas, code_path(DIGEST), DATA)
    assert fetch(nas, plan_path(DIGEST), DIGEST, pace=clock.pace) == DATA
    assert clock.slept == []
    assert os.listdir(Path(nas, ".nanoboost", "plans")) == [DIGEST]


def test_a_repeated_deposit_leaves_the_file_alone(nas: str) -> None:
    deposit(nas, plan_path(DIGEST), DATA)
    before = os.stat(Path(nas, plan_path(DIGEST)))
    deposit(nas, plan_path(DIGEST), DATA)
    assert os.stat(Path(nas, plan_path(DIGEST))).st_ino == before.st_ino


def test_a_damaged_deposit_is_written_again(nas: str) -> None:
    deposit(nas, plan_path(DIGEST), DATA)
    Path(nas, plan_path(DIGEST)).write_bytes(b"rot")
    deposit(nas, plan_path(DIGEST), DATA)
    assert fetch(nas, plan_path(DIGEST), DIGEST) == DATA


def test_nothing_is_deposited_where_the_nas_is_not_mounted(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not mounted"):
        deposit(str(tmp_path), plan_path(DIGEST), DATA)
    assert os.listdir(tmp_path) == []


def test_a_full_nas_is_told_and_leaves_nothing(nas: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="make room on the NAS"):
        deposit(nas, plan_path(DIGEST), DATA)
    assert os.listdir(Path(nas, ".nanoboost", "plans")) == []


def test_a_file_that_is_late_is_waited_for_and_its_directory_listed(
    nas: str, clock: SleepClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[str] = []
    real = os.listdir

    def seen(path: str) -> list[str]:
        listed.append(path)
        return real(path)

    monkeypatch.setattr(os, "listdir", seen)
    clock.at(40.0, lambda: deposit(nas, plan_path(DIGEST), DATA))
    assert fetch(nas, plan_path(DIGEST), DIGEST, pace=clock.pace) == DATA
    assert 40.0 <= clock.now <= 46.0
    assert max(clock.slept) <= 5.0
    assert listed.count(f"{nas}/.nanoboost") == len(clock.slept), "the nearest that is there"
    assert clock.ticks >= len(clock.slept), "each look is a sign of life"


def test_a_file_that_never_comes_is_the_mounts_fault(nas: str, clock: SleepClock) -> None:
    with pytest.raises(NasError, match=r"90 s: the mount at") as failed:
        fetch(nas, plan_path(DIGEST), DIGEST, pace=clock.pace)
    assert clock.now == pytest.approx(90.0)
    assert "\n" not in str(failed.value)


def test_other_content_is_refused_after_the_wait(nas: str, clock: SleepClock) -> None:
    deposit(nas, plan_path(DIGEST), b"something else")
    with pytest.raises(NasError, match="not what was deposited"):
        fetch(nas, plan_path(DIGEST), DIGEST, 10.0, pace=clock.pace)


def test_a_link_in_place_of_a_deposit_is_refused_at_once(
    nas: str, clock: SleepClock, tmp_path: Path
) -> None:
    deposit(nas, plan_path("0" * 64), DATA)
    (tmp_path / "secret").write_bytes(DATA)
    os.symlink(tmp_path / "secret", Path(nas, plan_path(DIGEST)))
    with pytest.raises(NasError, match="symbolic link"):
        fetch(nas, plan_path(DIGEST), DIGEST, pace=clock.pace)
    assert clock.slept == []


def test_a_path_that_leaves_the_nas_is_refused(nas: str) -> None:
    for path in ("../x", "/etc/passwd", "a//b", "a/./b", "", "a/..", "a\0b"):
        with pytest.raises(NasError, match="not a path below"):
            fetch(nas, path, DIGEST)


def test_readers_see_a_whole_file_or_none_while_many_deposit(nas: str) -> None:
    data = bytes(range(256)) * 4096
    digest = hashlib.sha256(data).hexdigest()
    writers = [
        threading.Thread(target=deposit, args=(nas, plan_path(digest), data)) for _ in range(4)
    ]
    for writer in writers:
        writer.start()
    assert fetch(nas, plan_path(digest), digest) == data
    for writer in writers:
        writer.join()
    assert os.listdir(Path(nas, ".nanoboost", "plans")) == [digest]
