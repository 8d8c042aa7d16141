"""Every message class of every room travels: there and back, and through hostile changes."""

import importlib
import importlib.util
import pkgutil
import types
import typing
from typing import Any

import attrs
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

import nanoboost
from nanoboost.errors import RemoteError
from nanoboost.gossip.members import Description, Incarnation, Meta
from nanoboost.ids import Address, NodeId
from nanoboost.plan import PlanClass, PlanTask
from nanoboost.wire.codec import INT_MAX, INT_MIN, Catalog


def modules() -> list[types.ModuleType]:
    """The modules that define messages: those named so in each room, and three others."""
    rooms = [
        f"nanoboost.{room.name}.messages"
        for room in pkgutil.iter_modules(nanoboost.__path__)
        if room.ispkg
        if importlib.util.find_spec(f"nanoboost.{room.name}.messages")
    ]
    return [
        importlib.import_module(name)
        for name in (*rooms, "nanoboost.wire.records", "nanoboost.plan")
    ]


MESSAGES: list[type] = sorted(
    {
        cls
        for module in modules()
        for cls in vars(module).values()
        if isinstance(cls, type) and hasattr(cls, "TAG")
    },
    key=lambda cls: cls.TAG,  # type: ignore[attr-defined]
)

NODE_IDS = st.text("0123456789abcdef", min_size=16, max_size=16)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(INT_MIN, INT_MAX)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
    | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
OF_TYPE: dict[Any, st.SearchStrategy[Any]] = {
    NodeId: NODE_IDS,
    bool: st.booleans(),
    int: st.integers(INT_MIN, INT_MAX),
    float: st.floats(allow_nan=False, allow_infinity=False),
    str: TEXT,
    bytes: st.binary(max_size=40) | st.binary(min_size=8, max_size=8),
    Any: VALUES,
    Incarnation: st.builds(Incarnation, st.integers(0, 9), st.integers(0, 9)),
    Description: st.builds(
        Description,
        st.sampled_from(["pi-1", "studio"]),
        st.builds(Address, st.sampled_from(["192.168.1.5", "fe80::1"]), st.integers(1, 65535)),
        st.builds(Meta, *[st.integers(0, 99)] * 2, st.floats(0, 9), st.integers(0, 9)),
    ),
    PlanClass: st.builds(
        PlanClass,
        *[TEXT] * 3,
        *[st.just(()) | st.tuples(TEXT)] * 2,
        st.integers(1, 9),
        st.integers(0, 9),
        st.floats(0, 9),
    ),
    PlanTask: st.builds(
        PlanTask,
        st.just(0),
        st.integers(0, 9),
        VALUES,
        st.just(()),
        st.just(()),
        st.just(()),
        st.just(0.0) | st.floats(1e-9, 9),
    ),
}


def of_type(annotation: Any) -> st.SearchStrategy[Any]:
    """Values that a field with this annotation may hold."""
    if annotation in OF_TYPE:
        return OF_TYPE[annotation]
    if hasattr(annotation, "__supertype__"):
        return of_type(annotation.__supertype__)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(of_type(arguments[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*map(of_type, arguments))
    if origin in (typing.Union, types.UnionType):
        return st.one_of([st.none() if each is type(None) else of_type(each) for each in arguments])
    if attrs.has(annotation):
        return instances(annotation)
    return st.sampled_from(annotation)  # an enumeration


def instances(cls: Any) -> st.SearchStrategy[Any]:
    """Instances of an attrs class, made from the annotations of its fields."""
    hints = typing.get_type_hints(cls)
    given = [field.name for field in attrs.fields(cls) if field.init]
    fields = st.tuples(*(of_type(hints[name]) for name in given))

    def made(values: tuple[Any, ...]) -> Any:
        try:
            return cls(*values)
        except ValueError:  # its validators want more than the types say
            reject()

    return fields.map(made)


@pytest.mark.parametrize("cls", MESSAGES, ids=lambda cls: cls.__name__)
@settings(max_examples=10)
@given(data=st.data())
def test_what_is_said_is_what_is_heard(cls: type, data: st.DataObject) -> None:
    message = data.draw(instances(cls))
    catalog = Catalog((cls,))
    encoded = catalog.encode(message)
    heard = catalog.decode(encoded)
    assert heard == message
    assert type(heard) is cls
    assert catalog.encode(heard) == encoded


@pytest.mark.parametrize("cls", MESSAGES, ids=lambda cls: cls.__name__)
@settings(max_examples=10)
@given(data=st.data())
def test_a_message_with_one_byte_changed_is_well_formed_or_refused(
    cls: type, data: st.DataObject
) -> None:
    catalog = Catalog((cls,))
    encoded = bytearray(catalog.encode(data.draw(instances(cls))))
    for _ in range(10):
        place = data.draw(st.integers(0, len(encoded) - 1))
        encoded[place] = data.draw(st.integers(0, 255))
        try:
            assert type(catalog.decode(bytes(encoded))) is cls
        except RemoteError:
            continue


@pytest.mark.parametrize("cls", MESSAGES, ids=lambda cls: cls.__name__)
@settings(max_examples=3)
@given(data=st.data())
def test_a_message_cut_anywhere_is_refused(cls: type, data: st.DataObject) -> None:
    catalog = Catalog((cls,))
    encoded = catalog.encode(data.draw(instances(cls)))
    for end in range(0, len(encoded), 1 + len(encoded) // 20):
        with pytest.raises(RemoteError):
            catalog.decode(encoded[:end])


def test_no_tag_is_used_twice_and_each_room_keeps_to_its_own() -> None:
    Catalog(MESSAGES)  # refuses a tag that is taken
    ranges = {
        "consensus": range(70, 100),
        "gossip": range(100, 140),
        "agent": range(140, 160),
        "nas": range(160, 180),
        "plan": range(180, 200),
    }
    for cls in MESSAGES:
        room = cls.__module__.split(".")[1]
        tag: int = cls.TAG  # type: ignore[attr-defined]
        assert tag in ranges.get(room, [*range(1, 70), *range(180, 190)]), cls


def test_every_message_says_what_it_is_for() -> None:
    assert [cls.__name__ for cls in MESSAGES if not (cls.__doc__ or "").strip()] == []


def test_all_messages_were_found() -> None:
    names = {cls.__name__ for cls in MESSAGES}
    assert {"Hello", "Execute", "Submit", "Ping", "RunAttempt", "Publish", "PlanHead"} <= names
