"""The codec against hostile bytes: a well-formed message, or `RemoteError`, and nothing else."""

import enum
from typing import Any, NewType

import cbor2
import pytest
from attrs import field, frozen
from hypothesis import example, given
from hypothesis import strategies as st

from nanoboost.errors import LocalError, RemoteError
from nanoboost.wire.codec import (
    INT_MAX,
    INT_MIN,
    Catalog,
    Value,
    decode_value,
    encode_value,
    message,
)
from nanoboost.wire.scan import DEPTH_MAX

Name = NewType("Name", str)


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


@frozen
class Point:
    x: int
    y: int


def _small(_instance: object, _attribute: object, value: int) -> None:
    if value > 9:
        raise ValueError("more than 9")


@message(7)
class Everything:
    flag: bool
    number: int
    real: float
    name: Name
    data: bytes
    colour: Colour
    point: Point | None
    points: tuple[Point, ...]
    pair: tuple[int, str]
    value: Value
    small: int = field(default=0, validator=_small)


@message(8)
class Nothing:
    pass


CATALOG = Catalog((Everything, Nothing))
FIELDS: list[Any] = [True, 1, 0.5, "n", b"d", 2, [1, 2], [[3, 4]], [5, "five"], {"k": [None]}, 9]
SAID = Everything(
    True, 1, 0.5, Name("n"), b"d", Colour.BLUE, Point(1, 2), (Point(3, 4),), (5, "five"),
    {"k": [None]}, 9,
)  # fmt: skip


def with_field(place: int, value: Any) -> bytes:
    return cbor2.dumps([7, *FIELDS[:place], value, *FIELDS[place + 1 :]])


def test_a_message_is_a_tagged_array() -> None:
    assert cbor2.loads(CATALOG.encode(SAID)) == [7, *FIELDS]
    assert CATALOG.decode(cbor2.dumps([7, *FIELDS])) == SAID


def test_a_message_without_fields() -> None:
    assert CATALOG.encode(Nothing()) == b"\x81\x08"
    assert CATALOG.decode(b"\x81\x08") == Nothing()


def test_missing_fields_are_filled_from_their_defaults() -> None:
    assert CATALOG.decode(cbor2.dumps([7, *FIELDS[:-1]])).small == 0


@pytest.mark.parametrize("count", [0, 9, 12])
def test_too_few_fields_or_too_many_are_refused(count: int) -> None:
    with pytest.raises(RemoteError, match=f"Everything with {count} fields"):
        CATALOG.decode(cbor2.dumps([7, *[*FIELDS, 1][:count]]))


@pytest.mark.parametrize(
    ("place", "name", "value"),
    [
        (0, "flag", 1),
        (0, "flag", None),
        (1, "number", True),
        (1, "number", 1.0),
        (1, "number", INT_MAX + 1),
        (1, "number", INT_MIN - 1),
        (2, "real", float("nan")),
        (2, "real", float("inf")),
        (2, "real", float("-inf")),
        (2, "real", True),
        (2, "real", "0.5"),
        (3, "name", b"n"),
        (4, "data", "d"),
        (5, "colour", 3),
        (5, "colour", True),
        (5, "colour", [1]),
        (5, "colour", "RED"),
        (6, "point", 0),
        (6, "point", [1]),
        (6, "point", [1, 2, 3]),
        (6, "point", [1, None]),
        (6, "point", {"x": 1, "y": 2}),
        (7, "points", None),
        (7, "points", "ab"),
        (7, "points", [[1, 2], 3]),
        (8, "pair", [1]),
        (8, "pair", ["five", 5]),
        (9, "value", float("nan")),
        (9, "value", INT_MAX + 1),
        (9, "value", cbor2.undefined),
    ],
)
def test_each_field_has_exactly_its_type(place: int, name: str, value: Any) -> None:
    with pytest.raises(RemoteError, match=rf"Everything\.{name}: "):
        CATALOG.decode(with_field(place, value))


def test_a_number_without_a_fraction_is_a_real_one_too() -> None:
    found = CATALOG.decode(with_field(2, 3)).real
    assert (found, type(found)) == (3.0, float)


def test_a_validator_that_objects_is_the_peers_fault() -> None:
    with pytest.raises(RemoteError, match="more than 9"):
        CATALOG.decode(with_field(10, 10))


HOSTILE = {
    "nothing": b"",
    "no array": b"\x07",
    "an empty array": b"\x80",
    "a tag that is no number": b"\x81\x61a",
    "a tag that is true": b"\x81\xf5",
    "a negative tag": b"\x81\x27",
    "an unknown tag": b"\x81\x18\x63",
    "bytes after it": b"\x81\x08\x00",
    "the end missing": b"\x82\x08",
    "half an argument": b"\x9b\x00\x00",
    "a reserved argument": b"\x9c",
    "a lone break": b"\xff",
    "an indefinite array": b"\x9f\x08\xff",
    "an indefinite map": b"\x82\x08\xbf\xff",
    "indefinite text": b"\x82\x08\x7f\xff",
    "2**62 bytes": b"\x82\x08\x5b\x40" + bytes(7),
    "2**62 characters": b"\x82\x08\x7b\x40" + bytes(7),
    "2**62 items": b"\x9b\x40" + bytes(7),
    "2**62 pairs": b"\x82\x08\xbb\x40" + bytes(7),
    "2**64-1 items": b"\x9b" + b"\xff" * 8,
    "100 000 arrays in one another": b"\x81" * 100_000 + b"\x08",
    "100 000 maps in one another": b"\xa1\x61a" * 100_000 + b"\x08",
    "100 000 tags in one another": b"\xc1" * 100_000 + b"\x08",
    "more items than allowed": b"\x9a\x00\x01\x86\xa1" + b"\x08" * 100_001,
    "text that is not UTF-8": b"\x82\x08\x62\xc3\x28",
    "half a surrogate pair": b"\x82\x08\x63\xed\xa0\x80",
    "a date": cbor2.dumps([8, cbor2.CBORTag(1, 0)]),
    "a large number": b"\x82\x08\xc2\x49" + bytes(9),
    "a decimal": b"\x82\x08\xc4\x82\x1b" + b"\xff" * 8 + b"\x01",
    "a fraction by zero": b"\x82\x08\xd8\x1e\x82\x01\x00",
    "a regular expression": b"\x82\x08\xd8\x23\x65(a+)+",
    "an e-mail": b"\x82\x08\xd8\x24\x61a",
    "a cycle": b"\xd8\x1c\x81\xd8\x1d\x00",
    "a cycle inside": b"\x82\x08\xd8\x1c\x81\xd8\x1d\x00",
    "a self-described message": b"\xd9\xd9\xf7\x81\x08",
    "a key twice": b"\x82\x08\xa2\x61a\x00\x61a\x01",
    "a key twice, once longer": b"\x82\x08\xa2\x61a\x00\x78\x01a\x01",
    "a key twice, far apart": b"\x82\x08\xa3\x61a\x80\x61b\xa1\x61a\x00\x61a\x01",
    "a key that is a number": b"\x82\x08\xa1\x00\x00",
    "a key that is an array": b"\x82\x08\xa1\x80\x00",
    "a key that is a map": b"\x82\x08\xa1\xa0\x00",
    "a map without its last value": b"\x82\x08\xa1\x61a",
    "a map as the message": b"\xa1\x61a\x00",
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_hostile_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(RemoteError):
        CATALOG.decode(data)


@given(st.binary(max_size=60))
@example(b"\x82\x08\xf8\x00")
def test_any_bytes_give_a_message_or_a_refusal(data: bytes) -> None:
    for start in (b"", b"\x81", b"\x8c\x07", b"\x8b\x07\xf5\x01\xf9\x38\x00"):
        try:
            assert type(CATALOG.decode(start + data)) in (Everything, Nothing)
        except RemoteError:
            continue


@given(st.data())
def test_any_change_to_a_message_gives_one_or_a_refusal(data: st.DataObject) -> None:
    changed = bytearray(CATALOG.encode(SAID))
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(changed) - 1))
        changed[place] = data.draw(st.integers(0, 255))
        try:
            assert type(CATALOG.decode(bytes(changed))) in (Everything, Nothing)
        except RemoteError:
            continue


def test_the_worst_inputs_that_fit_in_a_frame_are_refused() -> None:
    """Each in a moment: about 30 ms were measured."""
    keys = b"".join(b"\x1b" + (number * ((1 << 61) - 1)).to_bytes(8, "big") for number in range(8))
    worst = [
        b"\x9a\x00\x01\x86\x9f" + b"\x80" * 99_998,
        b"\x9a\x00\x0f\x42\x40" + b"\x08" * 1_000_000,
        b"\x82\x08\xb9\xff\xff" + keys * 8192,
        b"\x81" * (1 << 20),
    ]
    for data in worst:
        with pytest.raises(RemoteError):
            CATALOG.decode(data)


def test_depth_is_bounded_for_us_as_for_others() -> None:
    def nested(depth: int) -> Any:
        return [] if depth == 1 else [nested(depth - 1)]

    deepest = DEPTH_MAX - 4
    said = [7, *FIELDS[:9], nested(deepest), 9]
    assert CATALOG.decode(cbor2.dumps(said)).value == nested(deepest)
    with pytest.raises(RemoteError, match="nested too deep"):
        CATALOG.decode(cbor2.dumps([7, *FIELDS[:9], nested(deepest + 1), 9]))


# --- what we say ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), INT_MAX + 1, INT_MIN - 1, {1, 2}, object, {1: 2}, "\ud800"],
    ids=repr,
)
def test_what_others_would_refuse_is_not_said(value: Any) -> None:
    said = Everything(
        True, 1, 0.5, Name("n"), b"d", Colour.BLUE, None, (), (5, "five"), [value], 9
    )  # fmt: skip
    with pytest.raises(LocalError):
        CATALOG.encode(said)


def test_a_message_of_another_channel_is_not_said() -> None:
    with pytest.raises(LocalError, match="Nothing is not in this catalog"):
        Catalog((Everything,)).encode(Nothing())


def test_a_tag_belongs_to_one_class() -> None:
    @message(8)
    class Another:
        pass

    with pytest.raises(LocalError, match="tag 8 of Another is taken"):
        Catalog((Nothing, Another))


def test_a_field_that_cannot_travel_is_found_when_the_catalog_is_made() -> None:
    @message(9)
    class Wrong:
        when: complex

    with pytest.raises(LocalError, match="cannot travel"):
        Catalog((Wrong,))


# --- values --------------------------------------------------------------------------------------

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(INT_MIN, INT_MAX)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc"), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_values_come_back(value: Any) -> None:
    assert decode_value(encode_value(value)) == value


def test_the_order_of_keys_is_not_part_of_a_value() -> None:
    assert encode_value({"b": 1, "aa": 2}) == encode_value({"aa": 2, "b": 1})


HOSTILE_VALUES = {name: data[2:] for name, data in HOSTILE.items() if data[:2] == b"\x82\x08"}


@pytest.mark.parametrize("data", HOSTILE_VALUES.values(), ids=HOSTILE_VALUES)
def test_hostile_values_are_refused(data: bytes) -> None:
    with pytest.raises(RemoteError):
        decode_value(data)
