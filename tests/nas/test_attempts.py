"""An attempt appears whole or not at all; a winner's output is as its manifest says, or refused."""

import errno
import hashlib
import os
from pathlib import Path

import pytest

from nanoboost.errors import NasError
from nanoboost.ids import Attempt, AttemptKey, JobId, TaskId
from nanoboost.nas.attempts import (
    OpenAttempt,
    OutputMissing,
    input_path,
    is_whole,
    read_manifest,
    source_path,
)
from nanoboost.nas.layout import ID, attempt_dir, log_path, manifest_path, output_path, part_dir
from nanoboost.nas.manifest import Manifest, ManifestFile, encode_manifest
from nanoboost.nas.publish import clean
from tests.nas.clock import SleepClock

CLUSTER = "0123456789abcdef"
JOB = JobId("film-1a2b3c4d")
KEY = AttemptKey(JOB, TaskId(3), Attempt(1, 1))
SECOND = AttemptKey(JOB, TaskId(3), Attempt(1, 2))


def finished(nas: str, key: AttemptKey = KEY, **outputs: str) -> AttemptKey:
    """An attempt that has ended well; `a__b` is the output `a/b`."""
    attempt = OpenAttempt(nas, key)
    attempt.log.write_text("it went well\n")
    paths = [name.replace("__", "/") for name in outputs]
    for path, text in zip(paths, outputs.values(), strict=True):
        attempt.output(path).write_text(text)
    attempt.commit(paths)
    return key


# --- ending well -------------------------------------------------------------------------------


def test_an_attempt_appears_whole_under_its_name(nas: str) -> None:
    finished(nas, chunks__a="aaa", b="")
    assert sorted(os.listdir(Path(nas, attempt_dir(KEY)))) == ["log", "manifest", "out"]
    assert not Path(nas, part_dir(KEY)).exists()
    assert input_path(nas, KEY, "chunks/a").read_text() == "aaa"
    assert input_path(nas, KEY, "b").read_text() == ""
    assert Path(nas, log_path(KEY, finished=True)).read_text() == "it went well\n"
    digest = hashlib.sha256(b"aaa").hexdigest()
    assert read_manifest(nas, KEY).file("chunks/a") == ManifestFile("chunks/a", 3, digest)


def test_an_attempt_without_outputs_can_end(nas: str) -> None:
    finished(nas)
    assert read_manifest(nas, KEY).files == ()


def test_an_attempt_is_whole_while_its_manifest_and_its_outputs_lie_there(nas: str) -> None:
    assert not is_whole(nas, KEY), "it has never been there"
    running = OpenAttempt(nas, KEY)
    running.output("a").write_text("aaa")
    assert not is_whole(nas, KEY), "it has not ended"
    running.commit(["a"])
    finished(nas, SECOND, a="aaa", below__b="")
    assert is_whole(nas, KEY)
    assert is_whole(nas, SECOND)
    Path(nas, output_path(KEY, "a")).write_text("aa")
    assert not is_whole(nas, KEY), "an output has another size"
    Path(nas, manifest_path(KEY)).write_bytes(b"?")
    assert not is_whole(nas, KEY), "its manifest is damaged"
    clean(nas, JOB)
    assert not is_whole(nas, SECOND), "its outputs have been removed with the job's end"


def test_a_nas_that_cannot_tell_whether_an_attempt_is_whole_is_blamed(nas: str) -> None:
    finished(nas, a="aaa")
    Path(nas, manifest_path(KEY)).unlink()
    Path(nas, manifest_path(KEY)).symlink_to(manifest_path(SECOND))
    with pytest.raises(NasError, match="symbolic link"):
        is_whole(nas, KEY)


def test_two_attempts_of_one_task_do_not_meet(nas: str) -> None:
    one, two = OpenAttempt(nas, KEY), OpenAttempt(nas, SECOND)
    one.output("a").write_text("one")
    two.output("a").write_text("two")
    two.commit(["a"])
    one.commit(["a"])
    assert input_path(nas, KEY, "a").read_text() == "one"
    assert input_path(nas, SECOND, "a").read_text() == "two"


def test_the_log_may_go_on_while_the_directory_is_renamed(nas: str) -> None:
    attempt = OpenAttempt(nas, KEY)
    with attempt.log.open("w") as log:
        attempt.commit([])
        log.write("a last word")
    assert Path(nas, log_path(KEY, finished=True)).read_text() == "a last word"


def test_an_attempt_is_never_begun_twice(nas: str) -> None:
    OpenAttempt(nas, KEY)
    with pytest.raises(NasError, match="File exists"):
        OpenAttempt(nas, KEY)


def test_an_attempt_that_has_ended_is_not_replaced(nas: str) -> None:
    finished(nas, a="first")
    again = OpenAttempt(nas, KEY)
    again.output("a").write_text("second")
    with pytest.raises(NasError, match="not empty"):
        again.commit(["a"])
    assert input_path(nas, KEY, "a").read_text() == "first"


def test_no_directory_is_made_where_the_nas_is_not_mounted(tmp_path: Path) -> None:
    with pytest.raises(NasError, match="not mounted"):
        OpenAttempt(str(tmp_path), KEY)
    assert os.listdir(tmp_path) == []


def test_an_smb_server_that_still_holds_a_file_is_waited_for(
    nas: str, clock: SleepClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = OpenAttempt(nas, KEY, pace=clock.pace)
    real = os.rename

    def held(source: str, target: str) -> None:
        if clock.now < 1.0:
            raise OSError(errno.EACCES, "Permission denied")
        real(source, target)

    monkeypatch.setattr(os, "rename", held)
    attempt.commit([])
    assert 1.0 <= clock.now < 1.2
    monkeypatch.setattr(clock, "now", -100.0)
    with pytest.raises(NasError, match="Permission denied"):
        OpenAttempt(nas, SECOND, pace=clock.pace).commit([])


# --- outputs that are none ---------------------------------------------------------------------


def test_a_missing_output_is_the_tasks_fault_and_is_named(nas: str) -> None:
    attempt = OpenAttempt(nas, KEY)
    attempt.output("there").write_text("x")
    with pytest.raises(OutputMissing, match=r"output films/a\.mkv was not written"):
        attempt.commit(["there", "films/a.mkv"])
    assert not Path(nas, attempt_dir(KEY)).exists()


def test_many_missing_outputs_are_counted(nas: str) -> None:
    attempt = OpenAttempt(nas, KEY)
    with pytest.raises(OutputMissing, match="and 95 more"):
        attempt.commit([f"{number}.txt" for number in range(100)])


def test_a_nas_that_vanishes_is_not_the_tasks_fault(nas: str) -> None:
    attempt = OpenAttempt(nas, KEY)
    os.rename(Path(nas, ".nanoboost"), Path(nas, "gone"))
    with pytest.raises(NasError, match="not mounted"):
        attempt.commit(["a"])


@pytest.mark.parametrize("kind", ["link", "fifo", "directory", "hard link", "below a file"])
def test_what_is_not_a_file_of_its_own_is_no_output(nas: str, tmp_path: Path, kind: str) -> None:
    (tmp_path / "secret").write_text("secret")
    attempt = OpenAttempt(nas, KEY)
    path = attempt.output("out.txt")
    if kind == "link":
        path.symlink_to(tmp_path / "secret")
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "hard link":
        os.link(tmp_path / "secret", path)
    else:
        path.mkdir()
        attempt.output("elsewhere").write_text("x")
    declared = "elsewhere/x" if kind == "below a file" else "out.txt"
    with pytest.raises(OutputMissing, match=declared):
        attempt.commit([declared])
    assert not Path(nas, attempt_dir(KEY)).exists()


def test_a_directory_that_is_a_link_leads_nowhere(nas: str, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "passwd").write_text("secret")
    attempt = OpenAttempt(nas, KEY)
    attempt.output("x")
    Path(nas, part_dir(KEY), "out", "films").symlink_to(outside)
    with pytest.raises(OutputMissing, match="films/passwd"):
        attempt.commit(["films/passwd"])


def test_an_output_that_leaves_the_directory_is_refused(nas: str) -> None:
    attempt = OpenAttempt(nas, KEY)
    for path in ("../escape", "/etc/cron.d/x", "a/../../b"):
        with pytest.raises(NasError, match="not a path below"):
            attempt.output(path)


def test_a_full_disk_that_is_told_at_the_sync_fails_the_attempt(
    nas: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = OpenAttempt(nas, KEY)
    attempt.output("a").write_text("a")

    def full(_fd: int) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NasError, match="make room"):
        attempt.commit(["a"])
    assert not Path(nas, attempt_dir(KEY)).exists()


def test_every_output_and_the_manifest_are_synced_before_the_rename(
    nas: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = OpenAttempt(nas, KEY)
    for path in ("a", "b/c"):
        attempt.output(path).write_text(path)
    done: list[str] = []
    sync, rename = os.fsync, os.rename

    def synced(fd: int) -> None:
        done.append(os.path.relpath(os.readlink(f"/proc/self/fd/{fd}"), nas))
        sync(fd)

    def renamed(source: str, target: str) -> None:
        done.append("RENAME")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", renamed)
    attempt.commit(["a", "b/c"])
    part = part_dir(KEY)
    wanted = ["out/a", "out/b/c", "out/b", "out", "manifest"]
    assert done == [*(f"{part}/{each}" for each in wanted), part, "RENAME", os.path.dirname(part)]


# --- a winner's output ---------------------------------------------------------------------------


def test_a_part_is_never_read(nas: str, clock: SleepClock) -> None:
    attempt = OpenAttempt(nas, KEY)
    attempt.output("a").write_text("a")
    with pytest.raises(NasError, match="the mount at"):
        input_path(nas, KEY, "a", pace=clock.pace)
    assert clock.now == pytest.approx(90.0)


def test_a_winner_that_shows_late_is_waited_for(nas: str, clock: SleepClock) -> None:
    clock.at(59.0, lambda: finished(nas, a="a"))
    assert input_path(nas, KEY, "a", pace=clock.pace).read_text() == "a"
    assert clock.now < 65.0


def test_an_output_that_grows_late_is_waited_for(nas: str, clock: SleepClock) -> None:
    finished(nas, a="whole")
    path = Path(nas, output_path(KEY, "a"))
    path.write_text("who")
    clock.at(3.0, lambda: path.write_text("whole"))
    assert input_path(nas, KEY, "a", pace=clock.pace).read_text() == "whole"
    assert 3.0 <= clock.now < 9.0


@pytest.mark.parametrize(("text", "word"), [("wh", "2 bytes"), ("wrong", "other content")])
def test_a_changed_output_is_refused(nas: str, clock: SleepClock, text: str, word: str) -> None:
    finished(nas, a="whole")
    Path(nas, output_path(KEY, "a")).write_text(text)
    with pytest.raises(NasError, match=word):
        input_path(nas, KEY, "a", 10.0, pace=clock.pace)
    assert clock.now == pytest.approx(10.0)


def test_an_output_that_became_a_link_is_refused_at_once(
    nas: str, clock: SleepClock, tmp_path: Path
) -> None:
    finished(nas, a="whole")
    path = Path(nas, output_path(KEY, "a"))
    os.rename(path, tmp_path / "whole")
    path.symlink_to(tmp_path / "whole")
    with pytest.raises(NasError, match="symbolic link"):
        input_path(nas, KEY, "a", pace=clock.pace)
    assert clock.now == 0.0


def test_an_attempts_directory_that_is_a_link_is_refused(
    nas: str, clock: SleepClock, tmp_path: Path
) -> None:
    finished(nas, a="whole")
    os.rename(Path(nas, attempt_dir(KEY)), tmp_path / "moved")
    Path(nas, attempt_dir(KEY)).symlink_to(tmp_path / "moved")
    with pytest.raises(NasError):
        input_path(nas, KEY, "a", pace=clock.pace)


def test_an_output_that_is_not_in_the_manifest_is_refused(nas: str, clock: SleepClock) -> None:
    finished(nas, a="a")
    Path(nas, output_path(KEY, "b")).write_text("b")
    with pytest.raises(NasError, match="says nothing about b"):
        input_path(nas, KEY, "b", pace=clock.pace)


def test_a_manifest_that_is_not_this_attempts_is_refused(nas: str, clock: SleepClock) -> None:
    finished(nas, a="a")
    path = Path(nas, manifest_path(KEY))
    whole = path.read_bytes()
    negative = Manifest(KEY, ())
    for data in (
        b"",
        whole[:-1],
        whole + b"\0",
        b"\xff" * 40,
        encode_manifest(Manifest(SECOND, ())),
        encode_manifest(negative)[:-1] + b"\x81\x83\x61a\x20\x60",  # a file of size -1
    ):
        path.write_bytes(data)
        with pytest.raises(NasError, match="damaged") as refused:
            input_path(nas, KEY, "a", 1.0, pace=clock.pace)
        assert "\n" not in str(refused.value)


# --- a user's own file ---------------------------------------------------------------------------


def test_a_source_is_where_the_user_put_it(nas: str) -> None:
    Path(nas, "films").mkdir()
    Path(nas, "films", "a.mkv").write_text("film")
    Path(nas, "link.mkv").symlink_to("films/a.mkv")
    assert source_path(nas, "films/a.mkv") == Path(nas, "films", "a.mkv")
    assert source_path(nas, "link.mkv").read_text() == "film"


def test_a_source_that_is_late_or_missing(nas: str, clock: SleepClock) -> None:
    clock.at(5.0, Path(nas, "late").touch)
    source_path(nas, "late", pace=clock.pace)
    with pytest.raises(NasError, match=r"films/a\.mkv"):
        source_path(nas, "films/a.mkv", 30.0, pace=clock.pace)


def test_a_source_that_is_no_file_or_elsewhere_is_refused(nas: str, clock: SleepClock) -> None:
    Path(nas, "films").mkdir()
    os.mkfifo(Path(nas, "fifo"))
    for path in ("films", "fifo"):
        with pytest.raises(NasError, match="not a file"):
            source_path(nas, path, pace=clock.pace)
    for path in ("/etc/passwd", "../x"):
        with pytest.raises(NasError, match="not a path"):
            source_path(nas, path, pace=clock.pace)
    assert clock.now == 0.0


def test_the_id_is_asked_for_by_its_content_only(nas: str) -> None:
    """`require_id` guards every write; a dangling ID counts as none."""
    Path(nas, ID).unlink()
    with pytest.raises(NasError, match="not mounted"):
        OpenAttempt(nas, KEY)
