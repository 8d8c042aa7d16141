"""Results go to their users' names, whole, and again without harm; and what is cleaned."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from nanoboost.errors import NasError
from nanoboost.ids import Attempt, AttemptKey, JobId, TaskId
from nanoboost.nas.attempts import OpenAttempt
from nanoboost.nas.layout import ID, attempt_dir, job_dir, output_path, part_dir
from nanoboost.nas.messages import Published
from nanoboost.nas.publish import clean, publish
from tests.nas.clock import SleepClock

JOB = JobId("film-1a2b3c4d")
KEY = AttemptKey(JOB, TaskId(3), Attempt(2, 1))
FILM = Published(KEY, ("films/done.mkv",))


@pytest.fixture
def film(nas: str) -> Path:
    """An attempt has made `films/done.mkv`; this is where it is to be published."""
    attempt = OpenAttempt(nas, KEY)
    attempt.log.write_text("log\n")
    attempt.output("films/done.mkv").write_bytes(b"film" * 1000)
    attempt.commit(["films/done.mkv"])
    return Path(nas, "films", "done.mkv")


@pytest.fixture(params=[0, errno.EPERM, errno.EOPNOTSUPP], ids=["links", "no links", "FUSE"])
def links(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """A file system with hard links, and some without."""
    code: int = request.param

    def refuse(*_arguments: object, **_named: object) -> None:
        raise OSError(code, os.strerror(code))

    if code:
        monkeypatch.setattr(os, "link", refuse)
    return code


# --- publishing --------------------------------------------------------------------------------


def test_a_result_is_published_under_its_name(nas: str, film: Path, links: int) -> None:
    publish(nas, (FILM,))
    assert film.read_bytes() == b"film" * 1000
    assert os.listdir(film.parent) == ["done.mkv"]
    assert (film.stat().st_nlink == 1) == bool(links)


def test_publishing_twice_changes_nothing(nas: str, film: Path, links: int) -> None:
    publish(nas, (FILM,))
    before = film.stat()
    publish(nas, (FILM,))
    assert film.stat().st_ino == before.st_ino
    assert os.listdir(film.parent) == ["done.mkv"]


def test_a_repeat_after_the_cleaning_is_still_right(nas: str, film: Path) -> None:
    publish(nas, (FILM,))
    clean(nas, JOB)
    publish(nas, (FILM,))
    assert film.read_bytes() == b"film" * 1000


@pytest.mark.parametrize("before", ["older", "shorter", "link", "same size"])
def test_what_had_the_name_before_is_replaced(
    nas: str, film: Path, tmp_path: Path, links: int, before: str
) -> None:
    film.parent.mkdir()
    (tmp_path / "precious").write_text("precious")
    if before == "link":
        film.symlink_to(tmp_path / "precious")
    else:
        film.write_bytes({"older": b"x" * 9000, "shorter": b"", "same size": b"F" * 4000}[before])
    publish(nas, (FILM,))
    assert not film.is_symlink()
    assert film.read_bytes() == b"film" * 1000
    assert (tmp_path / "precious").read_text() == "precious"


def test_a_killed_publisher_leaves_nothing_that_stays(nas: str, film: Path, links: int) -> None:
    film.parent.mkdir()
    (film.parent / ".done.mkv.2.1.tmp").write_bytes(b"half")
    publish(nas, (FILM,))
    assert os.listdir(film.parent) == ["done.mkv"]
    assert film.read_bytes() == b"film" * 1000


def test_an_output_that_was_changed_is_never_published(
    nas: str, film: Path, clock: SleepClock, links: int
) -> None:
    Path(nas, output_path(KEY, "films/done.mkv")).write_bytes(b"FILM" * 1000)
    with pytest.raises(NasError, match="not what its manifest says"):
        publish(nas, (FILM,), 10.0, pace=clock.pace)
    assert os.listdir(film.parent) == []


def test_an_output_that_shows_late_is_waited_for(nas: str, film: Path, clock: SleepClock) -> None:
    there = Path(nas, output_path(KEY, "films/done.mkv"))
    os.rename(there, there.with_name("hidden"))
    clock.at(20.0, lambda: os.rename(there.with_name("hidden"), there))
    publish(nas, (FILM,), pace=clock.pace)
    assert film.read_bytes() == b"film" * 1000
    assert clock.ticks > len(clock.slept)


def test_a_name_that_is_a_directory_is_told(nas: str, film: Path) -> None:
    film.mkdir(parents=True)
    with pytest.raises(NasError, match=r"films/done\.mkv cannot be published.*directory"):
        publish(nas, (FILM,))
    assert os.listdir(film.parent) == ["done.mkv"]


def test_a_directory_that_is_a_file_is_told(nas: str, film: Path) -> None:
    film.parent.write_text("I was here first")
    with pytest.raises(NasError, match="cannot be published"):
        publish(nas, (FILM,))
    assert film.parent.read_text() == "I was here first"


def test_a_path_that_is_no_output_is_refused(nas: str, film: Path) -> None:
    with pytest.raises(NasError, match="says nothing about"):
        publish(nas, (Published(KEY, ("../../etc/passwd",)),))


@pytest.mark.parametrize("path", [".nanoboost/ID", ".NanoBoost/ID", ".nanoboost"])
def test_our_own_directory_is_not_published_into(nas: str, path: str) -> None:
    attempt = OpenAttempt(nas, KEY)
    attempt.output(path).write_text("mine")
    attempt.commit([path])
    before = Path(nas, ID).read_bytes()
    with pytest.raises(NasError, match="own directory"):
        publish(nas, (Published(KEY, (path,)),))
    assert Path(nas, ID).read_bytes() == before


def test_nothing_is_published_where_the_nas_is_not_mounted(nas: str, film: Path) -> None:
    Path(nas, ID).unlink()
    with pytest.raises(NasError, match="not mounted"):
        publish(nas, (FILM,))
    assert not film.exists()


def test_a_full_nas_is_told_and_leaves_no_half(
    nas: str, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object, **_named: object) -> None:
        raise OSError(errno.EPERM, "no links")

    def full(_fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NasError, match="make room"):
        publish(nas, (FILM,))
    assert os.listdir(film.parent) == []


# --- cleaning ----------------------------------------------------------------------------------


def names(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


def test_cleaning_leaves_logs_and_manifests(nas: str, film: Path) -> None:
    failed = OpenAttempt(nas, AttemptKey(JOB, TaskId(4), Attempt(2, 7)))
    failed.log.write_text("it failed\n")
    failed.output("deep/er/half").write_text("x")
    clean(nas, JOB)
    assert names(Path(nas, job_dir(JOB))) == [
        "3", "3/2.1", "3/2.1/log", "3/2.1/manifest", "4", "4/2.7.part", "4/2.7.part/log"
    ]  # fmt: skip
    clean(nas, JOB)


def test_cleaning_spares_other_jobs_and_what_was_published(nas: str, film: Path) -> None:
    other = AttemptKey(JobId("film-1a2b3c4e"), TaskId(0), Attempt(1, 1))
    attempt = OpenAttempt(nas, other)
    attempt.output("a").write_text("a")
    attempt.commit(["a"])
    publish(nas, (FILM,))
    clean(nas, JOB)
    assert film.read_bytes() == b"film" * 1000
    assert Path(nas, output_path(other, "a")).read_text() == "a"


def test_cleaning_follows_no_link(nas: str, film: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    (precious / "out").mkdir(parents=True)
    (precious / "out" / "file").write_text("precious")
    Path(nas, attempt_dir(KEY), "out", "link").symlink_to(precious)
    Path(nas, job_dir(JOB), "3", "2.2").symlink_to(precious)
    Path(nas, job_dir(JOB), "5").symlink_to(precious)
    linked = AttemptKey(JOB, TaskId(6), Attempt(2, 1))
    OpenAttempt(nas, linked)
    Path(nas, part_dir(linked), "out").symlink_to(precious / "out")
    clean(nas, JOB)
    assert (precious / "out" / "file").read_text() == "precious"
    assert not os.path.lexists(Path(nas, attempt_dir(KEY), "out"))
    assert not os.path.lexists(Path(nas, part_dir(linked), "out"))


def test_a_job_directory_that_is_a_link_is_not_cleaned(nas: str, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere" / "3" / "2.1" / "out"
    target.mkdir(parents=True)
    Path(nas, ".nanoboost", "jobs").mkdir()
    Path(nas, job_dir(JOB)).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NasError):
        clean(nas, JOB)
    assert target.is_dir()


@pytest.mark.parametrize("code", [errno.EBUSY, errno.ENOENT, errno.ESTALE])
def test_what_is_still_in_use_is_left_for_the_next_time(
    nas: str, film: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    real: Callable[..., None] = os.unlink

    def busy(*_path: object, **_named: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "unlink", busy)
    clean(nas, JOB)
    assert Path(nas, output_path(KEY, "films/done.mkv")).exists()
    monkeypatch.setattr(os, "unlink", real)
    clean(nas, JOB)
    assert not Path(nas, attempt_dir(KEY), "out").exists()


def test_what_cannot_be_removed_is_told_and_the_rest_is_removed(
    nas: str, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "z"):
        Path(nas, attempt_dir(KEY), "out", name).touch()
    real: Callable[..., None] = os.unlink

    def broken(path: str, **named: int) -> None:
        if path == "done.mkv":
            raise OSError(errno.EIO, "Input/output error")
        real(path, **named)

    monkeypatch.setattr(os, "unlink", broken)
    with pytest.raises(NasError, match="cannot be cleaned: Input/output error"):
        clean(nas, JOB)
    assert names(Path(nas, attempt_dir(KEY), "out")) == ["films", "films/done.mkv"]


def test_cleaning_a_job_that_wrote_nothing_is_fine(nas: str) -> None:
    clean(nas, JOB)


def test_nothing_is_removed_without_the_id(nas: str, film: Path) -> None:
    Path(nas, ID).unlink()
    with pytest.raises(NasError, match="not mounted"):
        clean(nas, JOB)
    assert Path(nas, output_path(KEY, "films/done.mkv")).exists()
