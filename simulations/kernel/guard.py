"""Nothing gets around the simulated world: no global reactor, clock, entropy, socket or thread.

**What a node does behind its Runtime's back is an error at the place where it does it**, while a
run goes on.  Three nets, since none holds everything: the global reactor is replaced, the usual
functions are, and an audit hook sees files, sockets and processes.  (A name that was imported from
its module before cannot be replaced: that is what the lint of `tests/test_architecture.py` is for.)
"""

import contextlib
import gc
import importlib
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any


class Escape(AssertionError):
    """Something was asked of the real world."""


_REPLACED: tuple[tuple[Any, str], ...] = (
    (time, "time time_ns monotonic monotonic_ns sleep"),
    (random, "random randrange randint choice choices shuffle sample uniform getrandbits gauss"),
    (os, "urandom fork"),
    (threading.Thread, "start"),
)
_MAY_LOOK_AT_THE_CLOCK = frozenset({"twisted.python.log", "twisted.logger._logger"})
"""They stamp log events with a time that nobody reads here."""
_FORBIDDEN_EVENTS = frozenset(
    {
        "socket.__new__",
        "socket.connect",
        "socket.bind",
        "subprocess.Popen",
        "os.system",
        "os.posix_spawn",
        "os.mkdir",
        "os.remove",
        "os.rename",
        "os.rmdir",
        "sqlite3.connect",
        "tempfile.mkstemp",
        "tempfile.mkdtemp",
    }
)
_REACTOR = "twisted.internet.reactor"

_active = False
_hooked = False


class _NoReactor:
    """In the place of the global reactor."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if not _active:  # a module that was first imported during a run has kept this object
            return getattr(importlib.import_module(_REACTOR), name)
        raise Escape(f"the global reactor's {name} was used")


def _forbidden(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def escape(*arguments: object, **named: object) -> Any:
        if sys._getframe(1).f_globals.get("__name__") in _MAY_LOOK_AT_THE_CLOCK:
            return real(*arguments, **named)
        raise Escape(f"{name} was called inside the simulated world")

    return escape


def _audit(event: str, arguments: Any) -> None:
    if not _active:
        return
    if event in _FORBIDDEN_EVENTS or (event == "open" and not _is_for_python(arguments)):
        raise Escape(f"{event} {arguments!r} inside the simulated world")


def _is_for_python(arguments: Any) -> bool:
    """Whether a file is opened that Python itself reads: a module that is imported, or the lines of
    a traceback."""
    path, mode, flags = arguments
    if path == os.devnull:
        return True  # Twisted keeps a descriptor in reserve
    writing = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR) != 0
    writing = writing or (isinstance(mode, str) and any(each in mode for each in "wax+"))
    return not writing and isinstance(path, str) and path.endswith((".py", ".pyc", ".so"))


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """While this lasts the real world is out of reach.

    The garbage collector is off too: Twisted reports an error that nobody handled when it is
    collected, and that must have its place in the order of events.
    """
    global _active, _hooked
    if not _hooked:
        sys.addaudithook(_audit)
        gc.freeze()  # what is there by now is no run's, and need not be looked through after each
        _hooked = True
    saved = [
        (owner, name, getattr(owner, name)) for owner, names in _REPLACED for name in names.split()
    ]
    reactor = sys.modules.get(_REACTOR)
    package = sys.modules.get("twisted.internet")
    attribute = getattr(package, "reactor", None)
    collecting = gc.isenabled()
    try:
        gc.disable()
        for owner, name, real in saved:
            setattr(owner, name, _forbidden(f"{owner.__name__}.{name}", real))
        sys.modules[_REACTOR] = _NoReactor()  # type: ignore[assignment]
        if package is not None:
            package.reactor = sys.modules[_REACTOR]  # type: ignore[attr-defined]
        _active = True
        yield
    finally:
        _active = False
        for owner, name, value in saved:
            setattr(owner, name, value)
        _restore(reactor, package, attribute)
        if collecting:
            gc.enable()


def _restore(reactor: Any, package: Any, attribute: Any) -> None:
    if reactor is None:
        sys.modules.pop(_REACTOR, None)
    else:
        sys.modules[_REACTOR] = reactor
    if package is None:
        return
    if attribute is None:
        with contextlib.suppress(AttributeError):
            del package.reactor
    else:
        package.reactor = attribute
