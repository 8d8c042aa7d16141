"""Sealed datagrams: only members are understood, and only once."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanoboost.gossip import seal as module
from nanoboost.gossip.messages import DATAGRAM_BYTES_MAX, MESSAGE_BYTES_MAX, SEAL_BYTES
from nanoboost.gossip.seal import BOOT_BYTES, MAGIC, NUMBER_BYTES, WINDOW, Seal

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
