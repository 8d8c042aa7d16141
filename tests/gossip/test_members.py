"""The one rule of precedence, the table and the ring."""

from itertools import pairwise, product
from random import Random

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from nanoboost.gossip.members import (
    COUNTER_MAX,
    GENERATION_MAX,
    MEMBERS_MAX,
    Description,
    Incarnation,
    Meta,
    Record,
    Rumor,
    State,
    Verdict,
    decide,
    refuted,
)
from nanoboost.gossip.table import Ring, Table
from nanoboost.ids import Address
from tests.gossip.lan import described, node_id

ALIVE, SUSPECT, DEAD, LEFT = State.ALIVE, State.SUSPECT, State.DEAD, State.LEFT

# SWIM section 4.2 with memberlist's comparison of incarnations, written as the paper writes it: how
# the claim's incarnation must compare with the known one for the claim to be believed.  A death or
# a goodbye is not final: something newer overrides it.
BELIEVED_IF = {
    (ALIVE, ALIVE): ">",
    (ALIVE, SUSPECT): ">=",
    (ALIVE, DEAD): ">=",
    (ALIVE, LEFT): ">=",
    (SUSPECT, ALIVE): ">",
    (SUSPECT, SUSPECT): ">",
    (SUSPECT, DEAD): ">=",
    (SUSPECT, LEFT): ">=",
    (DEAD, ALIVE): ">",
    (DEAD, SUSPECT): ">",
    (DEAD, DEAD): ">",
    (DEAD, LEFT): ">=",
    (LEFT, ALIVE): ">",
    (LEFT, SUSPECT): ">",
    (LEFT, DEAD): ">",
    (LEFT, LEFT): ">",
}
INCARNATIONS = [Incarnation(g, c) for g, c in product((1, 2), (0, 1, 2))]


def by_the_paper(state: State, known: Incarnation, kind: State, claim: Incarnation) -> Verdict:
    newer = (claim.generation, claim.counter) > (known.generation, known.counter)
    same = (claim.generation, claim.counter) == (known.generation, known.counter)
    if newer or (same and BELIEVED_IF[state, kind] == ">="):
        return Verdict.ADOPT
    if same and state is kind is SUSPECT:
        return Verdict.CONFIRM
    if kind is ALIVE and state is DEAD:
        return Verdict.RETELL
    return Verdict.DROP


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("kind", State)
def test_each_claim_is_believed_exactly_as_the_paper_says(state: State, kind: State) -> None:
    for known, claim in product(INCARNATIONS, INCARNATIONS):
        wanted = by_the_paper(state, known, kind, claim)
        assert decide((state, known), kind, claim) is wanted, (known, claim)


def test_of_the_unknown_only_the_living_are_believed() -> None:
    found = [decide(None, kind, Incarnation(1, 0)) for kind in State]
    assert found == [Verdict.ADOPT, Verdict.ASK, Verdict.BURY, Verdict.BURY]


def test_the_order_of_claims_is_total() -> None:
    """Of any two different claims exactly one overrides the other."""
    claims = list(product(State, INCARNATIONS))
    for (state, known), (kind, claim) in product(claims, claims):
        one = decide((state, known), kind, claim) is Verdict.ADOPT
        other = decide((kind, claim), state, known) is Verdict.ADOPT
        assert one + other == ((state, known) != (kind, claim))


# --- incarnations and refutation -----------------------------------------------------------------


def test_the_next_incarnation_is_later_even_where_the_counter_ends() -> None:
    assert Incarnation(3, 4).next() == Incarnation(3, 5)
    assert Incarnation(3, COUNTER_MAX).next() == Incarnation(4, 0)
    greatest = Incarnation(GENERATION_MAX, COUNTER_MAX)
    assert greatest.next() == greatest, "nothing outbids it, and whoever claims it stops nobody"


@pytest.mark.parametrize(
    ("generation", "counter"),
    [(-1, 0), (GENERATION_MAX + 1, 0), (0, -1), (0, COUNTER_MAX + 1)],
)
def test_an_incarnation_has_bounds(generation: int, counter: int) -> None:
    with pytest.raises(ValueError, match="out of bounds"):
        Incarnation(generation, counter)


OWN = Record(node_id(0), Incarnation(2, 3), ALIVE, 0.0, described(0))


@pytest.mark.parametrize(
    ("kind", "incarnation", "becomes"),
    [
        (SUSPECT, Incarnation(2, 2), None),
        (SUSPECT, Incarnation(2, 3), Incarnation(2, 4)),
        (DEAD, Incarnation(2, 9), Incarnation(2, 10)),
        (LEFT, Incarnation(2, 3), Incarnation(2, 4)),
        (ALIVE, Incarnation(2, 3), None),
        (ALIVE, Incarnation(3, 0), Incarnation(3, 1)),
        (DEAD, Incarnation(1, 99), None),
    ],
)
def test_only_what_harms_is_refuted(
    kind: State, incarnation: Incarnation, becomes: Incarnation | None
) -> None:
    claim = Rumor(kind, OWN.node, incarnation, node_id(1), described(0))
    raised = refuted(OWN, claim)
    assert (raised and raised.incarnation) == becomes


def test_another_description_at_the_own_incarnation_is_refuted() -> None:
    claim = Rumor(ALIVE, OWN.node, OWN.incarnation, description=described(7))
    raised = refuted(OWN, claim)
    assert raised is not None
    assert raised == evolve(OWN, incarnation=Incarnation(2, 4))


# --- bounds of what is said ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["224.0.0.1", "0.0.0.0", "::", "ff02::1", "nas.local", "", "1.2.3.4.5", "10.0.0.1 "]
)
def test_an_address_is_that_of_one_host(host: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Description("pi", Address(host, 7470), Meta(1, 1, 1.0, 1))


def test_metadata_that_does_not_fit_a_datagram_is_refused_where_it_is_made() -> None:
    Meta(4, 4096, 1.0, 4, tuple(label * 32 for label in "abcde"))
    with pytest.raises(ValueError, match="256 bytes"):
        Meta(4, 4096, 1.0, 4, tuple(label * 32 for label in "abcdefgh"))
    with pytest.raises(ValueError, match="negative"):
        Meta(-1, 0, 0.0, 0)


# --- the table -----------------------------------------------------------------------------------

records = st.builds(
    Record,
    st.integers(0, 5).map(node_id),
    st.builds(Incarnation, st.integers(1, 2), st.integers(0, 2)),
    st.sampled_from(State),
    st.just(0.0),
    st.just(described(1)),
)


@given(st.lists(records), st.randoms(use_true_random=False))
def test_the_digest_is_that_of_the_live_members_however_they_came(
    put: list[Record], rng: Random
) -> None:
    table = Table()
    for record in put:
        table.put(record)
    final = list(table)
    rng.shuffle(final)
    other = Table()
    for record in final:
        if record.state.is_live:
            other.put(evolve(record, state=ALIVE))
    assert table.digest == other.digest
    assert table.live_count == other.live_count == len(list(other))
    assert [record for record in table if not record.state.is_live] == sorted(
        table.gone, key=list(table).index
    )


def test_a_digest_differs_by_node_and_by_incarnation() -> None:
    digests = set()
    for node, counter in product((0, 1), (0, 1)):
        table = Table()
        table.put(Record(node_id(node), Incarnation(1, counter), ALIVE, 0.0, described(0)))
        digests.add(table.digest)
    assert len(digests) == 4


def test_a_full_table_forgets_the_longest_dead_and_refuses_if_all_live() -> None:
    table = Table()
    for number in range(MEMBERS_MAX):
        state = DEAD if number in (7, 9) else ALIVE
        since = 50.0 - number
        table.put(Record(node_id(number), Incarnation(1, 0), state, since, described(number)))
    newcomer = Record(node_id(MEMBERS_MAX), Incarnation(1, 0), ALIVE, 60.0, described(1))
    assert table.put(newcomer)
    assert table.get(node_id(9)) is None
    assert table.put(evolve(newcomer, node=node_id(MEMBERS_MAX + 1)))
    assert table.get(node_id(7)) is None
    assert not table.put(evolve(newcomer, node=node_id(MEMBERS_MAX + 2)))
    assert table.live_count == MEMBERS_MAX


# --- the ring ------------------------------------------------------------------------------------


@given(st.integers(1, 12), st.randoms(use_true_random=False))
def test_each_member_is_probed_within_2n_minus_1_probes(n: int, rng: Random) -> None:
    ring = Ring(rng)
    for number in range(n):
        ring.add(node_id(number))
    turns = [ring.next() for _ in range(10 * n)]
    for number in range(n):
        places = [at for at, node in enumerate(turns) if node == node_id(number)]
        assert places[0] < n
        gaps = [b - a for a, b in pairwise(places)]
        assert max(gaps) <= 2 * n - 1


@given(st.integers(2, 8), st.data(), st.randoms(use_true_random=False))
def test_comings_and_goings_skip_nobody_and_repeat_nobody(
    n: int, data: st.DataObject, rng: Random
) -> None:
    ring = Ring(rng)
    for number in range(n):
        ring.add(node_id(number))
    had_turn = [ring.next() for _ in range(data.draw(st.integers(1, n - 1)))]
    waiting = {node_id(number) for number in range(n)} - set(had_turn)
    if data.draw(st.booleans()):
        ring.add(node_id(99))
        rest = [ring.next() for _ in waiting]
        assert not set(rest) & set(had_turn)
        assert len(set(rest)) == len(rest)
    else:
        gone = node_id(data.draw(st.integers(0, n - 1)))
        ring.remove(gone)
        waiting.discard(gone)
        assert {ring.next() for _ in range(len(waiting))} == waiting


def test_an_empty_ring_has_nobody() -> None:
    ring = Ring(Random(1))
    assert ring.is_empty
    assert ring.next() is None
    ring.add(node_id(1))
    ring.add(node_id(1))
    assert [ring.next(), ring.next()] == [node_id(1)] * 2
    ring.remove(node_id(1))
    assert ring.is_empty
