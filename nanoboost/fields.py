"""The fields that Nanos and NanoGraphs declare: `Input`, `Output`, `Param`.

To a type checker a field is what it is in `run()`: a `Path`, a list of them, a parameter's value.
While a graph is built a file is a path relative to the NAS; one that a Nano will make is a `Made`,
and **a `Made` knows its maker: that is how edges follow from the data**.
"""

import inspect
from collections.abc import Iterable, Mapping
from copy import copy
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, ClassVar, Generic, Literal, Self, TypeVar, overload

from nanoboost.errors import GraphError
from nanoboost.params import Kind
from nanoboost.template import INDEX, Template, check_source, parse

T = TypeVar("T")
F = TypeVar("F")


class Made(PurePosixPath):
    """A file that a Nano will make: its planned path, relative to the NAS.

    Paths that are derived from it (`made.parent`) have no maker.
    """

    maker: Any = None


class Field(Generic[F]):
    """What every field has: its name, and that its value is looked up on the instance."""

    name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type) -> F: ...
    def __get__(self, instance: object | None, owner: type) -> Any:
        # The values are in the instance's own dictionary, which comes first.
        if instance is None:
            return self
        raise AttributeError(f"{owner.__name__}.{self.name} has no value yet")


class Input(Field[F]):
    """A file to read: on the NAS, or another Nano's output.  With `many`, a list of them."""

    @overload
    def __init__(self: "Input[Path]", *, many: Literal[False] = False) -> None: ...
    @overload
    def __init__(self: "Input[list[Path]]", *, many: Literal[True]) -> None: ...
    def __init__(self, *, many: bool = False) -> None:
        self.many = many

    def take(self, given: object) -> Any:
        """The file or files that `given` names; `GraphError` if it names none."""
        if not self.many:
            return _file(given)
        if isinstance(given, str | bytes | PurePath | Mapping) or not isinstance(given, Iterable):
            raise GraphError(f"many=True wants a list of files, not {_called(given)}")
        return [_file(each) for each in given]


class Output(Field[F]):
    """A file to write, at the path relative to the NAS where it is published if it is a result.

    The path is a template over the Nano's parameters and single inputs: `{crf}`, `{number:05d}`,
    `{text.stem}` (also `name`, `suffix`, `parent`).  With `many="n"` there are `n` files (`n` is an
    int parameter), and `{i}` counts them from 0.
    """

    @overload
    def __init__(self: "Output[Path]", path: str, *, many: None = None) -> None: ...
    @overload
    def __init__(self: "Output[list[Path]]", path: str, *, many: str) -> None: ...
    def __init__(self, path: str, *, many: str | None = None) -> None:
        self.path = path
        self.many = many

    def template(self, fields: "Mapping[str, Field[Any]]") -> Template:
        """The parsed path; `GraphError` if it reaches for anything but `fields`."""
        template = parse(self.path)
        for place in template.places:
            if place.field == INDEX and self.many:
                if place.attribute:
                    raise GraphError(f"{self.path!r}: {{{INDEX}}} is a number")
                continue
            field = fields.get(place.field)
            if field is None:
                raise GraphError(unknown(f"{self.path!r}: no field", place.field, fields))
            _check_place(self.path, field, place.attribute)
        if self.many:
            counter = fields.get(self.many)
            if not isinstance(counter, Param) or counter.kind.base is not int:
                raise GraphError(f"many={self.many!r} must name an int Param of the same class")
            if INDEX in fields:
                raise GraphError(
                    f"{{{INDEX}}} counts the files: call the field {INDEX!r} otherwise"
                )
            if INDEX not in template.fields:
                raise GraphError(f"{self.path!r}: many files need {{{INDEX}}} in their path")
        return template


class Param(Field[T]):
    """A value: `Param(int, default=23, min=0, max=51)`; without a default it must be given.

    Types are bool, int, float, str, bytes, dict, list, and lists such as `list[int]`.
    """

    @overload
    def __init__(
        self: "Param[T]",
        type_: type[T],
        default: T = ...,
        *,
        min: float | None = None,
        max: float | None = None,
        choices: Iterable[T] = (),
    ) -> None: ...
    @overload
    def __init__(
        self: "Param[T | None]",
        type_: type[T],
        default: None,
        *,
        min: float | None = None,
        max: float | None = None,
        choices: Iterable[T] = (),
    ) -> None: ...
    def __init__(
        self,
        type_: Any,
        default: Any = ...,
        *,
        min: float | None = None,  # noqa: A002
        max: float | None = None,  # noqa: A002
        choices: Iterable[Any] = (),
    ) -> None:
        self.kind = Kind(type_)
        self.default = default
        self._min = min
        self._max = max
        self._choices = tuple(choices)
        if (min is not None or max is not None) and self.kind.base not in (int, float):
            raise GraphError(f"min and max are for numbers, not for {self.kind.base.__name__}")

    @property
    def is_required(self) -> bool:
        """Whether there is no default."""
        return self.default is ...

    def take(self, given: object) -> Any:
        """The value that travels; `GraphError` if `given` is not what is wanted."""
        if given is None and self.default is None:
            return None
        return self._bounded(self.kind.check(given))

    def parse(self, text: str) -> Any:
        """The value that `text` says; `GraphError` if it is not what is wanted."""
        return self._bounded(self.kind.parse(text))

    def _bounded(self, value: Any) -> Any:
        if self._min is not None and value < self._min:
            raise GraphError(f"{value} is too small: at least {self._min} is wanted")
        if self._max is not None and value > self._max:
            raise GraphError(f"{value} is too large: at most {self._max} is wanted")
        if self._choices and value not in self._choices:
            wanted = ", ".join(str(each) for each in self._choices)
            raise GraphError(f"{value!r} is not one of: {wanted}")
        return value


class Declaration:
    """What Nano and NanoGraph share: fields that are declared in the class, and their values."""

    _fields: ClassVar[Mapping[str, Field[Any]]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        found: dict[str, Field[Any]] = {}
        for base in reversed(cls.__mro__):
            for name, value in vars(base).items():
                if isinstance(value, Field):
                    found[name] = value
                elif any(value is each for each in (Input, Output, Param)):
                    raise GraphError(f"{cls.__name__}.{name}: write {value.__name__}(...)")
                else:
                    found.pop(name, None)
        reserved = _names_of_ours(cls)
        for name, field in found.items():
            if name in reserved or name.startswith("_"):
                raise GraphError(f"{cls.__name__}.{name}: that name is taken, choose another")
            if isinstance(field, Param) and field.default not in (..., None):
                with_place(f"{cls.__name__}.{name}", field.take, field.default)
        cls._fields = found

    def _set_fields(self, given: Mapping[str, object]) -> None:
        """Check what was given for the fields and keep it; outputs are not given."""
        cls = type(self)
        for name in given:
            if name not in cls._fields or isinstance(cls._fields[name], Output):
                settable = [
                    each for each, field in cls._fields.items() if not isinstance(field, Output)
                ]
                raise GraphError(unknown(f"{cls.__name__} has no field", name, settable))
        for name, field in cls._fields.items():
            if isinstance(field, Input | Param):
                if name in given:
                    value = with_place(f"{cls.__name__}.{name}", field.take, given[name])
                elif isinstance(field, Param) and not field.is_required:
                    value = copy(field.default)
                else:
                    raise GraphError(
                        f"{cls.__name__}.{name} is missing: {cls.__name__}({name}=...)"
                    )
                self.__dict__[name] = value

    def __setattr__(self, name: str, value: object) -> None:
        if name in self._fields:
            raise GraphError(f"{type(self).__name__}.{name} is a field: give it in the call")
        super().__setattr__(name, value)


def fields_of(cls: type[Declaration]) -> Mapping[str, Field[Any]]:
    """The fields that a class declares or inherits, in order."""
    return cls._fields


def with_place(place: str, function: Any, *arguments: Any) -> Any:
    """`function(*arguments)`; its `GraphError` says the place first."""
    try:
        return function(*arguments)
    except GraphError as error:
        raise GraphError(f"{place}: {error}") from None


def unknown(complaint: str, name: str, known: Iterable[str]) -> str:
    """`complaint 'nmae': did you mean 'name'?`, or all that is known."""
    import difflib

    names = sorted(known)
    close = difflib.get_close_matches(name, names, 1)
    hint = f"did you mean {close[0]!r}?" if close else f"there is: {', '.join(names) or 'none'}"
    return f"{complaint} {name!r}: {hint}"


def _names_of_ours(cls: type) -> set[str]:
    """What our own base classes define, and no field may hide."""
    ours = [base for base in cls.__mro__ if base.__module__.startswith("nanoboost.")]
    return {name for base in ours for name in (*vars(base), *inspect.get_annotations(base))}


def _check_place(path: str, field: "Field[Any]", attribute: str) -> None:
    if isinstance(field, Param):
        if attribute:
            raise GraphError(f"{path!r}: the parameter {field.name} has no .{attribute}")
        if field.kind.base not in (bool, int, float, str):
            raise GraphError(f"{path!r}: {field.name} is {field.kind.wanted}, which names no file")
    elif not isinstance(field, Input) or field.many:
        raise GraphError(f"{path!r}: {field.name} is not a single input or a parameter")


def _file(given: object) -> PurePosixPath:
    if isinstance(given, Made) and given.maker is not None:
        return given
    if isinstance(given, str | PurePath):
        text = given if isinstance(given, str) else given.as_posix()
        return PurePosixPath(check_source(text))
    raise GraphError(f"a file is wanted, not {_called(given)}")


def _called(given: object) -> str:
    if isinstance(given, list | tuple):
        return "a list: declare Input(many=True), or give one of them"
    if isinstance(given, Declaration):
        outputs = [
            name for name, field in fields_of(type(given)).items() if isinstance(field, Output)
        ]
        hint = f": give its output .{outputs[0]}" if outputs else ", which has no output"
        return f"the Nano {type(given).__name__}{hint}"
    if isinstance(given, str | PurePath):
        return f"the one {str(given)!r}: write [...] around it"
    return f"a {type(given).__name__}"
