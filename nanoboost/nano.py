"""The vertex of a graph: a `Nano` declares what it reads, makes and needs; `run()` makes it.

While a graph is built a Nano is a promise: its inputs and outputs are planned paths.  In `run()`,
in a child process on some machine, `bind` has given it real ones.  **`run()` is plain blocking
Python and sees nothing of the cluster.**
"""

import inspect
import math
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar

from attrs import field, frozen

from nanoboost import tools
from nanoboost.config import LABEL, SLOTS_MAX
from nanoboost.errors import GraphError
from nanoboost.fields import Declaration, Made, Output, with_place
from nanoboost.plan import TASKS_MAX, FileRef, PlanTask
from nanoboost.template import INDEX, Template, check_output

TOOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,62}")
RETRIES_MAX = 1000
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([smhd])")


def _names(what: str, pattern: re.Pattern[str], given: Any) -> tuple[str, ...]:
    if isinstance(given, str):
        raise GraphError(f'{what}={given!r}: write {what}=("{given}",)')
    names = tuple(sorted(given) if isinstance(given, set | frozenset) else given)
    for name in names:
        if not isinstance(name, str) or not pattern.fullmatch(name):
            raise GraphError(f"{what}: {name!r} cannot be a name here")
    return names


def _tools(given: Iterable[str]) -> tuple[str, ...]:
    return _names("tools", TOOL, given)


def _labels(given: Iterable[str]) -> tuple[str, ...]:
    return _names("labels", LABEL, given)


@frozen
class Needs:
    """What a machine must have to run a Nano: programs, labels, and slots for its cores."""

    tools: tuple[str, ...] = field(default=(), converter=_tools)
    labels: tuple[str, ...] = field(default=(), converter=_labels)
    cores: int = field(default=1)

    def __attrs_post_init__(self) -> None:
        if type(self.cores) is not int or not 1 <= self.cores <= SLOTS_MAX:
            raise GraphError(f"cores={self.cores!r}: a whole number up to {SLOTS_MAX} is wanted")


class Nano(Declaration):
    """One task of a graph.  Subclass it: declare fields, write `run()`.

    `retries` failures are forgiven, 3 more where the process died of a signal (that may be the
    machine's fault), and 8 more where its node died.  An attempt that runs longer than `timeout`
    (seconds, or text such as "90s", "2h"; 0: no limit) is ended and counts as failed.
    """

    needs: ClassVar[Needs] = Needs()
    retries: ClassVar[int] = 2
    timeout: ClassVar[float | str] = 0

    after: list["Nano"]
    """Nanos that must be done before this one, though it reads nothing of theirs."""

    _templates: ClassVar[dict[str, Template]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        name = cls.__name__
        cls._templates = {
            each: with_place(f"{name}.{each}", output.template, cls._fields)
            for each, output in cls._fields.items()
            if isinstance(output, Output)
        }
        if not isinstance(cls.needs, Needs):
            raise GraphError(f"{name}.needs: write Needs(tools=(...), labels=(...), cores=1)")
        if type(cls.retries) is not int or not 0 <= cls.retries <= RETRIES_MAX:
            raise GraphError(f"{name}.retries: a whole number from 0 to {RETRIES_MAX} is wanted")
        with_place(f"{name}.timeout", seconds, cls.timeout)
        _check_run(cls)

    def __init__(self, *, after: "Nano | Iterable[Nano]" = (), **fields: Any) -> None:
        cls = type(self)
        if cls.run is Nano.run:
            raise GraphError(f"{cls.__name__} has no run(): write `def run(self): ...` in it")
        self.after = [after] if isinstance(after, Nano) else list(after)
        self._set_fields(fields)
        for name, template in cls._templates.items():
            self.__dict__[name] = with_place(f"{cls.__name__}.{name}", self._made, name, template)

    def run(self) -> None:
        """Read the inputs, write the outputs.  Written by the user."""
        raise NotImplementedError

    def cost(self) -> float:
        """How much work this is, relative to the other tasks of the class; 0: no idea.

        Called once, where the graph is submitted: parameters are there, and files on the NAS.
        """
        return 0.0

    def tool(self, name: str) -> str:
        """The path of a program that `needs` names."""
        if name not in self.needs.tools:
            raise GraphError(
                f"{type(self).__name__}.run uses {name}: say needs = Needs(tools=({name!r},))"
            )
        found = tools.find(name)
        if found is None:
            raise GraphError(f"needs {name}, which is not installed here")
        return found

    def __repr__(self) -> str:
        paths = [path for paths in made_by(self).values() for path in paths]
        return f"{type(self).__name__}({paths[0]})" if paths else type(self).__name__

    def _made(self, name: str, template: Template) -> Any:
        output = self._fields[name]
        assert isinstance(output, Output)
        values = self.__dict__
        if output.many is None:
            return self._promise(template, values)
        count = values[output.many]
        if count is None or not 0 <= count <= TASKS_MAX:
            raise GraphError(f"{output.many} is {count}: there can be 0 to {TASKS_MAX} files")
        return [self._promise(template, {**values, INDEX: number}) for number in range(count)]

    def _promise(self, template: Template, values: dict[str, Any]) -> Made:
        try:
            made = Made(check_output(template.render(values)))
        except (ValueError, TypeError) as error:
            raise GraphError(f"the path cannot be made: {error}") from None
        made.maker = self
        return made


def seconds(given: float | str) -> float:
    """A `timeout` in seconds; `GraphError` if it is none."""
    if isinstance(given, str):
        found = _DURATION.fullmatch(given.strip())
        if found is None:
            raise GraphError(f'{given!r}: write seconds, or text such as "90s", "20m", "2h", "1d"')
        return float(found[1]) * UNITS[found[2]]
    if type(given) not in (int, float) or not (math.isfinite(given) and given >= 0):
        raise GraphError(f"{given!r}: seconds are wanted (0: no limit)")
    return float(given)


def made_by(nano: Nano) -> dict[str, list[Any]]:
    """The files of each output of a Nano, in order."""
    found = {name: nano.__dict__.get(name, []) for name in nano._templates}
    return {name: made if isinstance(made, list) else [made] for name, made in found.items()}


def bind(
    cls: type[Nano],
    task: PlanTask,
    input_path: Callable[[FileRef], Path],
    output_path: Callable[[str], Path],
) -> Nano:
    """A Nano that is ready for `run()`: its files are real paths on this machine."""
    nano = cls.__new__(cls)
    values = nano.__dict__
    values["after"] = []
    values.update(task.params)
    for read in task.inputs:
        found = [input_path(ref) for ref in read.files]
        values[read.name] = found if read.many else found[0]
    for made in task.outputs:
        places = [output_path(path) for path in made.paths]
        values[made.name] = places if made.many else places[0]
    missing = sorted(cls._fields.keys() - values.keys())
    if missing:
        raise GraphError(f"the plan says nothing of {cls.__name__}.{missing[0]}")
    return nano


def _check_run(cls: type[Nano]) -> None:
    run = cls.run
    if not inspect.isfunction(run):
        raise GraphError(f"{cls.__name__}.run: write `def run(self): ...`")
    if inspect.iscoroutinefunction(run) or inspect.isasyncgenfunction(run):
        raise GraphError(
            f"{cls.__name__}.run is async: write `def run(self)`, it may block as it likes"
        )
    if inspect.isgeneratorfunction(run):
        raise GraphError(f"{cls.__name__}.run yields, so its body would never run: use return")
    wanted = [
        each
        for each in inspect.signature(run).parameters.values()
        if each.default is each.empty and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
    ]
    if len(wanted) != 1:
        raise GraphError(f"{cls.__name__}.run is called without arguments: write `def run(self)`")
