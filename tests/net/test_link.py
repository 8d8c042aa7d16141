"""Links: a queue, and a session while there is need for one."""

from itertools import pairwise
from random import Random

import pytest

from nanoboost.ids import NodeId
from nanoboost.net import link as limits
from nanoboost.net.ends import LocalEnd
from nanoboost.net.link import Link
from nanoboost.net.port import Port
from nanoboost.net.session import Owner
from nanoboost.wire.frame import FRAME_BYTES_MAX, pack
from tests.net.network import CATALOG, A, B, Network, Say, Told, an_end, at

PORT, ELSEWHERE = 7470, 7471


@pytest.fixture
def end(network: Network) -> LocalEnd:
    return an_end(network, B)


@pytest.fixture
def refused() -> list[NodeId]:
    return []


@pytest.fixture
def link(end: LocalEnd, refused: list[NodeId]) -> Link:
    """From node B to node A at PORT."""
    return Link(end, A, at(PORT), Random(1), refused.append)


def listen(network: Network, port: int = PORT, node: NodeId = A) -> Told:
    told = Told()
    owner = Owner(told.hear_opened, told.hear, told.hear_closed)
    network.listenTCP(port, Port(an_end(network, node), owner))
    return told


def say(link: Link, text: str) -> None:
    link.send_frame(pack(CATALOG.encode(Say(text))))


def heard(told: Told) -> list[str]:
    return [message.text for _, message in told.received]


def test_nothing_is_dialled_until_there_is_something_to_say(network: Network, link: Link) -> None:
    told = listen(network)
    network.advance(10)
    assert network.dialled == []
    say(link, "one")
    say(link, "two")
    network.settle()
    say(link, "three")
    network.settle()
    assert heard(told) == ["one", "two", "three"]
    assert network.dialled == [PORT]


def test_a_refused_connection_is_told_and_tried_again(
    network: Network, link: Link, refused: list[NodeId]
) -> None:
    say(link, "early")
    network.settle()
    assert refused == [A]
    told = listen(network)
    network.advance(limits.RETRY_S_MIN)
    assert heard(told) == ["early"]


def test_attempts_become_rarer(network: Network, link: Link) -> None:
    times = []
    for _ in range(3000):
        before = len(network.dialled)
        say(link, "again")
        network.advance(0.01)
        if len(network.dialled) > before:
            times.append(network.seconds())
    gaps = [later - sooner for sooner, later in pairwise(times)]
    assert gaps[0] <= limits.RETRY_S_MIN + 0.02
    assert all(0.5 * limits.RETRY_S_MAX <= gap <= limits.RETRY_S_MAX + 0.02 for gap in gaps[6:])
    assert max(gaps[6:]) - min(gaps[6:]) > 0.1, "not in step with others"


def test_a_silent_host_is_given_up_and_not_told_as_refused(
    network: Network, link: Link, refused: list[NodeId]
) -> None:
    network.silent = True
    say(link, "hello")
    network.advance(5)
    assert len(network.dialled) == 1
    network.advance(2)
    assert len(network.dialled) == 2
    assert refused == []


def test_what_waited_too_long_is_not_said(network: Network, link: Link) -> None:
    say(link, "old")
    network.advance(limits.FRESH_S - 1)
    say(link, "new")
    told = listen(network)
    network.advance(limits.RETRY_S_MAX + 0.1)
    assert heard(told) == ["new"]


def test_with_nothing_fresh_to_say_nobody_is_dialled(network: Network, link: Link) -> None:
    say(link, "old")
    for _ in range(round(limits.FRESH_S * 10)):
        network.advance(0.1)
    before = len(network.dialled)
    for _ in range(100):
        network.advance(0.1)
    assert len(network.dialled) == before
    assert network.getDelayedCalls() == []


def test_the_queue_is_bounded_and_keeps_the_oldest(network: Network, link: Link) -> None:
    for number in range(limits.QUEUE_FRAMES_MAX + 100):
        say(link, str(number))
    told = listen(network)
    network.advance(0.1)
    assert heard(told) == [str(number) for number in range(limits.QUEUE_FRAMES_MAX)]


def test_the_queue_is_bounded_in_bytes_and_takes_more_once_said(
    network: Network, link: Link
) -> None:
    size = FRAME_BYTES_MAX - 100
    for _ in range(10):
        say(link, "x" * size)
    told = listen(network)
    network.advance(0.1)
    assert len(told.received) == limits.QUEUE_BYTES_MAX // size
    network.drop_all()
    say(link, "more")
    network.advance(0.1)
    assert heard(told)[-1] == "more"


def test_a_lost_session_is_opened_again_when_there_is_something_to_say(
    network: Network, link: Link
) -> None:
    told = listen(network)
    say(link, "one")
    network.settle()
    assert link.is_open
    network.drop_all()
    assert not link.is_open
    say(link, "two")
    network.advance(0.1)
    assert heard(told) == ["one", "two"]


def test_a_lost_session_tells_that_the_peer_is_gone_without_anything_to_say(
    network: Network, link: Link, refused: list[NodeId]
) -> None:
    listen(network)
    say(link, "one")
    network.settle()
    network.ports.clear()  # the process is gone, and its host is there
    network.drop_all()
    network.advance(limits.RETRY_S_MIN)
    assert refused == [A]
    network.advance(60)
    assert refused == [A], "once is enough"


def test_a_session_that_is_lost_at_once_does_not_reset_the_waiting(
    network: Network, link: Link
) -> None:
    listen(network)
    for _ in range(400):
        say(link, "again")
        network.advance(0.05)
        network.drop_all()
    assert len(network.dialled) < 45, "20 s at about one a second"


def test_a_session_that_lasted_resets_the_waiting(network: Network, link: Link) -> None:
    for _ in range(50):
        say(link, "again")
        network.advance(0.2)
    told = listen(network)
    network.advance(limits.RETRY_S_MAX)
    network.advance(limits.SETTLED_S)
    before = len(told.received)
    network.drop_all()
    say(link, "after")
    network.advance(limits.RETRY_S_MIN)
    assert len(told.received) == before + 1


def test_a_peer_that_moved_is_followed(network: Network, link: Link) -> None:
    old, new = listen(network), listen(network, ELSEWHERE)
    say(link, "one")
    network.settle()
    link.move(at(ELSEWHERE))
    say(link, "two")
    network.settle()
    assert (heard(old), heard(new)) == (["one"], ["two"])
    assert len(old.closed) == 1


def test_a_move_gives_up_the_attempt_and_the_waiting(network: Network, link: Link) -> None:
    for _ in range(50):
        say(link, "queued")
        network.advance(0.05)
    new = listen(network, ELSEWHERE)
    link.move(at(ELSEWHERE))
    network.settle()
    assert set(heard(new)) == {"queued"}
    network.silent = True
    link.move(at(PORT))
    say(link, "lost on the way?")
    network.settle()
    network.silent = False
    link.move(at(ELSEWHERE))
    network.settle()
    assert heard(new)[-1] == "lost on the way?"


def test_a_move_to_where_it_is_changes_nothing(network: Network, link: Link) -> None:
    listen(network)
    say(link, "one")
    network.settle()
    link.move(at(PORT))
    network.settle()
    assert link.is_open
    assert network.dialled == [PORT]


def test_another_node_at_the_address_gets_nothing(network: Network, link: Link) -> None:
    told = listen(network, node=NodeId("c" * 16))
    say(link, "secret")
    network.advance(1)
    assert told.received == []
    assert not link.is_open


def test_an_unused_session_is_closed_and_opened_again(network: Network, link: Link) -> None:
    told = listen(network)
    say(link, "one")
    for _ in range(int(limits.IDLE_S) + 5):
        network.advance(1)
    assert not link.is_open
    assert len(told.closed) == 1
    say(link, "two")
    network.settle()
    assert heard(told) == ["one", "two"]


def test_a_used_session_is_not(network: Network, link: Link) -> None:
    told = listen(network)
    for _ in range(int(limits.IDLE_S) * 3):
        say(link, "tick")
        network.advance(1)
    assert network.dialled == [PORT]
    assert len(told.received) == limits.IDLE_S * 3


@pytest.mark.parametrize(
    ("listens", "says", "settles"),
    [(False, False, False), (False, True, False), (False, True, True), (True, True, True)],
    ids=["idle", "dialling", "waiting", "open"],
)
def test_after_the_end_nothing_goes_on(
    network: Network, link: Link, listens: bool, says: bool, settles: bool
) -> None:
    if listens:
        listen(network)
    if says:
        say(link, "something")
    if settles:
        network.settle()
    link.close()
    say(link, "too late")
    network.settle()
    assert network.getDelayedCalls() == []
    assert all(half.closed for half in network.halves)


def test_the_accepting_node_does_not_answer_on_a_link(network: Network, link: Link) -> None:
    told = listen(network)
    say(link, "one")
    network.settle()
    told.opened[0].send(Say("back"))
    network.settle()
    assert not link.is_open
