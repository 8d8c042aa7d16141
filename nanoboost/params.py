"""What a parameter may be: its type, its bounds, its text form on the command line.

**A value that passes `Kind.check` can travel**: it is the plain value of the declared type, within
64 bits, finite, and not too large for a plan.
"""

import json
import math
import typing
from typing import Any

from nanoboost.errors import GraphError, RemoteError
from nanoboost.wire.codec import check_value, encode_value

BYTES_MAX = 256 * 1024
"""A larger value belongs into a file: every task carries its own copy."""

WANTED = {
    bool: "yes or no",
    int: "a whole number",
    float: "a number",
    str: "text",
    bytes: "bytes",
    list: "a list",
    dict: "a dict with text keys",
}
SCALARS = (bool, int, float, str)
_TRUTH = {
    **dict.fromkeys(("yes", "true", "on", "1"), True),
    **dict.fromkeys(("no", "false", "off", "0"), False),
}


class Kind:
    """A parameter's declared type: one of `WANTED`, or a list of one of `SCALARS`."""

    def __init__(self, declared: Any) -> None:
        self.base: Any = typing.get_origin(declared) or declared
        arguments = typing.get_args(declared)
        self._item = Kind(arguments[0]) if self.base is list and arguments else None
        known = self.base in WANTED if isinstance(self.base, type) else False
        if not known or (self._item and self._item.base not in SCALARS):
            names = ", ".join(kind.__name__ for kind in WANTED)
            raise GraphError(f"{declared!r} cannot be a parameter's type: take one of {names}")

    @property
    def wanted(self) -> str:
        """How people call it."""
        return f"a list, each {self._item.wanted}" if self._item else WANTED[self.base]

    def check(self, value: object) -> Any:
        """The plain value; `GraphError` if it is of another type or cannot travel."""
        if self.base is float and type(value) is int:
            value = float(value) if abs(value) < 1 << 1000 else value
        elif self.base is list and type(value) is tuple:
            value = list(value)
        if type(value) is not self.base:
            raise GraphError(f"{_shown(value)} is not {self.wanted}")
        if self._item:
            value = [self._item.check(each) for each in typing.cast("list[object]", value)]
        try:
            found = check_value(value)
            size = len(encode_value(found)) if self.base not in (bool, int, float) else 0
        except RemoteError as error:
            allowed = ", ".join(kind.__name__ for kind in WANTED)
            raise GraphError(
                f"{_shown(value)} cannot travel ({error}); what can: {allowed} (64 bit, finite)"
            ) from None
        except ValueError as error:  # text with half of a surrogate pair
            raise GraphError(f"{_shown(value)} cannot travel: {error}") from None
        if size > BYTES_MAX:
            raise GraphError(f"{size} bytes are too many: put it into a file and pass its path")
        return found

    def parse(self, text: str) -> Any:
        """The value that `text` says on a command line; `GraphError` if none."""
        try:
            return self.check(self._parse(text))
        except (ValueError, KeyError):
            raise GraphError(f"{_shown(text)} is not {self.wanted}") from None

    def _parse(self, text: str) -> Any:
        if self.base is bool:
            return _TRUTH[text.strip().lower()]
        if self.base is int:
            return int(text)
        if self.base is float:
            if not math.isfinite(float(text)):
                raise ValueError
            return float(text)
        if self.base is bytes:
            return text.encode()
        if self.base is str:
            return text
        if self.base is list and not text.lstrip().startswith("["):
            item = self._item or Kind(str)
            return [item.parse(each) for each in text.split(",")] if text else []
        return json.loads(text)


def _shown(value: object) -> str:
    """The value in an error: one short line of ASCII."""
    if callable(value):
        return f"the {type(value).__name__} {getattr(value, '__name__', '')}".strip()
    try:
        text = ascii(value)
    except Exception:  # a user's own __repr__
        text = f"a {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."
