"""What is said of an exception: short, printable, and about the user's own code."""

import subprocess
from pathlib import Path

import pytest

from nanoboost.agent.blame import ERROR_CHARS, line, one_line, tell

HERE = Path(__file__).name


def test_the_place_is_the_users_own_and_not_the_librarys() -> None:
    try:
        Path("/no/such/file").read_text()
    except OSError as problem:
        told = tell(problem)
    assert told.line.startswith("FileNotFoundError: [Errno 2]")
    assert f"(in {HERE}, line " in told.line
    assert "pathlib" in told.traceback, "the log has it all"


def test_a_long_command_is_named_by_its_program() -> None:
    for status, end in ((1, "ended with status 1"), (-9, "was killed by signal 9")):
        problem = subprocess.CalledProcessError(status, ["/usr/bin/ffmpeg", "-i", "x" * 1000])
        assert tell(problem).line == f"CalledProcessError: ffmpeg {end}"


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError


def test_an_exception_that_cannot_be_shown_is_named() -> None:
    assert tell(Mute()).line == "Mute"


@pytest.mark.parametrize("length", [ERROR_CHARS, ERROR_CHARS + 1, 10_000])
def test_a_long_text_loses_its_middle(length: int) -> None:
    text = "a" + "x" * (length - 2) + "z"
    clipped = line(text)
    assert len(clipped) <= ERROR_CHARS + len(" ... ")
    assert (clipped[0], clipped[-1]) == ("a", "z")
    assert (clipped == text) == (length <= ERROR_CHARS)


def test_an_error_of_ours_names_the_file() -> None:
    assert one_line(OSError(28, "No space left", "/nas/x\ny")) == "No space left: /nas/x y"
    assert one_line(OSError()) == "OSError"
