"""What is said of an exception: one line for the report, the user's frames for the log.

**The line names the user's own code**, the deepest place in it, and not the library or the part of
NanoBoost where the exception happens to come from.
"""

import sysconfig
import traceback
from pathlib import PurePath
from types import TracebackType

from attrs import frozen

import nanoboost

ERROR_CHARS = 300

_NOT_THE_USERS = (
    "<",  # frozen importlib, strings
    str(PurePath(nanoboost.__file__).parent),
    sysconfig.get_path("stdlib"),
    sysconfig.get_path("purelib"),
    sysconfig.get_path("platlib"),
)
"""How the file names of code that is not the user's begin."""


@frozen
class Told:
    """What is said of an exception in user code: one `line`, and the traceback for the log."""

    line: str
    traceback: str


def tell(problem: BaseException) -> Told:
    """Tell of an exception that user code has raised."""
    first = _first_frame(problem.__traceback__)
    found = traceback.TracebackException(type(problem), problem, first)
    return Told(f"{line(_said(problem))}{_place(first)}", "".join(found.format()))


def one_line(problem: Exception) -> str:
    """What an exception of our own says."""
    if isinstance(problem, OSError) and problem.strerror:
        where = f": {problem.filename}" if problem.filename else ""
        return line(f"{problem.strerror}{where}")
    return line(_first_line(problem) or type(problem).__name__)


def printable(text: str) -> str:
    """The text without what could confuse a terminal or cannot be encoded."""
    return "".join(
        each if each.isprintable() or each in "\n\t" else "\N{REPLACEMENT CHARACTER}"
        for each in text
    )


def line(text: str) -> str:
    """The text as one line, its middle left out where it is too long."""
    text = printable(text.replace("\n", " ").replace("\t", " "))
    if len(text) <= ERROR_CHARS:
        return text
    return f"{text[: ERROR_CHARS // 2]} ... {text[-ERROR_CHARS // 2 :]}"


def _said(problem: BaseException) -> str:
    kind = type(problem).__name__
    command, status = getattr(problem, "cmd", None), getattr(problem, "returncode", None)
    if isinstance(command, list | tuple) and command and isinstance(status, int):
        # A CalledProcessError's own text is the whole command, however long.
        end = f"ended with status {status}" if status > 0 else f"was killed by signal {-status}"
        return f"{kind}: {PurePath(str(command[0])).name} {end}"
    text = _first_line(problem)
    return f"{kind}: {text}" if text else kind


def _first_line(problem: BaseException) -> str:
    try:
        lines = str(problem).splitlines()
    except Exception:  # a `__str__` of the user's
        return ""
    return lines[0] if lines else ""


def _is_users(frame: TracebackType) -> bool:
    return not frame.tb_frame.f_code.co_filename.startswith(_NOT_THE_USERS)


def _first_frame(frames: TracebackType | None) -> TracebackType | None:
    """From where the user's code begins; all frames if it never does."""
    frame = frames
    while frame is not None and not _is_users(frame):
        frame = frame.tb_next
    return frame or frames


def _place(frame: TracebackType | None) -> str:
    """The deepest place in the user's own code."""
    place = ""
    while frame is not None:
        if _is_users(frame):
            file = PurePath(frame.tb_frame.f_code.co_filename).name
            place = f" (in {file}, line {frame.tb_lineno})"
        frame = frame.tb_next
    return place
