"""Rumors: how often, in what order, and that they fit."""

from collections import Counter

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from nanoboost.config import PROFILES
from nanoboost.errors import RemoteError
from nanoboost.gossip.members import (
    COUNTER_MAX,
    GENERATION_MAX,
    Description,
    Incarnation,
    Meta,
    Rumor,
    State,
)
from nanoboost.gossip.messages import (
    DATAGRAM_BYTES_MAX,
    DATAGRAMS,
    RUMOR_BYTES_MAX,
    RUMORS_MAX,
    SEAL_BYTES,
    STREAM_BYTES_MAX,
    Accused,
    Ack,
    Datagram,
    Gossip,
    Header,
    Ping,
    PingRequest,
    rumor_bytes,
    within,
)
from nanoboost.gossip.rumors import Rumors, transmit_limit
from nanoboost.gossip.sync import sync_scale
from nanoboost.ids import Address, NodeId
from nanoboost.wire.codec import encode_value
from tests.gossip.lan import described, node_id

LAN = PROFILES["lan"].gossip
ME = node_id(0)
LIMIT = 4
SHORT = Header(ME, Incarnation(7, 3), 5, bytes(8))
LATEST = Incarnation(GENERATION_MAX, COUNTER_MAX)
LONGEST = Description(
    "n" * 63,
    Address("2001:1111:1111:1111:1111:1111:255.255.255.255", 65535),
    Meta((1 << 63) - 1, (1 << 63) - 1, 1.1, 1024, tuple(each * 40 for each in "abcde")),
)


def alive(number: int, counter: int = 0) -> Rumor:
    incarnation = Incarnation(1, counter)
    return Rumor(State.ALIVE, node_id(number), incarnation, description=described(number))


def about(kind: State, number: int) -> Rumor:
    return Rumor(kind, node_id(number), Incarnation(1, 0), node_id(9))


@pytest.mark.parametrize(
    ("mult", "live", "limit"),
    [(3, 0, 0), (3, 1, 3), (3, 9, 3), (3, 10, 6), (3, 99, 6), (4, 100, 12)],
)
def test_the_limit_is_memberlists(mult: int, live: int, limit: int) -> None:
    assert transmit_limit(evolve(LAN, retransmit_mult=mult), live) == limit


@pytest.mark.parametrize(
    ("live", "scale"), [(1, 1), (32, 1), (33, 2), (64, 2), (65, 3), (128, 3), (129, 4)]
)
def test_exchanges_get_rarer_as_memberlists_do(live: int, scale: int) -> None:
    assert sync_scale(live) == scale


@given(st.lists(st.integers(1, 30), unique=True), st.integers(100, 900), st.integers(1, 200))
def test_each_rumor_is_sent_exactly_to_its_limit_and_then_forgotten(
    numbers: list[int], budget: int, live: int
) -> None:
    rumors = Rumors(ME)
    for number in numbers:
        rumors.add(alive(number))
    limit = transmit_limit(LAN, live)
    sent: Counter[str] = Counter()
    for _ in range(len(numbers) * limit):
        taken = rumors.take(budget, limit)
        assert sum(rumor_bytes(rumor) for rumor in taken) <= budget
        fits = rumor_bytes(alive(1)) + 2 <= budget
        assert taken or not len(rumors) or not fits
        sent.update(rumor.node for rumor in taken)
    if numbers and budget >= 200:
        assert sent == dict.fromkeys(map(node_id, numbers), limit)
        assert not rumors


def test_refutations_go_first_then_ends_then_suspicions_then_the_living() -> None:
    rumors = Rumors(ME)
    told = [
        alive(4),
        about(State.SUSPECT, 3),
        about(State.LEFT, 2),
        about(State.DEAD, 1),
        alive(0),
    ]
    for rumor in told:
        rumors.add(rumor)
    assert rumors.take(RUMOR_BYTES_MAX, LIMIT) == (alive(0), *told[3:1:-1], told[1], told[0])


def test_among_equals_the_least_sent_goes_first() -> None:
    rumors = Rumors(ME)
    one = rumor_bytes(alive(1))
    rumors.add(alive(1))
    rumors.add(alive(2))
    order = [rumors.take(one, LIMIT)[0].node for _ in range(4)]
    assert order == [node_id(2), node_id(1)] * 2


def test_a_newer_rumor_takes_the_place_of_the_older() -> None:
    rumors = Rumors(ME)
    rumors.add(about(State.SUSPECT, 1))
    rumors.add(alive(1, counter=1))
    assert len(rumors) == 1
    assert rumors.take(RUMOR_BYTES_MAX, LIMIT) == (alive(1, counter=1),)


def test_what_is_held_of_the_receiver_is_told_once_and_in_any_case() -> None:
    rumors = Rumors(ME)
    rumors.add(about(State.SUSPECT, 1))
    rumors.add(alive(2))
    first = about(State.SUSPECT, 1)
    assert rumors.take(RUMOR_BYTES_MAX, LIMIT, first) == (first, alive(2))


def test_a_crowd_of_rumors_fills_a_datagram_and_no_more() -> None:
    rumors = Rumors(ME)
    for number in range(1, 200):
        rumors.add(about(State.DEAD, number))
    taken = rumors.take(10**6, LIMIT)
    assert len(taken) == RUMORS_MAX
    assert len(rumors.take(RUMOR_BYTES_MAX, LIMIT)) == RUMOR_BYTES_MAX // rumor_bytes(taken[0])


# --- sizes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", State)
def test_the_longest_rumor_fits_alone_in_the_longest_datagram(kind: State) -> None:
    rumor = Rumor(kind, ME, LATEST, node_id(1), LONGEST)
    assert rumor_bytes(rumor) <= RUMOR_BYTES_MAX
    header = Header(ME, LATEST, (1 << 32) - 1, bytes(8))
    where = LONGEST.address
    datagrams: list[Datagram] = [
        Ping(header, ME, (rumor,)),
        PingRequest(header, ME, where, 59.999, (rumor,)),
        Accused(header, State.DEAD, LATEST, (rumor,)),
        Gossip(header, (rumor,)),
    ]
    for datagram in datagrams:
        encoded = DATAGRAMS.encode(datagram)
        assert len(encoded) + SEAL_BYTES <= DATAGRAM_BYTES_MAX
        assert DATAGRAMS.decode(encoded) == datagram


names = st.text("aZ9._-", min_size=1, max_size=62).map("n".__add__)
hosts = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)
metas = st.builds(
    Meta,
    st.integers(0, 1 << 40),
    st.integers(0, 1 << 40),
    st.floats(0, 1e9),
    st.integers(0, 1024),
    st.lists(st.text(max_size=10), max_size=5).map(tuple),
)


@settings(max_examples=60)
@given(st.sampled_from(State), names, hosts, metas, st.integers(1, 65535))
def test_the_estimated_size_is_never_too_small(
    kind: State, name: str, host: str, meta: Meta, port: int
) -> None:
    try:
        described_as = Description(name, Address(host, port), meta)
    except ValueError:
        return  # a multicast address
    rumor = Rumor(kind, ME, LATEST, node_id(1), described_as)
    header = Header(ME, LATEST, 0, bytes(8))
    empty = len(DATAGRAMS.encode(Gossip(header)))
    assert len(DATAGRAMS.encode(Gossip(header, (rumor,)))) - empty <= rumor_bytes(rumor)


def test_a_table_is_cut_where_a_frame_ends() -> None:
    rows = [alive(number) for number in range(10)]
    assert within(rows, 3 * rumor_bytes(rows[0])) == tuple(rows[:3])
    assert within(rows, STREAM_BYTES_MAX) == tuple(rows)


# --- what strangers may say ----------------------------------------------------------------------

HEADER = ["00000000000000aa", [1, 0], 5, bytes(8)]
GONE = Rumor(State.DEAD, NodeId("00000000000000aa"), Incarnation(1, 0)).to_wire()
LATE = GENERATION_MAX + 1


@pytest.mark.parametrize(
    "fields",
    [
        [124, HEADER, [b"\0" + GONE[1:]]],
        [124, HEADER, [b"\x08" + GONE[1:]]],
        [124, HEADER, [b""]],
        [124, HEADER, [GONE[:-1]]],
        [124, HEADER, [GONE + b"\x80"]],
        [124, HEADER, [GONE[:9] + LATE.to_bytes(4, "big") + GONE[13:]]],
        [124, HEADER, [GONE.hex()]],
        [124, HEADER, [GONE] * (RUMORS_MAX + 1)],
        [124, ["00000000000000aa", [1, 0], -1, bytes(8)]],
        [124, ["00000000000000aa", [1, 0], 5, bytes(7)]],
        [122, HEADER, "00000000000000bb", ["10.0.0.1", 7470], 0.0],
        [122, HEADER, "00000000000000bb", ["10.0.0.1", 7470], 61.0],
        [100, []],
    ],
)
def test_what_breaks_a_bound_is_refused_where_it_is_decoded(fields: list[object]) -> None:
    with pytest.raises(RemoteError):
        DATAGRAMS.decode(encode_value(fields))


def test_control_what_breaks_none_is_read() -> None:
    said = DATAGRAMS.decode(encode_value([124, HEADER, [GONE]]))
    assert isinstance(said, Gossip)
    assert said.rumors[0].to_wire() == GONE


@pytest.mark.parametrize("said", [Ping(SHORT, ME), Ack(SHORT)])
def test_what_a_quiet_cluster_says_is_short_and_well_formed(said: Datagram) -> None:
    encoded = DATAGRAMS.encode(said)
    assert len(encoded) + SEAL_BYTES <= 73
    assert DATAGRAMS.decode(encoded) == said
    for wrong in (encoded[:-1], encoded + b"x", encoded + b"\0\1x", b"\4" + encoded[1:], b""):
        with pytest.raises(RemoteError):
            DATAGRAMS.decode(wrong)
    late = encoded[:9] + LATE.to_bytes(4, "big") + encoded[13:]
    with pytest.raises(RemoteError, match="out of bounds"):
        DATAGRAMS.decode(late)
