"""Where the programs are that tasks call.

**The answer is a path that can be executed, or None**: nothing is run to find out.
"""

import importlib.util
import os
import shutil
from pathlib import Path

WHEELS = {"ffmpeg": ("imageio_ffmpeg", "binaries/ffmpeg-*")}
"""Programs that a Python package brings along: the package, and where in it the program lies."""


def find(name: str) -> str | None:
    """The program called `name`: on PATH, or in a Python package that brings it."""
    return shutil.which(name) or _in_a_wheel(name)


def _in_a_wheel(name: str) -> str | None:
    package, pattern = WHEELS.get(name, ("", ""))
    found = importlib.util.find_spec(package) if package else None
    if found is None or found.origin is None:
        return None
    for path in sorted(Path(found.origin).parent.glob(pattern)):
        if path.is_file() and os.access(path, os.X_OK):
            return str(path)
    return None
