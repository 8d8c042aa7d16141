"""Sealed datagrams: only members are understood, and only once."""

from ipaddress import ip_address
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanoboost.gossip import seal as module
from nanoboost.gossip.members import META_BYTES_MAX, Description, Incarnation, Meta, Rumor, State
from nanoboost.gossip.messages import (
    DATAGRAM_BYTES_MAX,
    DATAGRAMS,
    MESSAGE_BYTES_MAX,
    SEAL_BYTES,
    Accused,
    Ack,
    Datagram,
    Gossip,
    Header,
    Nack,
    NotMe,
    Ping,
    PingRequest,
)
from nanoboost.gossip.seal import (
    BEACON_MAGIC,
    BOOT_BYTES,
    HEAD_BYTES,
    MAGIC,
    NUMBER_BYTES,
    WINDOW,
    Seal,
)
from nanoboost.ids import Address, NodeId
from nanoboost.wire.codec import encode_value

KEY = bytes(range(32))
BOOT_A, BOOT_B = b"a" * BOOT_BYTES, b"b" * BOOT_BYTES


def pair() -> tuple[Seal, Seal]:
    return Seal(KEY, "home", BOOT_A), Seal(KEY, "home", BOOT_B)


@given(st.binary(max_size=MESSAGE_BYTES_MAX))
def test_what_a_member_seals_a_member_opens(message: bytes) -> None:
    a, b = pair()
    datagram = a.close(message)
    assert len(datagram) == len(message) + SEAL_BYTES <= DATAGRAM_BYTES_MAX
    assert b.open(datagram) == message
    assert (b.strangers, b.replays) == (0, 0)


def test_the_same_message_never_looks_the_same() -> None:
    a, b = pair()
    seen = {a.close(b"ping")[-20:] for _ in range(100)} | {b.close(b"ping")[-20:]}
    assert len(seen) == 101


@pytest.mark.parametrize(
    "other",
    [
        Seal(bytes(32), "home", BOOT_A),
        Seal(KEY, "school", BOOT_A),
    ],
    ids=["another key", "another cluster"],
)
def test_another_cluster_is_not_understood(other: Seal) -> None:
    _, b = pair()
    assert b.open(other.close(b"hello")) is None
    assert (b.strangers, b.replays) == (1, 0)


def test_one_changed_bit_anywhere_is_noticed() -> None:
    a, b = pair()
    datagram = a.close(b"a message")
    for bit in range(8 * len(datagram)):
        forged = bytearray(datagram)
        forged[bit // 8] ^= 1 << bit % 8
        assert b.open(bytes(forged)) is None
    assert b.strangers == 8 * len(datagram)
    assert b.open(datagram) == b"a message", "forgeries have not moved the window"


def test_every_cut_and_every_addition_is_noticed() -> None:
    a, b = pair()
    datagram = a.close(b"a message")
    for length in range(len(datagram)):
        assert b.open(datagram[:length]) is None
    assert b.open(datagram + b"\0") is None
    assert b.open(datagram) == b"a message"


def test_a_datagram_counts_once_in_whatever_order_they_come() -> None:
    a, b = pair()
    datagrams = [a.close(bytes([number])) for number in range(200)]
    Random(1).shuffle(datagrams)
    assert all(b.open(datagram) is not None for datagram in datagrams)
    assert all(b.open(datagram) is None for datagram in datagrams)
    assert (b.strangers, b.replays) == (0, 200)


def test_what_was_overtaken_by_more_than_the_window_is_dropped() -> None:
    a, b = pair()
    datagrams = [a.close(b"") for _ in range(WINDOW + 1)]
    assert b.open(datagrams[-1]) == b""
    assert b.open(datagrams[1]) == b""
    assert b.open(datagrams[0]) is None
    assert b.replays == 1


def test_what_we_said_ourselves_is_not_believed_when_it_comes_back() -> None:
    a, _ = pair()
    assert a.open(a.close(b"echo")) is None
    assert a.replays == 1


def test_a_number_from_far_ahead_costs_no_memory() -> None:
    """A shift that a member chooses would be a bomb: 2**60 bits."""
    a, b = pair()
    first = a.close(b"first")
    a._number = (1 << 64) - 3
    assert b.open(a.close(b"far")) == b"far"
    assert b._window_by_boot[BOOT_A].seen.bit_length() <= WINDOW
    assert b.open(first) is None
    assert b.open(a.close(b"farther")) == b"farther"


def test_a_restarted_sender_is_heard_from_its_first_number() -> None:
    a, b = pair()
    for _ in range(5000):
        a.close(b"")
    assert b.open(a.close(b"late")) == b"late"
    assert b.open(Seal(KEY, "home", b"c" * BOOT_BYTES).close(b"early")) == b"early"


def test_the_senders_remembered_are_bounded_and_the_latest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BOOTS_MAX", 3)
    b = Seal(KEY, "home", BOOT_B)
    senders = [Seal(KEY, "home", bytes([number]) * BOOT_BYTES) for number in range(4)]
    kept = senders[0].close(b"once")
    assert b.open(kept) == b"once"
    for sender in (*senders[1:3], senders[0], senders[3]):
        assert b.open(sender.close(b"")) == b""
    assert len(b._window_by_boot) == 3
    assert b.open(kept) is None, "sender 0 was heard lately; sender 1 is the one forgotten"


def test_strangers_are_not_remembered() -> None:
    _, b = pair()
    rng = Random(2)
    for _ in range(100):
        head = MAGIC + rng.randbytes(BOOT_BYTES + NUMBER_BYTES)
        assert b.open(head + rng.randbytes(50)) is None
    assert b._window_by_boot == {}
    assert b.strangers == 100


@settings(max_examples=200)
@given(st.one_of(st.binary(max_size=1500), st.binary(max_size=1300).map(MAGIC.__add__)))
def test_garbage_is_dropped_and_counted_whatever_it_is(garbage: bytes) -> None:
    _, b = pair()
    assert b.open(garbage) is None
    assert b.strangers == 1


# --- changing the key ----------------------------------------------------------------------------

OTHER_KEY = bytes(range(32, 64))


def test_gossip_and_calls_do_not_open_each_other_even_under_one_boot_id() -> None:
    """Both count from 1: with one key they would use a nonce twice."""
    gossip, calls = Seal(KEY, "home", BOOT_A), Seal(KEY, "home", BOOT_A, magic=BEACON_MAGIC)
    here, there = Seal(KEY, "home", BOOT_B), Seal(KEY, "home", BOOT_B, magic=BEACON_MAGIC)
    said, called = gossip.close(bytes(40)), calls.close(bytes(40))
    assert here.open(called) is None
    assert there.open(said) is None
    assert said[HEAD_BYTES:][:40] != called[HEAD_BYTES:][:40]
    assert here.open(BEACON_MAGIC.replace(b"b", b"g") + called[4:]) is None


def test_both_keys_open_and_the_first_seals() -> None:
    old, new = Seal(KEY, "home", BOOT_A), Seal(OTHER_KEY, "home", b"c" * BOOT_BYTES)
    both = Seal(KEY, "home", BOOT_B, also=(OTHER_KEY,))
    assert both.open(old.close(b"old")) == b"old"
    assert both.open(new.close(b"new")) == b"new"
    assert old.open(both.close(b"?")) == b"?"
    both.rekey(OTHER_KEY, KEY)
    assert new.open(both.close(b"!")) == b"!"
    assert old.open(both.close(b"!")) is None
    assert both.strangers == 0


def test_a_sender_goes_on_under_the_new_key_and_nothing_comes_twice() -> None:
    a, b = pair()
    early = a.close(b"early")
    assert b.open(early) == b"early"
    late = a.close(b"late")
    b.rekey(KEY, OTHER_KEY)
    a.rekey(OTHER_KEY, KEY)
    assert b.open(a.close(b"new")) == b"new"
    assert b.open(late) == b"late", "overtaken, and sealed with the old key"
    assert (b.open(late), b.open(early)) == (None, None)
    assert (b.strangers, b.replays) == (0, 2)


def test_what_the_old_key_sealed_is_a_strangers_once_it_is_dropped() -> None:
    a, b = pair()
    b.rekey(OTHER_KEY)
    assert b.open(a.close(b"old")) is None
    assert b.strangers == 1


# --- sizes ---------------------------------------------------------------------------------------

LAST = Incarnation((1 << 31) - 1, (1 << 32) - 1)
HEADER = Header(NodeId("f" * 16), LAST, (1 << 32) - 1, b"\xff" * 8)


@settings(max_examples=60)
@given(
    st.text("aZ9._-", max_size=62).map("n".__add__),
    st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str),
    st.lists(st.text(max_size=60), max_size=8).map(tuple),
    st.integers(0, 1 << 62),
    st.sampled_from(State),
)
def test_whatever_a_node_may_say_about_itself_fits_alone_in_any_sealed_datagram(
    name: str, host: str, labels: tuple[str, ...], quantity: int, kind: State
) -> None:
    size = len(encode_value([quantity, quantity, 1e300, quantity, list(labels)]))
    try:
        meta = Meta(quantity, quantity, 1e300, quantity, labels)
        described = Description(name, Address(host, 65535), meta, bytes(BOOT_BYTES))
    except ValueError:
        assert size > META_BYTES_MAX or ip_address(host).is_multicast or host in ("0.0.0.0", "::")
        return
    assert size <= META_BYTES_MAX
    rumors = (Rumor(kind, HEADER.sender, LAST, NodeId("e" * 16), described),)
    seal = Seal(KEY, "home", BOOT_A)
    datagrams: list[Datagram] = [
        Ping(HEADER, HEADER.sender, rumors),
        Ack(HEADER, rumors),
        PingRequest(HEADER, HEADER.sender, Address(host, 65535), 59.9, rumors),
        Nack(HEADER, rumors),
        Gossip(HEADER, rumors),
        NotMe(HEADER, HEADER.sender, rumors),
        Accused(HEADER, State.DEAD, LAST, rumors),
    ]
    for datagram in datagrams:
        assert len(seal.close(DATAGRAMS.encode(datagram))) <= DATAGRAM_BYTES_MAX
