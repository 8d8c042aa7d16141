"""The graph that users write: a `NanoGraph` links Nanos in `build()`, once, where it is submitted.

**What is wrong with a graph is told in one line before a job exists**: the class, the field, what
to do, and for an error of the user's own code the place in the user's file.
"""

import os
import traceback
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Self

from nanoboost import code
from nanoboost.errors import GraphError, UserError
from nanoboost.fields import Declaration, Input, Made, Output, Param, fields_of, unknown
from nanoboost.freeze import freeze
from nanoboost.nano import Nano
from nanoboost.plan import TASKS_MAX, Plan

OPTIONS_OF_RUN = frozenset(
    ("credential", "detach", "help", "json", "nas", "node", "priority", "state")
)
"""What `nanoboost run` keeps for itself: no parameter can be given under these names."""


class NanoGraph(Declaration):
    """A graph of Nanos.  Subclass it: declare parameters and inputs, write `build()`.

    `nanoboost run film.py --video films/a.mkv` makes an instance with `video="films/a.mkv"`.
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name, field in cls._fields.items():
            place = f"{cls.__name__}.{name}"
            if isinstance(field, Output):
                raise GraphError(f"{place}: outputs belong to Nanos; return those from build()")
            if name in OPTIONS_OF_RUN:
                raise GraphError(f"{place}: --{name} is an option of `nanoboost run`, rename it")

    def __init__(self, **fields: Any) -> None:
        if type(self).build is NanoGraph.build:
            name = type(self).__name__
            raise GraphError(f"{name} has no build(): write `def build(self): return ...` in it")
        self._set_fields(fields)

    def build(self) -> Nano | Iterable[Nano]:
        """Link the Nanos; return those whose outputs are the results.  Written by the user."""
        raise NotImplementedError

    @classmethod
    def from_text(cls, params: Mapping[str, str]) -> Self:
        """The graph with what a command line says; `UserError` names what is wrong there."""
        fields = fields_of(cls)
        given: dict[str, Any] = {}
        for name, text in params.items():
            field = fields.get(name)
            if field is None:
                known = [_option(each) for each in fields]
                raise UserError(unknown(f"{cls.__name__} has no parameter", _option(name), known))
            try:
                given[name] = _parsed(field, text)
            except GraphError as error:
                raise UserError(f"{_option(name)} {text}: {error}") from None
        missing = [
            _option(name)
            for name, field in fields.items()
            if name not in given and (isinstance(field, Input) or _is_required(field))
        ]
        if missing:
            raise UserError(f"{cls.__name__} needs {' and '.join(missing)}: say {missing[0]} VALUE")
        return cls(**given)

    def freeze(self, nas_dir: Path) -> Plan:
        """Build the graph and number it; `GraphError` if the job could not be run."""
        name = type(self).__name__
        try:
            return freeze(name, self._results(), nas_dir)
        except GraphError as error:
            raise GraphError(f"{error}{_place(error)}") from None
        except Exception as error:
            raise GraphError(f"{name}: {_one_line(error)}{_place(error)}") from None

    def _results(self) -> list[Nano]:
        name = type(self).__name__
        built: Any = self.build()
        if isinstance(built, Nano):
            return [built]
        if isinstance(built, Made) or not isinstance(built, Iterable) or isinstance(built, str):
            raise GraphError(f"{name}.build() returned {_kind(built)}")
        results = list(islice(built, TASKS_MAX + 1))
        for each in results:
            if not isinstance(each, Nano):
                raise GraphError(f"{name}.build() returned, among others, {_kind(each)}")
        return results


def graph_file(spec: str) -> Path:
    """The file of `FILE[:Graph]`."""
    return _split(spec)[0]


def load_graph(spec: str) -> type[NanoGraph]:
    """The graph that `FILE[:Graph]` names; `GraphError` if there is none, or no single one."""
    path, wanted = _split(spec)
    try:
        module = code.load_file(path)
    except Exception as error:
        raise GraphError(f"{path.name}: {_one_line(error)}{_place(error, path)}") from None
    except SystemExit as error:
        raise GraphError(f"{path.name} cannot be imported: it exits with {error.code}") from None
    graphs = {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, NanoGraph) and value is not NanoGraph
    }
    own = {name: cls for name, cls in graphs.items() if cls.__module__ == module.__name__}
    if wanted:
        if wanted not in graphs:
            raise GraphError(unknown(f"{path.name} has no NanoGraph", wanted, graphs))
        return graphs[wanted]
    found = list(dict.fromkeys((own or graphs).values()))
    if not found:
        raise GraphError(f"{path.name} has no NanoGraph: write `class Film(NanoGraph): ...` in it")
    if len(found) > 1:
        names = ", ".join(cls.__name__ for cls in found)
        raise GraphError(f"{path.name} has several: {names}; say {spec}:{found[0].__name__}")
    return found[0]


def _split(spec: str) -> tuple[Path, str]:
    name, _, graph = spec.rpartition(":")
    if not name or os.path.exists(spec):
        name, graph = spec, ""
    path = Path(name)
    if path.is_dir():
        raise GraphError(f"{name} is a directory: name the file with the NanoGraph")
    if not path.is_file():
        raise GraphError(f"there is no file {name}")
    if path.suffix != ".py":
        raise GraphError(f"{name} is no Python file (its name does not end in .py)")
    return path.resolve(), graph


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _is_required(field: object) -> bool:
    return isinstance(field, Param) and field.is_required


def _parsed(field: object, text: str) -> Any:
    if isinstance(field, Param):
        return field.parse(text)
    assert isinstance(field, Input)
    return field.take(text.split(",") if field.many else text)


def _kind(found: object) -> str:
    if isinstance(found, Made) and found.maker is not None:
        return f"an output of {type(found.maker).__name__}: return the Nano itself"
    if found is None:
        return "None: return the Nano, or Nanos, whose outputs are the results"
    return f"a {type(found).__name__}: return the Nano, or Nanos, whose outputs are the results"


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error.msg if isinstance(error, SyntaxError) else error).split())
    return text if isinstance(error, GraphError) else f"{type(error).__name__}: {text}"


def _place(error: BaseException, path: Path | None = None) -> str:
    """` (film.py, line 12)`: the last line of the user's own code that led to the error."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({Path(error.filename).name}, line {error.lineno})"
    ours = f"{Path(__file__).parent}{os.sep}"
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((ours, "<frozen "))
    ]
    if path is not None:  # what a library does inside is of no help
        frames = [each for each in frames if each.filename.startswith(str(path.parent))] or frames
    return f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
