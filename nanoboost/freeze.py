"""From linked Nanos to a `Plan`: everything that can be wrong is found here, before a job exists.

**Parents get smaller numbers than their children, and the same graph gives the same plan.**  The
longer the way from a task to the end of the job, the smaller its number: about the order in which
the master starts them, so that the finished ones are nearly a row.  No step recurses: a chain of
100 000 tasks freezes like any other graph.
"""

import difflib
import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from nanoboost.errors import GraphError
from nanoboost.fields import Input, Made, Param, fields_of
from nanoboost.nano import Nano, bind, made_by, seconds
from nanoboost.plan import (
    PLAN_VERSION,
    SIZE_MAX,
    SIZE_MIN,
    TASKS_MAX,
    FileRef,
    Plan,
    PlanClass,
    PlanInput,
    PlanOutput,
    PlanTask,
)
from nanoboost.template import same_file_key

CYCLE_STEPS_MAX = 200_000
CYCLE_SHOWN_MAX = 8
LISTED_MAX = 20_000


def freeze(graph: str, results: Sequence[Nano], nas_dir: Path) -> Plan:
    """The plan whose results are those of `results`; `GraphError` says what is wrong."""
    if not results:
        raise GraphError(f"{graph}.build() returned no Nano, so there is nothing to do")
    order = _numbered(graph, results)
    number = {id(nano): place for place, nano in enumerate(order)}
    _check_outputs(order)
    _check_sources(order, nas_dir)
    classes = {type(nano): None for nano in order}
    class_number = {cls: place for place, cls in enumerate(classes)}
    ordinals = [0] * len(class_number)
    tasks = []
    for nano in order:
        cls = class_number[type(nano)]
        tasks.append(_task(nano, cls, ordinals[cls], number, nas_dir))
        ordinals[cls] += 1
    return Plan(
        version=PLAN_VERSION,
        graph=graph,
        classes=_classes(list(classes)),
        tasks=tuple(tasks),
        results=tuple(sorted({number[id(nano)] for nano in results})),
    )


# --- numbering -------------------------------------------------------------------------------


def _parents(nano: Nano) -> Iterator[Nano]:
    """What must be done before it, in the order of its fields; some more than once."""
    for made in _inputs(nano):
        if isinstance(made, Made):
            yield made.maker
    for each in nano.after:
        if not isinstance(each, Nano):
            raise GraphError(f"{nano!r}: after= takes Nanos, not a {type(each).__name__}")
        yield each


def _inputs(nano: Nano) -> Iterator[PurePosixPath]:
    for name, field in fields_of(type(nano)).items():
        if isinstance(field, Input):
            value: Any = nano.__dict__[name]
            yield from value if field.many else (value,)


def _numbered(graph: str, results: Sequence[Nano]) -> list[Nano]:
    """All Nanos that `results` need, parents first."""
    parents: dict[int, list[Nano]] = {}
    found = _found(graph, results, parents)
    waiting = dict.fromkeys(parents, 0)  # for how many children it is not yet known
    for each in parents.values():
        for parent in each:
            waiting[id(parent)] += 1
    level = dict.fromkeys(parents, 0)  # tasks on the longest way to the end
    ready = [nano for nano in found if not waiting[id(nano)]]
    for nano in ready:
        for parent in parents[id(nano)]:
            level[id(parent)] = max(level[id(parent)], level[id(nano)] + 1)
            waiting[id(parent)] -= 1
            if not waiting[id(parent)]:
                ready.append(parent)
    if len(ready) < len(found):
        circling = [nano for nano in found if waiting[id(nano)]]
        raise GraphError(
            f"a cycle: {_shortest_cycle(circling, parents)}; one of them must go first"
        )
    return sorted(found, key=lambda nano: -level[id(nano)])


def _found(graph: str, results: Sequence[Nano], parents: dict[int, list[Nano]]) -> list[Nano]:
    """The Nanos behind `results`, each after those it needs as far as there is no cycle; fills
    in the `parents` of each."""
    found: list[Nano] = []
    stack: list[tuple[Nano, Iterator[Nano]]] = []

    def meet(nano: Nano) -> None:
        parents[id(nano)] = list(_parents(nano))
        stack.append((nano, iter(parents[id(nano)])))
        if len(parents) > TASKS_MAX:
            raise GraphError(f"{graph} has more than {TASKS_MAX} tasks")

    for result in results:
        if id(result) not in parents:
            meet(result)
        while stack:
            nano, rest = stack[-1]
            parent = next((each for each in rest if id(each) not in parents), None)
            if parent is None:
                found.append(nano)
                stack.pop()
            else:
                meet(parent)
    return found


def _shortest_cycle(circling: list[Nano], parents: dict[int, list[Nano]]) -> str:
    """`a -> b -> a`, as far as it can be found in bounded time."""
    steps = 0
    best: list[Nano] = []
    for start in reversed(circling):  # the last one found is on a cycle, not before one
        came_from: dict[int, Nano] = {}
        edge, length = [start], 1
        while edge and (not best or length + 1 < len(best)) and id(start) not in came_from:
            further = []
            for nano in edge:
                for parent in parents[id(nano)]:
                    steps += 1
                    if id(parent) not in came_from:
                        came_from[id(parent)] = nano
                        further.append(parent)
            edge, length = further, length + 1
        if id(start) in came_from:
            best = [start, came_from[id(start)]]
            while best[-1] is not start:
                best.append(came_from[id(best[-1])])
        if best and (len(best) == 2 or steps > CYCLE_STEPS_MAX):
            break
    names = [repr(nano) for nano in best]
    if len(names) > CYCLE_SHOWN_MAX:
        half = CYCLE_SHOWN_MAX // 2
        names = [*names[:half], f"... {len(names) - CYCLE_SHOWN_MAX} more ...", *names[-half:]]
    return " -> ".join(names)


# --- paths -----------------------------------------------------------------------------------


def _check_outputs(order: list[Nano]) -> None:
    """No two files may be one file, or one the directory of another, on any file system."""
    makers: dict[str, tuple[str, Nano]] = {}
    directories: dict[str, tuple[str, Nano]] = {}
    for nano in order:
        for paths in made_by(nano).values():
            for made in paths:
                path = str(made)
                key = same_file_key(path)
                if key in makers:
                    raise GraphError(_two_makers(path, nano, *makers[key]))
                makers[key] = (path, nano)
                directory = key.rpartition("/")[0]
                while directory and directory not in directories:
                    directories[directory] = (path, nano)
                    directory = directory.rpartition("/")[0]
    for directory, (path, nano) in directories.items():
        if directory in makers:
            other, maker = makers[directory]
            raise GraphError(
                f"{maker!r} makes the file {other!r}, and {nano!r} makes {path!r} below it"
            )
    for nano in order:
        for source in _inputs(nano):
            key = same_file_key(str(source))
            if key in makers and not isinstance(source, Made):
                path, maker = makers[key]
                raise GraphError(
                    f"{type(nano).__name__} reads {str(source)!r} from the NAS, where {maker!r} "
                    "would write: give its output instead of the path, or write elsewhere"
                )


def _two_makers(path: str, nano: Nano, other: str, maker: Nano) -> str:
    what = repr(path) if path == other else f"{other!r} and {path!r}, one file on some NAS"
    who = "twice" if maker is nano else f"and {type(nano).__name__} too"
    return f"{type(maker).__name__} makes {what}, {who}: put a field that differs into the path"


def _check_sources(order: list[Nano], nas_dir: Path) -> None:
    known: set[PurePosixPath] = set()
    for nano in order:
        for source in _inputs(nano):
            if isinstance(source, Made) or source in known:
                continue
            known.add(source)
            path = nas_dir / source
            if not path.is_file():
                complaint = _missing(path, source, nas_dir)
                raise GraphError(f"{type(nano).__name__} reads {str(source)!r}, {complaint}")
            if not os.access(path, os.R_OK):
                raise GraphError(f"{type(nano).__name__} reads {str(source)!r}: permission denied")


def _missing(path: Path, source: PurePosixPath, nas_dir: Path) -> str:
    if path.is_dir():
        return f"which is a directory on the NAS ({nas_dir}): name a file"
    if path.exists():
        return f"which is no regular file on the NAS ({nas_dir})"
    near = _near(source, nas_dir)
    hint = f"did you mean {near!r}?" if near else "put it there, or correct the path"
    return f"which no Nano makes and is not on the NAS ({nas_dir}): {hint}"


def _near(source: PurePosixPath, nas_dir: Path) -> str:
    """The path that was probably meant: the most similar name in its directory, or nothing."""
    directory = nas_dir / source.parent
    try:
        with os.scandir(directory) as entries:
            names = [each.name for each in islice(entries, LISTED_MAX) if each.is_file()]
    except OSError:
        return ""
    by_key = {same_file_key(name): name for name in sorted(names)}
    close = difflib.get_close_matches(same_file_key(source.name), list(by_key), 1)
    return str(source.parent / by_key[close[0]]) if close else ""


# --- tasks -----------------------------------------------------------------------------------


def _task(nano: Nano, cls: int, ordinal: int, number: dict[int, int], nas_dir: Path) -> PlanTask:
    params = {}
    inputs = []
    for name, field in fields_of(type(nano)).items():
        value: Any = nano.__dict__.get(name)
        if isinstance(field, Param):
            params[name] = value
        elif isinstance(field, Input):
            files = tuple(
                FileRef(number[id(each.maker)] if isinstance(each, Made) else -1, str(each))
                for each in (value if field.many else (value,))
            )
            inputs.append(PlanInput(name, files, field.many))
    outputs = [
        PlanOutput(name, tuple(map(str, paths)), isinstance(nano.__dict__[name], list))
        for name, paths in made_by(nano).items()
    ]
    after = tuple(sorted({number[id(each)] for each in nano.after}))
    task = PlanTask(cls, ordinal, params, tuple(inputs), tuple(outputs), after, 0.0)
    return task if type(nano).cost is Nano.cost else _sized(nano, task, nas_dir)


def _sized(nano: Nano, task: PlanTask, nas_dir: Path) -> PlanTask:
    name = f"{type(nano).__name__}.cost"
    there = bind(type(nano), task, lambda ref: nas_dir / ref.path, lambda path: nas_dir / path)
    try:
        size = there.cost()
    except Exception as error:
        raise GraphError(
            f"{name}() ended with {type(error).__name__}: {error}; it may look at parameters and "
            "at files that are on the NAS already"
        ) from None
    if type(size) not in (int, float) or not (size == 0 or SIZE_MIN <= size <= SIZE_MAX):
        wanted = f"0, or a number from {SIZE_MIN:g} to {SIZE_MAX:g}, is wanted"
        raise GraphError(f"{name}() returned {size!r}: {wanted}")
    fields = (task.cls, task.ordinal, task.params, task.inputs, task.outputs, task.after)
    return PlanTask(*fields, float(size))


def _classes(classes: list[type[Nano]]) -> tuple[PlanClass, ...]:
    named: dict[str, type[Nano]] = {}
    for cls in classes:
        name = cls.__name__
        if name in named:
            raise GraphError(
                f"two Nanos are called {name} ({named[name].__module__}, {cls.__module__}): "
                "rename one"
            )
        named[name] = cls
        if cls.__module__ == "__main__" or "<locals>" in cls.__qualname__:
            raise GraphError(
                f"{name} cannot be imported on another machine: define it at the top of a file"
            )
    return tuple(
        PlanClass(
            name=cls.__name__,
            module=cls.__module__,
            qualname=cls.__qualname__,
            tools=cls.needs.tools,
            labels=cls.needs.labels,
            cores=cls.needs.cores,
            retries=cls.retries,
            timeout_s=seconds(cls.timeout),
        )
        for cls in classes
    )
