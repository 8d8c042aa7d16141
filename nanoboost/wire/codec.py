"""Messages to bytes and back: a CBOR array `[tag, field, ...]`, one frozen class a tag.

**Nothing from outside is believed before its exact type and bound are checked.**  `Catalog.decode`
answers with a well-formed message or raises `RemoteError`; it raises nothing else, whatever the
bytes are and whichever cbor2 is installed (cbor2 raises several kinds of exception, and accepts
tags, cycles, duplicate keys and trailing bytes, so a scan of our own goes first).

Field types that can travel: `bool int float str bytes`, `X | None`, `tuple[X, ...]`,
`tuple[X, Y]`, an `enum.Enum`, a NewType of these, a frozen attrs class (a nested array; or bytes,
if it has `to_wire` and `from_wire`, which raises `ValueError`), and `Value` (what a user's
parameter may be).  Fields are only ever appended, with defaults; tags are never reused; a decoder
fills missing trailing fields from their defaults.
"""

import enum
import functools
import math
import operator
import types
import typing
from collections.abc import Callable, Iterable
from typing import Any, NoReturn, TypeVar

import attrs
import cbor2

from nanoboost.errors import LocalError, RemoteError
from nanoboost.wire.scan import DEPTH_MAX, ITEMS_MAX, scan

T = TypeVar("T")

Value = Any
"""What a user's parameter may be: None, bool, int (64 bit), float, str, bytes, or a list or a dict
with text keys of these.  Marked in a message by the annotation `Value`."""

INT_MIN, INT_MAX = -(1 << 63), (1 << 63) - 1

Check = Callable[[Any], Any]


@typing.dataclass_transform(frozen_default=True, field_specifiers=(attrs.field,))
def message(tag: int) -> Callable[[type[T]], type[T]]:
    """Class decorator: a frozen attrs class that travels under `tag`."""

    def decorate(cls: type[T]) -> type[T]:
        made = attrs.frozen(cls)
        made.TAG = tag  # type: ignore[attr-defined]
        return made

    return decorate


def _exactly(kind: type) -> Check:
    def check(value: Any) -> Any:
        if type(value) is not kind:
            raise RemoteError(f"{kind.__name__} expected, {type(value).__name__} found")
        return value

    return check


def _integer(value: Any) -> int:
    if type(value) is not int or not INT_MIN <= value <= INT_MAX:
        raise RemoteError(f"64-bit integer expected, {type(value).__name__} found")
    return value


def _number(value: Any) -> float:
    if type(value) is int and INT_MIN <= value <= INT_MAX:
        return float(value)
    if type(value) is not float or value != value or value in (float("inf"), float("-inf")):
        raise RemoteError("finite number expected")
    return value


def check_value(value: Any, depth: int = 0) -> Any:
    """Return `value` if a parameter of this kind can travel; raise `RemoteError` if not."""
    if value is None or type(value) in (bool, str, bytes):
        return value
    if type(value) is int:
        return _integer(value)
    if type(value) is float:
        return _number(value)
    if depth >= DEPTH_MAX - 4:
        raise RemoteError("value nested too deep")
    if type(value) is list:
        return [check_value(item, depth + 1) for item in value]
    if type(value) is dict:
        if any(type(key) is not str for key in value):
            raise RemoteError("keys must be text")
        return {key: check_value(item, depth + 1) for key, item in value.items()}
    raise RemoteError(f"{type(value).__name__} cannot travel")


def _sequence(value: Any) -> list[Any] | tuple[Any, ...]:
    if type(value) not in (list, tuple):
        raise RemoteError(f"array expected, {type(value).__name__} found")
    return typing.cast("list[Any]", value)


def _many(item: Check) -> Check:
    kind = _KIND_IS_ENOUGH.get(item)

    def check(value: Any) -> Any:
        found = value if type(value) is list else _sequence(value)
        return tuple(
            [
                each
                if type(each) is kind and (kind is not int or INT_MIN <= each <= INT_MAX)
                else item(each)
                for each in found
            ]
        )

    return check


def _fixed(checks: list[Check]) -> Check:
    def check(value: Any) -> Any:
        found = _sequence(value)
        if len(found) != len(checks):
            raise RemoteError(f"array of {len(checks)} expected, {len(found)} found")
        return tuple(one(each) for one, each in zip(checks, found, strict=True))

    return check


def _enumeration(kind: type[enum.Enum]) -> Check:
    members = {(type(member.value), member.value): member for member in kind}

    def check(value: Any) -> Any:
        try:
            return members[type(value), value]
        except (KeyError, TypeError):
            raise RemoteError(f"not a {kind.__name__}") from None

    return check


def _optional(inner: Check) -> Check:
    return lambda value: None if value is None else inner(value)


_SCALARS: dict[Any, Check] = {
    bool: _exactly(bool),
    int: _integer,
    float: _number,
    str: _exactly(str),
    bytes: _exactly(bytes),
    Any: check_value,
}


_KIND_IS_ENOUGH: dict[Check, Any] = {_SCALARS[kind]: kind for kind in (bool, int, str, bytes)}
"""Checks that a value of the right type (an integer: of 64 bits) has passed already: they need not
be called, and they are what is checked most."""


def _check_for(annotation: Any) -> Check:
    """Compile an annotation into the function that checks and converts a decoded value."""
    while hasattr(annotation, "__supertype__"):  # NewType
        annotation = annotation.__supertype__
    if annotation in _SCALARS:
        return _SCALARS[annotation]
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return _many(_check_for(arguments[0]))
    if origin is tuple:
        return _fixed([_check_for(each) for each in arguments])
    if origin in (typing.Union, types.UnionType) and type(None) in arguments:
        (inner,) = (each for each in arguments if each is not type(None))
        return _optional(_check_for(inner))
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return _enumeration(annotation)
    if isinstance(annotation, type) and hasattr(annotation, "from_wire"):
        return _packed(annotation.from_wire)
    if isinstance(annotation, type) and attrs.has(annotation):
        return _record_of(annotation).build
    raise LocalError(f"{annotation!r} cannot travel in a message")


def _packed(unpack: Callable[[bytes], Any]) -> Check:
    def check(value: Any) -> Any:
        if type(value) is not bytes:
            raise RemoteError(f"bytes expected, {type(value).__name__} found")
        try:
            return unpack(value)
        except ValueError as error:
            raise RemoteError(str(error)) from None

    return check


class _Record:
    """A frozen attrs class and the checks of its fields, in order."""

    def __init__(self, cls: type) -> None:
        self._cls = cls
        hints = typing.get_type_hints(cls)
        fields = attrs.fields(cls)
        self._checks = [_check_for(hints[field.name]) for field in fields]
        self._enough = [_KIND_IS_ENOUGH.get(check) for check in self._checks]
        self._names = [field.name for field in fields]
        self._required = sum(field.default is attrs.NOTHING for field in fields)

    def build(self, values: Any) -> Any:
        found = values if type(values) is list else _sequence(values)
        if not self._required <= len(found) <= len(self._checks):
            raise RemoteError(f"{self._cls.__name__} with {len(found)} fields")
        try:
            fields = [
                value
                if type(value) is kind and (kind is not int or INT_MIN <= value <= INT_MAX)
                else check(value)
                for kind, check, value in zip(self._enough, self._checks, found, strict=False)
            ]
        except RemoteError as error:
            raise RemoteError(f"{self._cls.__name__}.{self._wrong(found)}: {error}") from None
        try:
            return self._cls(*fields)
        except (ValueError, TypeError) as error:  # an attrs validator: the value is out of bounds
            raise RemoteError(f"{self._cls.__name__}: {error}") from None

    def _wrong(self, found: Iterable[Any]) -> str:
        """The name of the first field that holds what it must not."""
        for name, check, value in zip(self._names, self._checks, found, strict=False):
            try:
                check(value)
            except RemoteError:
                return name
        raise AssertionError("one of them was wrong before")


@functools.cache
def _record_of(cls: type) -> _Record:
    """Compiled once for all catalogs and all messages in which it is nested."""
    return _Record(cls)


_AS_IT_IS = frozenset((str, bytes, bool, type(None)))


def _fields_of(cls: type) -> Callable[[Any], tuple[Any, ...]] | None:
    """What gives the fields of an instance, in order; None if `cls` is no attrs class."""
    if not attrs.has(cls):
        return None
    names = [field.name for field in attrs.fields(cls)]
    if len(names) < 2:
        return lambda value: tuple(getattr(value, name) for name in names)
    return operator.attrgetter(*names)


def _plain_list(values: Iterable[Any]) -> list[Any]:
    return [
        each
        if (kind := type(each)) in _AS_IT_IS or (kind is int and INT_MIN <= each <= INT_MAX)
        else _plain_of(kind)(each)  # type: ignore[arg-type]  # mypy: a class is hashable
        for each in values
    ]


def _plain(value: Any) -> Any:
    """What cbor2 can encode: enums by value, nested classes as arrays, tuples as arrays."""
    return _plain_of(type(value))(value)  # type: ignore[arg-type]


@functools.cache
def _plain_of(kind: Any) -> Callable[[Any], Any]:
    """What makes a value of this kind plain; chosen once."""
    if kind in _AS_IT_IS:
        return lambda value: value
    if kind is int:
        return lambda value: value if INT_MIN <= value <= INT_MAX else _refuse(value)
    if kind is float:
        return lambda value: value if math.isfinite(value) else _refuse(value)
    if kind in (tuple, list):
        return _plain_list
    if hasattr(kind, "to_wire"):
        return operator.methodcaller("to_wire")
    fields_of = _fields_of(kind)
    if fields_of is not None:
        return lambda value: _plain_list(fields_of(value))
    if issubclass(kind, enum.Enum):
        return operator.attrgetter("value")
    return _plain_dict if kind is dict else _refuse


def _plain_dict(value: dict[Any, Any]) -> dict[Any, Any]:
    if any(type(key) is not str for key in value):
        _refuse(value)
    return {key: _plain(each) for key, each in value.items()}


def _refuse(value: object) -> NoReturn:
    raise LocalError(f"this {type(value).__name__} cannot travel in a message")


class Catalog:
    """The messages that one kind of channel may carry."""

    def __init__(self, classes: Iterable[type], items_max: int = ITEMS_MAX) -> None:
        self._items_max = items_max
        self._record_by_tag: dict[int, _Record] = {}
        self._classes: set[type] = set()
        for cls in classes:
            tag: int = cls.TAG  # type: ignore[attr-defined]
            if tag in self._record_by_tag:
                raise LocalError(f"tag {tag} of {cls.__name__} is taken")
            self._record_by_tag[tag] = _record_of(cls)
            self._classes.add(cls)

    def encode(self, message: object) -> bytes:
        """Return the bytes of `message`.  Raises `LocalError` if it is not in this catalog."""
        if type(message) not in self._classes:
            raise LocalError(f"{type(message).__name__} is not in this catalog")
        tag: int = message.TAG  # type: ignore[attr-defined]
        try:
            return cbor2.dumps([tag, *_plain(message)])
        except UnicodeEncodeError:  # half a surrogate pair: a file name that is not UTF-8
            raise LocalError(f"{type(message).__name__} with text that is not UTF-8") from None

    def decode(self, data: bytes) -> Any:
        """Return the message that `data` holds, checked field by field, or raise `RemoteError`."""
        scan(data, self._items_max)
        try:
            found = cbor2.loads(data)
        except Exception as error:
            raise RemoteError(f"not a message: {type(error).__name__}") from None
        if type(found) is not list or not found or type(found[0]) is not int:
            raise RemoteError("not a tagged array")
        record = self._record_by_tag.get(found[0])
        if record is None:
            raise RemoteError(f"unknown message {found[0]}")
        return record.build(found[1:])


def evolve(message: T, **changes: Any) -> T:
    """A copy of `message` (any class that can travel) with some fields changed."""
    changed: T = attrs.evolve(typing.cast(Any, message), **changes)
    return changed


def encode_value(value: Value) -> bytes:
    """Canonical bytes of a plain value (None, bool, int, float, str, bytes, list, dict): the same
    value gives the same bytes everywhere, so they can be digested."""
    return cbor2.dumps(value, canonical=True)


def decode_value(data: bytes) -> Value:
    """The plain value that `data` holds, or `RemoteError`."""
    scan(data, ITEMS_MAX)
    try:
        return check_value(cbor2.loads(data))
    except RemoteError:
        raise
    except Exception as error:
        raise RemoteError(f"not a value: {type(error).__name__}") from None
