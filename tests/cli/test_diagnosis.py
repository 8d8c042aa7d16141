"""What the doctor says of what it has seen: each thing that can be wrong, once."""

from typing import Any

import pytest
from attrs import evolve

from nanoboost.cli.diagnosis import Facts, Finding, Seen, diagnose
from nanoboost.cli.lan import BROADCAST, DIRECT, MULTICAST, Lan, Reply
from nanoboost.gossip.beacon import Calling, Here
from nanoboost.ids import Address, NodeId
from nanoboost.wire.messages import NodeReport, StatusReport

ONE, TWO = NodeId("1" * 16), NodeId("2" * 16)
AT = {ONE: Address("10.0.0.1", 7470), TWO: Address("10.0.0.2", 7470)}
NAMES = {ONE: "one", TWO: "two"}


def held(node: NodeId, state: str = "alive", note: str = "") -> NodeReport:
    at = AT[node]
    return NodeReport(node, NAMES[node], at.host, at.port, state, "voter", 4, 0, 1.0, (), note)


def report(node: NodeId, *nodes: NodeReport, master: NodeId = ONE) -> StatusReport:
    return StatusReport(1, "c" * 16, node, master, 3, 0, "/nas", nodes, ())


def seen(node: NodeId, **changes: Any) -> Seen:
    fine = Seen(AT[node], NAMES[node], node, "alive", "", True, report(node, held(ONE), held(TWO)))
    return evolve(fine, **changes)


def reply(node: NodeId, way: str, *, name: str = "", ahead_s: float = 0.01) -> Reply:
    here = Here(node, name or NAMES[node], AT[node], 0.0)
    return Reply(here, AT[node], way, ahead_s)


def lan() -> Lan:
    """From a machine that runs no node: both answer, one calls."""
    return Lan(
        [reply(node, way) for node in (ONE, TWO) for way in (MULTICAST, BROADCAST, DIRECT)],
        {way: [(AT[ONE], Calling(ONE, "one", AT[ONE], False))] for way in (MULTICAST, BROADCAST)},
    )


HEALTHY = Facts("c" * 16, ("127.0.0.1", "10.0.0.9"), None, lan(), (seen(ONE), seen(TWO)))


def wrong(facts: Facts) -> list[Finding]:
    return [each for each in diagnose(facts) if each.is_wrong]


def only(facts: Facts) -> Finding:
    (found,) = wrong(facts)
    return found


def nodes(*changed: Seen) -> Facts:
    return evolve(HEALTHY, nodes=changed)


def test_nothing_is_wrong() -> None:
    assert [(each.check, each.text) for each in diagnose(HEALTHY)] == [
        ("calls", "multicast and broadcast, both ways; answered by 2 nodes"),
        ("node", "one at 10.0.0.1:7470: TCP and UDP answer"),
        ("node", "two at 10.0.0.2:7470: TCP and UDP answer"),
        ("names", "2 nodes, each with a name of its own"),
        ("clocks", "they agree within 0.1 s"),
        ("members", "2 nodes that see one another"),
        ("work", "every node is fit for work, and has the NAS"),
    ]


def test_one_way_of_calling_is_enough() -> None:
    heard = lan()
    heard.replies = [each for each in heard.replies if each.way != MULTICAST]
    del heard.calls[MULTICAST]
    facts = evolve(HEALTHY, heard=heard)
    assert wrong(facts) == []
    assert next(diagnose(facts)).text == "broadcast alone, both ways; answered by 2 nodes"


def test_no_call_gets_through_though_nodes_are_there() -> None:
    heard = Lan([each for each in lan().replies if each.way == DIRECT])
    found = only(evolve(HEALTHY, heard=heard))
    assert "neither multicast nor broadcast gets through" in found.text
    assert "--join HOST" in found.remedy
    assert "7477/udp" in found.remedy


def test_calls_go_out_and_none_comes_in() -> None:
    heard = evolve(lan(), calls={})
    found = only(evolve(HEALTHY, heard=heard))
    assert found.text == "calls go out (multicast and broadcast), but no call comes in"
    assert "7477/udp" in found.remedy
    assert "power_save off" in found.remedy
    deaf = only(evolve(HEALTHY, heard=evolve(heard, is_deaf=True)))
    assert "the port is taken here" in deaf.text


def test_calls_come_in_and_nobody_answers_ours() -> None:
    heard = evolve(lan(), replies=[each for each in lan().replies if each.way == DIRECT])
    assert "nobody answers those of this machine" in only(evolve(HEALTHY, heard=heard)).text


def test_nobody_is_there() -> None:
    found = only(evolve(HEALTHY, heard=Lan(), nodes=()))
    assert found.text == f"no other node of cluster {'c' * 16} answers on the network of 10.0.0.9"
    assert "nanoboost up" in found.remedy


def test_the_node_on_this_machine_is_no_other_node() -> None:
    heard = lan()
    heard.replies = [each for each in heard.replies if each.here.node == ONE]
    found = wrong(evolve(HEALTHY, heard=heard, here=AT[ONE], nodes=(seen(ONE),)))
    assert [each.check for each in found] == ["calls"]
    assert found[0].text.startswith("no other node")


def test_a_machine_without_a_network() -> None:
    found = only(evolve(HEALTHY, heard=Lan(), nodes=(), own=("127.0.0.1",)))
    assert found.text == "this machine is on no network"
    assert "cable" in found.remedy


def test_somebody_has_another_credential() -> None:
    """Which is wrong only if it should be one of ours: several clusters may share a LAN."""
    facts = evolve(HEALTHY, heard=evolve(lan(), strangers={"10.0.0.7": None}))
    assert wrong(facts) == []
    found = next(diagnose(facts))
    assert found.check == "credential"
    assert "10.0.0.7 calls out with another credential" in found.text
    assert "cluster.pem" in found.remedy


@pytest.mark.parametrize(
    ("refusal", "has_udp", "text", "remedy"),
    [
        ("", False, "TCP answers, UDP does not", "7470/udp"),
        ("does not answer", True, "UDP answers, TCP does not", "7470/tcp"),
        ("nobody listens: is a node running there?", False, "nobody listens", "nanoboost up"),
        ("holds another cluster's credential: ...", False, "credential", "copy cluster.pem"),
        ("does not answer within 3 s: is the machine on?", False, "not answer", "switch the"),
    ],
)
def test_a_node_that_cannot_be_reached(refusal: str, has_udp: bool, text: str, remedy: str) -> None:
    own = None if refusal else seen(TWO).report
    found = only(nodes(seen(ONE), seen(TWO, refusal=refusal, has_udp=has_udp, report=own)))
    assert found.check == "node"
    assert found.text.startswith("two at 10.0.0.2:7470: ")
    assert text in found.text
    assert remedy in found.remedy


def test_one_that_has_left_is_not_missed() -> None:
    gone = seen(TWO, state="left", refusal="nobody listens", has_udp=False, report=None)
    assert wrong(nodes(seen(ONE), gone)) == []


def test_a_node_that_names_a_wrong_address() -> None:
    heard = lan()
    here = evolve(reply(TWO, MULTICAST), source=Address("10.0.0.22", 7470))
    heard.replies = [reply(ONE, MULTICAST), here]
    found = only(evolve(HEALTHY, heard=heard))
    assert found.text == "two speaks from 10.0.0.22, and tells others to reach it at 10.0.0.2"
    assert found.remedy == "start it with --advertise 10.0.0.22"


def test_two_nodes_have_one_name() -> None:
    heard = evolve(lan(), replies=[reply(ONE, MULTICAST), reply(TWO, MULTICAST, name="one")])
    found = only(evolve(HEALTHY, heard=heard, nodes=(seen(ONE), seen(TWO, name="one"))))
    assert found.text == "2 nodes are called one: at 10.0.0.1:7470 and 10.0.0.2:7470"
    assert "--name" in found.remedy


def test_two_machines_have_one_identity() -> None:
    heard = lan()
    copy = Here(TWO, "two", Address("10.0.0.3", 7470), 0.0)
    heard.replies.append(Reply(copy, copy.address, MULTICAST, 0.0))
    found = only(evolve(HEALTHY, heard=heard))
    assert f"one node id ({TWO}) is used at 10.0.0.2:7470 and 10.0.0.3:7470" in found.text
    assert "state directory" in found.remedy


@pytest.mark.parametrize(
    ("ahead_s", "text"),
    [
        (-1.7e9, "the clock of two is 54 years behind"),
        (7300.0, "the clock of two is 2 hours ahead"),
        (61.0, "the clock of two is 61 seconds ahead"),
    ],
)
def test_a_clock_is_wrong(ahead_s: float, text: str) -> None:
    heard = lan()
    heard.replies.append(reply(TWO, DIRECT, ahead_s=ahead_s))
    found = only(evolve(HEALTHY, heard=heard))
    assert found.text == text
    assert "set-ntp" in found.remedy


def test_nodes_that_do_not_see_each_other() -> None:
    blind = seen(TWO, report=report(TWO, held(TWO), held(ONE, "dead")))
    found = only(nodes(seen(ONE), blind))
    assert found.text == "two at 10.0.0.2:7470 does not know one at 10.0.0.1:7470"


def test_two_clusters_of_one_credential() -> None:
    other = seen(TWO, report=report(TWO, held(ONE), held(TWO), master=TWO))
    found = only(nodes(seen(ONE), other))
    assert "follow different masters: two clusters" in found.text
    assert "--join auto" in found.remedy


def test_a_cluster_without_a_master_is_named() -> None:
    bare = [
        seen(node, report=report(node, held(ONE), held(TWO), master=NodeId("")))
        for node in (ONE, TWO)
    ]
    assert "there is no master" in list(diagnose(nodes(*bare)))[-1].text


def test_a_node_that_is_not_fit_for_work() -> None:
    note = "/media/nas is not the NAS of this cluster"
    of_master = report(ONE, held(ONE), held(TWO, note=note))
    found = only(nodes(seen(ONE, report=of_master), seen(TWO)))
    assert found.check == "work"
    assert found.text == f"two gets no work: {note}"
    leaving = report(ONE, held(ONE), held(TWO, note="leaving"))
    assert wrong(nodes(seen(ONE, report=leaving), seen(TWO))) == []
