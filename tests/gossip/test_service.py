"""The shell of membership: whole services over a switch in memory and a clock that is told."""

from typing import Any

import pytest
from attrs import evolve
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionRefusedError as TwistedRefused
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from nanoboost.errors import RemoteError, UserError
from nanoboost.gossip.effects import MemberDown, MemberEvent, MemberLeft, MemberUp
from nanoboost.gossip.members import Incarnation, Rumor, State
from nanoboost.gossip.messages import STREAM, StreamPing, StreamPong, Sync
from nanoboost.gossip.peers import PEERS_KEY
from nanoboost.gossip.seal import BOOT_BYTES, Seal
from nanoboost.gossip.service import GENERATION_KEY
from nanoboost.ids import Address, NodeId
from nanoboost.net.dial import NobodyThere
from nanoboost.net.mesh import Mesh
from nanoboost.wire.codec import Catalog
from nanoboost.wire.messages import SESSION
from tests.gossip.house import CLUSTER, KEY, A, B, C, Call, House, Store, numbered
from tests.gossip.lan import node_id


@pytest.fixture
def house() -> House:
    return House()


def three(house: House) -> None:
    house.start(A)
    house.start(B, A)
    house.start(C, A)
    house.run(2.0)


def test_nodes_find_one_another_and_report_the_others_once(house: House) -> None:
    three(house)
    assert house.agree()
    for address in (A, B, C):
        everybody = {numbered(each) for each in (A, B, C)}
        assert {m.node for m in house.nodes[address].members} == everybody
        assert sorted(house.said(address, MemberUp)) == sorted(everybody - {numbered(address)})
    assert house.crashes == []


def test_nothing_is_said_before_the_generation_is_durable(house: House) -> None:
    store = house.stores[B] = Store()
    store.is_slow = True
    house.start(A)
    node = house.start(B, A)
    house.run(3.0)
    call: Any = Call(numbered(A))
    node.answer(call, StreamPing(numbered(B)))
    assert (node.members, house.heard[B], call.answers) == ((), [], [])
    assert [each for each in house.switch.carried if each[0] == B] == []
    store.waiting.pop(0).callback(None)
    house.run(1.0)
    assert house.agree()
    assert len(node.members) == 2


def test_each_start_is_a_later_generation(house: House) -> None:
    for generation in (1, 2, 3):
        node = house.start(A)
        assert node.members[0].incarnation == Incarnation(generation, 0)
        house.stop(A)


def test_a_start_that_the_disk_refuses_stops_the_node_and_says_nothing(house: House) -> None:
    store = house.stores[A] = Store()
    store.is_slow = True
    house.start(A, B)
    store.waiting.pop().errback(OSError("disk full"))
    house.run(1.0)
    assert [type(each.value) for each in house.crashes] == [OSError]
    assert (house.switch.carried, house.switch.ports) == ([], {})


def test_a_node_that_is_stopped_before_its_start_is_durable_never_begins(house: House) -> None:
    store = house.stores[A] = Store()
    store.is_slow = True
    node = house.start(A, B)
    house.stop(A)
    store.waiting.pop().callback(None)
    house.run(1.0)
    assert (node.members, house.heard[A], house.clock.getDelayedCalls()) == ((), [], [])


def test_questions_that_are_open_when_the_service_stops_are_given_up(house: House) -> None:
    given_up: list[None] = []
    node = house.build(A)
    node._ask = lambda *_: Deferred(lambda _: given_up.append(None))
    node.open(A, A.host)
    node.startService()
    node.join((B, C))
    node.stopService()
    assert given_up == [None, None]
    assert house.crashes == []


def test_a_stopped_service_leaves_no_timer_and_no_port(house: House) -> None:
    three(house)
    for address in (A, B, C):
        house.stop(address)
    house.run(0.1)
    assert house.switch.ports == {}
    assert house.clock.getDelayedCalls() == []
    assert house.crashes == []


def test_the_peers_of_the_last_run_lead_back_without_seeds(house: House) -> None:
    three(house)
    house.stop(C)
    house.run(10.0)
    house.start(C)
    house.run(1.0)
    assert house.agree()
    assert len(house.nodes[C].members) == 3


def test_peers_are_remembered_whatever_became_of_them(house: House) -> None:
    three(house)
    house.stop(B)
    house.stop(C)
    house.run(10.0)
    assert sorted(house.said(A, MemberDown)) == sorted((numbered(B), numbered(C)))
    house.stop(A)
    house.start(B)
    house.run(1.0)
    house.start(A)
    house.run(1.0)
    assert house.agree()
    assert len(house.nodes) == 2


def test_peers_are_written_one_batch_at_a_time(house: House) -> None:
    house.start(A)
    store = house.stores[A]
    store.is_slow = True
    house.start(B, A)
    house.run(1.0)
    house.start(C, A)
    house.run(1.0)
    assert len(store.waiting) == 1, "the second peer waits for the first write"
    store.waiting.pop(0).callback(None)
    assert len(store.waiting) == 1
    store.waiting.pop(0).callback(None)
    assert store.waiting == []
    assert PEERS_KEY in store.pairs


def test_leaving_is_heard_and_then_done(house: House) -> None:
    three(house)
    done: list[None] = []
    house.nodes[B].leave().addCallback(done.append)
    house.nodes[B].leave().addCallback(done.append)
    house.run(1.6)
    assert done == [None, None]
    for other in (A, C):
        assert house.said(other, MemberLeft) == [numbered(B)]
        assert house.said(other, MemberDown) == []
    again: list[None] = []
    house.nodes[B].leave().addCallback(again.append)
    assert again == [None]


def test_leaving_ends_even_if_the_service_is_stopped_or_never_began(house: House) -> None:
    done: list[None] = []
    house.build(C).leave().addCallback(done.append)
    three(house)
    house.nodes[B].leave().addCallback(done.append)
    house.stop(B)
    assert done == [None, None]


def test_a_refused_connection_and_a_hint_make_a_death_quick(house: House) -> None:
    three(house)
    house.stop(B)
    house.nodes[A].hint(numbered(B))
    house.run(0.4)
    assert house.said(A, MemberDown) == [numbered(B)]


def test_a_quick_restart_is_an_end_and_a_beginning(house: House) -> None:
    three(house)
    house.heard[A].clear()
    house.stop(B)
    house.start(B, A)
    house.run(0.2)
    assert [(type(each), each.member.node) for each in house.heard[A]] == [
        (MemberDown, numbered(B)),
        (MemberUp, numbered(B)),
    ]


def test_what_no_member_has_said_is_counted_and_not_answered(house: House) -> None:
    node = house.start(A)
    port = house.switch.ports[A]
    stranger = Seal(bytes(range(32)), CLUSTER, b"s" * BOOT_BYTES)
    member = Seal(KEY, CLUSTER, b"m" * BOOT_BYTES)
    port.datagramReceived(b"", (B.host, B.port))
    port.datagramReceived(b"NB\x01g" + bytes(60), (B.host, B.port))
    port.datagramReceived(stranger.close(b"\x81\x18\x78"), (B.host, B.port))
    once = member.close(b"\x81\x18\x78")
    port.datagramReceived(once, (B.host, B.port))
    port.datagramReceived(once, (B.host, B.port))
    port.datagramReceived(member.close(b"\xff"), (B.host, B.port))
    assert (node.seal.strangers, node.seal.replays, node.unreadable) == (3, 1, 2)
    assert house.switch.carried == []
    assert house.crashes == []


def test_a_network_that_refuses_to_send_is_survived(house: House) -> None:
    three(house)
    house.switch.broken = OSError(101, "network is unreachable")
    house.run(1.0)
    house.switch.broken = None
    house.run(5.0)
    assert house.crashes == []
    assert house.nodes[A].unsent > 0
    assert house.agree()
    assert all(m.state is State.ALIVE for m in house.nodes[A].members)


def test_a_port_that_is_taken_and_a_name_for_an_address_are_told_in_a_line(house: House) -> None:
    house.start(A)
    with pytest.raises(UserError, match="UDP port 7470 cannot be had"):
        house.build(A).open(A, A.host)
    for host in ("nas.local", "0.0.0.0"):
        with pytest.raises(UserError, match="--advertise"):
            house.build(A).open(Address(host, 7470), A.host)


def test_whoever_hears_of_members_and_breaks_stops_the_node_once(house: House) -> None:
    node = house.build(A)

    def breaks(event: MemberEvent) -> None:
        raise ZeroDivisionError

    node._member_changed = breaks
    house.nodes[A] = node
    node.open(A, A.host)
    node.startService()
    house.start(B, A)
    house.run(1.0)
    assert [type(each.value) for each in house.crashes] == [ZeroDivisionError]
    assert list(house.switch.ports) == [B]


def test_only_nodes_may_ask_and_only_what_is_a_question(house: House) -> None:
    node = house.start(A)
    client: Any = Call(NodeId(""))
    with pytest.raises(RemoteError, match="from a client"):
        node.answer(client, Sync(()))
    peer: Any = Call(numbered(B))
    with pytest.raises(RemoteError, match="no question"):
        node.answer(peer, StreamPong(numbered(B)))
    node.answer(peer, StreamPing(numbered(A)))
    assert peer.answers == [StreamPong(numbered(A))]


def test_a_later_generation_of_this_node_is_outbid_and_the_next_start_too(house: House) -> None:
    node = house.start(A)
    claim = Rumor(State.DEAD, numbered(A), Incarnation(7, 5), numbered(B))
    peer: Any = Call(numbered(B))
    node.answer(peer, Sync((claim,)))
    assert node.members[0].incarnation == Incarnation(7, 6)
    assert house.stores[A].pairs[GENERATION_KEY] == b"7"
    house.stop(A)
    assert house.start(A).members[0].incarnation == Incarnation(8, 0)


def test_a_node_on_a_copied_state_learns_where_the_other_one_is(house: House) -> None:
    three(house)
    copy = Address("10.1.0.2", 7470)  # of node 2's, which is B
    house.stores[copy] = Store()
    house.stores[copy].pairs = dict(house.stores[B].pairs)
    house.start(copy, A)
    house.run(5.0)
    assert house.twins == [B], "the later start gives way, and is told so once"


def test_an_answer_of_the_wrong_kind_is_none(house: House) -> None:
    """B is taken to be silent, not up, by whom it answers with nonsense."""
    node = house.build(A)
    nonsense: Deferred[Any] = succeed((numbered(B), StreamPong(numbered(B))))
    node._ask = lambda *_: nonsense
    node.open(A, A.host)
    node.startService()
    node.join((B,))
    assert [m.node for m in node.members] == [numbered(A)]
    assert house.crashes == []


def test_a_refused_question_is_told_apart_from_a_lost_one() -> None:
    reactor = MemoryReactorClock()
    runtime = House().build(A)._runtime
    mesh = Mesh(evolve(runtime, reactor=reactor), Catalog((*SESSION, *STREAM)), node_id(1), A)
    ends: list[Failure] = []
    for error in (TwistedRefused(), OSError("no route")):
        mesh.ask(B, StreamPing(node_id(2)), 1.0).addErrback(ends.append)
        factory: Any = reactor.tcpClients[-1][2]
        factory.clientConnectionFailed(None, Failure(error))
    assert [type(each.value) for each in ends] == [NobodyThere, RemoteError]
