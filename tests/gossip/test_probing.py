"""One core, poked: whom it asks whether he is there, by which ways, and what silence means."""

from math import inf

from attrs import evolve

from nanoboost.gossip.effects import (
    Answered,
    AskStream,
    Hinted,
    MemberDown,
    MemberSuspected,
    SendDatagram,
    Unanswered,
)
from nanoboost.gossip.members import Incarnation, Rumor
from nanoboost.gossip.messages import (
    Accused,
    Ack,
    Gossip,
    Nack,
    NotMe,
    Ping,
    PingRequest,
    StreamPing,
    StreamPong,
)
from nanoboost.gossip.suspicion import CONDEMNED_SHARE, bounds
from tests.gossip.lan import LAN, address, node_id
from tests.gossip.poked import (
    ALIVE,
    ME,
    SUSPECT,
    Poked,
    announced,
    datagrams,
    header,
    kinds,
    own_header,
)

# --- probing -------------------------------------------------------------------------------------


def test_every_second_ping_goes_round_and_the_others_to_the_neighbour() -> None:
    poked = Poked(3)
    asked = []
    for _ in range(6):
        to, sequence = poked.until_ping()
        poked.hear(Ack(header(to, sequence)))
        asked.append(to)
    assert asked[::2] == [1, 1, 1]
    assert sorted(asked[1::2]) == [1, 2, 3]


def test_a_ping_in_vain_is_tried_through_others_and_over_tcp_at_once() -> None:
    poked = Poked(6)
    to, sequence = poked.until_ping()
    pinged_at = poked.now
    effects = poked.wake()
    assert poked.now - pinged_at == LAN.probe_timeout_s
    assert kinds(effects) == [PingRequest] * LAN.indirect_probes + [AskStream]
    budget = pinged_at + LAN.probe_interval_s - poked.now
    helpers = [number for number, _ in datagrams(effects)]
    assert len(set(helpers)) == 3
    assert to not in helpers
    for _, message in datagrams(effects):
        wanted = PingRequest(own_header(poked, sequence), node_id(to), address(to), budget)
        assert message == wanted
    question = effects[-1]
    assert isinstance(question, AskStream)
    assert (question.address, question.question) == (address(to), StreamPing(node_id(to)))


def test_silence_to_the_end_of_the_interval_is_a_suspicion() -> None:
    poked = Poked(4)
    to, sequence = poked.until_ping()
    for helper, _ in datagrams(poked.wake()):
        poked.hear(Nack(header(helper, sequence)))
    effects = poked.wake()
    assert announced(effects) == [(MemberSuspected, node_id(to))]
    assert poked.swim.health == 0


def test_helpers_that_say_nothing_make_the_prober_doubt_itself() -> None:
    poked = Poked(5)
    _, sequence = poked.until_ping()
    helpers = [helper for helper, _ in datagrams(poked.wake())]
    poked.hear(Nack(header(helpers[0], sequence)))
    poked.wake()
    assert poked.swim.health == 2
    slow = poked.now
    poked.until_ping()
    assert poked.now - slow == 3 * LAN.probe_interval_s


def test_an_ack_through_a_helper_or_over_tcp_is_as_good() -> None:
    for way in ("helper", "tcp"):
        poked = Poked(4)
        to, sequence = poked.until_ping()
        effects = poked.wake()
        if way == "helper":
            poked.hear(Ack(header(datagrams(effects)[0][0], sequence)))
        else:
            question = effects[-1]
            assert isinstance(question, AskStream)
            poked.step(Answered(question.ticket, node_id(to), StreamPong(node_id(to))))
        assert Ping in kinds(poked.wake()), "the next round begins"
        assert poked.swim.health == 0
        assert all(member.state is ALIVE for member in poked.swim.members)


def test_an_ack_of_a_bystander_is_none() -> None:
    poked = Poked(2)
    to, sequence = poked.until_ping()
    poked.hear(Ack(header(3 - to, sequence)))
    assert PingRequest in kinds(poked.wake())


def test_a_refused_connection_is_a_suspicion_at_once_and_a_death_soon() -> None:
    poked = Poked(4)
    to, _ = poked.until_ping()
    question = poked.wake()[-1]
    assert isinstance(question, AskStream)
    suspected = poked.step(Unanswered(question.ticket, refused=True))
    assert announced(suspected) == [(MemberSuspected, node_id(to))]
    since = poked.now
    while not (down := announced(poked.wake())):
        pass
    assert down == [(MemberDown, node_id(to))]
    assert abs(poked.now - since - CONDEMNED_SHARE * LAN.probe_interval_s) < 1e-9


def test_another_node_at_the_address_means_the_same() -> None:
    for way in ("datagram", "tcp"):
        poked = Poked(4)
        to, sequence = poked.until_ping()
        if way == "datagram":
            effects = poked.hear(NotMe(header(9, sequence), node_id(to)))
        else:
            question = poked.wake()[-1]
            assert isinstance(question, AskStream)
            effects = poked.step(Answered(question.ticket, node_id(9), StreamPong(node_id(9))))
        assert announced(effects) == [(MemberSuspected, node_id(to))]


def test_a_hint_asks_by_all_ways_at_once() -> None:
    poked = Poked(5)
    effects = poked.step(Hinted(node_id(2)))
    assert kinds(effects) == [Ping, *[PingRequest] * 3, AskStream]
    assert poked.step(Hinted(node_id(2))) == (), "it is being asked already"
    assert poked.step(Hinted(node_id(77))) == ()
    assert poked.step(Hinted(ME)) == ()


# --- plain SWIM, and Lifeguard alone -------------------------------------------------------------

PLAIN = evolve(
    LAN,
    suspicion_max_mult=1,
    health_max=1,
    buddy=False,
    stream_probes=False,
    own_rules=False,
    sync_interval_s=inf,
)


def test_plain_swim_doubts_nobody_but_the_target_and_asks_by_datagram_only() -> None:
    poked = Poked(5, PLAIN)
    to, _ = poked.until_ping()
    assert kinds(poked.wake()) == [PingRequest] * 3
    suspected = poked.wake()
    assert announced(suspected) == [(MemberSuspected, node_id(to))]
    assert Accused not in kinds(suspected)
    assert poked.swim.health == 0
    since = poked.now
    while not (down := announced(poked.wake())):
        pass
    assert down[0][0] in (MemberDown, MemberSuspected)
    assert poked.now - since <= bounds(PLAIN, 6).min_s


def test_plain_swim_tells_a_suspect_only_by_chance_and_the_dead_nothing() -> None:
    for timing, is_told in ((PLAIN, False), (evolve(PLAIN, buddy=True), True)):
        poked = Poked(3, timing)
        rumor = Rumor(SUSPECT, node_id(2), Incarnation(1, 0), node_id(1))
        poked.hear(Gossip(header(1), (rumor,)))
        poked.swim._view.rumors.forget(node_id(2))
        (answer,) = [m for to, m in datagrams(poked.hear(Ping(header(2, 5), ME))) if to == 2]
        assert isinstance(answer, Ack)
        assert (answer.rumors != ()) is is_told


def test_whoever_does_not_answer_is_dead_where_there_are_no_suspicions() -> None:
    poked = Poked(3, evolve(PLAIN, suspicion_mult=0))
    to, _ = poked.until_ping()
    poked.wake()
    assert announced(poked.wake()) == [(MemberSuspected, node_id(to)), (MemberDown, node_id(to))]


# --- asking for others ---------------------------------------------------------------------------


def test_a_helper_pings_and_passes_the_ack_on() -> None:
    poked = Poked(2)
    request = PingRequest(header(1, 50), node_id(2), address(2), 1.0)
    ((to, ping),) = datagrams(poked.hear(request))
    assert isinstance(ping, Ping)
    assert (to, ping.target) == (2, node_id(2))
    effects = poked.hear(Ack(header(2, ping.header.sequence)))
    assert effects == (SendDatagram(address(1), Ack(own_header(poked, 50))),)


def test_a_helper_says_at_80_percent_of_the_time_that_it_is_there_at_least() -> None:
    poked = Poked(2)
    poked.hear(PingRequest(header(1, 50), node_id(2), address(2), 0.1))
    asked = poked.now
    for _ in range(9):
        effects = poked.wake()
        if Nack in kinds(effects):
            break
    assert abs(poked.now - asked - 0.08) < 1e-9
    assert (1, Nack(own_header(poked, 50))) in datagrams(effects)
