"""The names of files: templates such as `counts/{text.stem}.txt`, and what a path may be.

**A template reaches the fields it names and nothing behind them**: the only attributes are the four
of a path in `ATTRIBUTES`, and a format specification is short and numeric.  **A path that passes
`check_output` stays below the NAS root and means the same on ext4, NFS and SMB.**
"""

import re
import string
import unicodedata
from collections.abc import Mapping
from pathlib import PurePath, PurePosixPath

from attrs import frozen

from nanoboost.errors import GraphError
from nanoboost.nas.layout import PRIVATE

ATTRIBUTES = ("stem", "name", "suffix", "parent")
INDEX = "i"
"""What a template of many files calls the number of the file."""

NAME_BYTES_MAX = 200
PATH_BYTES_MAX = 1000

_FIELD = re.compile(r"([^\W\d]\w*)(?:\.(\w+))?")
_SPEC = re.compile(r"[<>^]?0?[0-9]{0,2}(?:\.[0-9])?[bdoxXeEfFgs]?")
_HOSTILE = re.compile(r'[\x00-\x1f\x7f\\:*?"<>|]')
_DEVICE = re.compile(r"(con|prn|aux|nul|com[1-9]|lpt[1-9])(\..*)?", re.IGNORECASE)


@frozen
class Place:
    """One `{field.attribute:spec}` of a template, and the text before it."""

    before: str
    field: str
    attribute: str
    spec: str


@frozen
class Template:
    """A parsed template; `after` is the text behind its last place."""

    places: tuple[Place, ...]
    after: str

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that it names, in order."""
        return tuple(place.field for place in self.places)

    def render(self, values: Mapping[str, object]) -> str:
        """The text with `values` in its places; `ValueError` if one does not fit its place."""
        out: list[str] = []
        for place in self.places:
            value = values[place.field]
            if place.attribute:
                value = getattr(value, place.attribute)
            if isinstance(value, PurePath):
                value = str(value)
            out += (place.before, format(value, place.spec))
        return "".join((*out, self.after))


def parse(text: str) -> Template:
    """The template that `text` is; `GraphError` says what is wrong with it."""
    try:
        found = list(string.Formatter().parse(text))
    except ValueError as error:
        raise GraphError(f"{text!r} is no template: {error}") from None
    places = []
    before = ""
    for literal, name, spec, conversion in found:
        before += literal
        if name is None:
            continue
        field = _FIELD.fullmatch(name)
        if field is None or conversion:
            raise GraphError(f"{text!r}: write {{field}} or {{field.stem}}, not {{{name}}}")
        if field[2] and field[2] not in ATTRIBUTES:
            raise GraphError(
                f"{text!r}: .{field[2]} cannot be used here, only .{', .'.join(ATTRIBUTES)}"
            )
        if not _SPEC.fullmatch(spec or ""):
            raise GraphError(f"{text!r}: {spec!r} is no format of a number, such as 04d")
        places.append(Place(before, field[1], field[2] or "", spec or ""))
        before = ""
    return Template(tuple(places), before)


def check_output(text: str) -> str:
    """The path, normalised, that an output may have; `GraphError` names what is wrong with it."""
    path = _relative(unicodedata.normalize("NFC", text))
    for name in path.parts:
        _check_name(text, name)
    if len(str(path).encode()) > PATH_BYTES_MAX:
        raise GraphError(f"{text[:40]!r}... is longer than {PATH_BYTES_MAX} bytes")
    return str(path)


def check_source(text: str) -> str:
    """The path, normalised, of a user's own file.  Its names are what they are on the NAS."""
    if "\0" in text:
        raise GraphError(f"{text!r} holds a zero byte")
    path = _relative(text)
    if path.parts[0].casefold() == PRIVATE:
        raise GraphError(f"{text!r} is NanoBoost's own: use the published file")
    return str(path)


def same_file_key(path: str) -> str:
    """Equal for two paths that some file system on a NAS takes for one file."""
    return unicodedata.normalize("NFC", path).casefold()


def _relative(text: str) -> PurePosixPath:
    path = PurePosixPath(text)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise GraphError(f"{text!r} is not text at character {error.start}") from None
    if path.is_absolute():
        raise GraphError(f"{text!r} is absolute: paths are relative to the NAS")
    if ".." in path.parts:
        raise GraphError(f"{text!r} leaves the NAS by '..': write the path without it")
    if not path.parts:
        raise GraphError(f"{text!r} names no file")
    return path


def _check_name(text: str, name: str) -> None:
    hostile = _HOSTILE.search(name)
    if hostile:
        raise GraphError(f"{text!r}: {hostile[0]!r} cannot be in a file name on every NAS")
    if name != name.rstrip(". "):
        raise GraphError(f"{text!r}: no file name may end in a dot or a space (SMB drops it)")
    if _DEVICE.fullmatch(name):
        raise GraphError(f"{text!r}: {name!r} is a device on Windows, not a file")
    if name.casefold() == PRIVATE:
        raise GraphError(f"{text!r}: {PRIVATE} is NanoBoost's own directory")
    if len(name.encode()) > NAME_BYTES_MAX:
        raise GraphError(f"{name[:40]!r}... is longer than {NAME_BYTES_MAX} bytes")
