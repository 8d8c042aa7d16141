"""A fault is data: what is done to the cluster, when, and for how long.  A plan is a few of them.

**A plan does not depend on the run**: it is drawn before, printed, saved as JSON, replayed, and
shrunk by leaving faults out.  Whom a fault meets may be said by part (`master`, `voter`, `learner`)
and is then decided at its time; how long it lasts is part of it, so no fault needs another to end.
"""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import asdict, fields, frozen

if TYPE_CHECKING:
    from simulations.stage.lab import Lab

KINDS: "dict[str, type[Fault]]" = {}
"""All kinds of faults, by the name of their class."""

KindT = TypeVar("KindT", bound="type[Fault]")


def kind(cls: KindT) -> KindT:
    """Let plans in JSON name this class (a decorator)."""
    KINDS[cls.__name__] = cls
    return cls


@frozen
class Fault:
    """What is done at `at` and is over after `lasts` (both in nanoseconds of virtual time)."""

    at: int
    lasts: int

    @property
    def until(self) -> int:
        """When it is over."""
        return self.at + self.lasts

    def apply(self, lab: "Lab") -> None:
        """Do it, and see to its end (`Lab.lasting`)."""
        raise NotImplementedError

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `fault_from_json`."""
        return {"kind": type(self).__name__, **asdict(self)}

    def __str__(self) -> str:
        values = [_shown(getattr(self, each.name)) for each in fields(type(self))[2:]]
        words = " ".join(each for each in (type(self).__name__, *values) if each)
        lasting = f" for {self.lasts / 1e9:g} s" if self.lasts else ""
        return f"{self.at / 1e9:.3f} s  {words}{lasting}"


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{' '.join(map(str, value))}]" if value else ""
    return str(value)


def fault_from_json(data: dict[str, Any]) -> Fault:
    """The fault that `to_json` made this of.  Raises `ValueError` if it is none."""
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in data.items()
    }
    name = values.pop("kind", None)
    if name not in KINDS:
        raise ValueError(f"no kind of fault is called {name!r}; there are {', '.join(KINDS)}")
    try:
        return KINDS[name](**values)
    except TypeError as error:
        raise ValueError(f"{name}: {error}") from None


@frozen
class Plan:
    """All that is done to the cluster in one run."""

    faults: tuple[Fault, ...] = ()

    def __iter__(self) -> Iterator[Fault]:
        return iter(self.faults)

    def __len__(self) -> int:
        return len(self.faults)

    @property
    def until(self) -> int:
        """When all is over, in nanoseconds."""
        return max((each.until for each in self.faults), default=0)

    def to_json(self) -> str:
        """A line for each fault."""
        lines = ",\n  ".join(json.dumps(each.to_json()) for each in self.faults)
        return f"[\n  {lines}\n]\n" if self.faults else "[]\n"

    @classmethod
    def from_json(cls, text: str) -> "Plan":
        """The plan that `to_json` made this of.  Raises `ValueError` if it is none."""
        found = json.loads(text)
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            raise ValueError("a plan is a list of faults, each with `kind`, `at` and `lasts`")
        return cls(tuple(fault_from_json(each) for each in found))
