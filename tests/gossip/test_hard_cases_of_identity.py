"""Hard cases 7, 8 and 9: names, machines, addresses and clusters that are taken for another.

(What is checked at every step: test_hard_cases.py.)
"""

import pytest

from nanoboost.gossip.effects import TwinFound
from nanoboost.gossip.members import State
from nanoboost.gossip.messages import Sync
from tests.gossip.lan import Lan, address, node_id
from tests.gossip.settled import downs, number, started

# --- 7: the same name twice ----------------------------------------------------------------------


def test_07_machines_of_one_name_live_side_by_side() -> None:
    lan = Lan()
    for each in range(5):
        lan.start(each, name="raspberrypi")
    lan.until(lan.agreed, 4.0)
    lan.crash(2)
    lan.until(lambda: lan.all_hold(2, State.DEAD), 20.0)
    lan.start(2, name="raspberrypi", generation=2)
    lan.until(lan.agreed, 2.0)
    assert {about for _, about in downs(lan)} == {2}


def twins(lan: Lan) -> list[int]:
    """Who has found out that he is a copy."""
    return [observer for _, observer, effect in lan.noted if isinstance(effect, TwinFound)]


@pytest.mark.parametrize("founds", [False, True])
def test_07_of_a_cloned_card_the_later_started_gives_way(founds: bool) -> None:
    """The card of node 1 is copied while it is off; the copy may know the cluster or nobody."""
    lan = started(6)
    lan.start(9, copy_of=1, generation=1, seeds=(0, 1) if founds else (3,))
    lan.until(lambda: twins(lan) == [9], 2.0)
    lan.crash(9, unplug=False)
    lan.start(9, generation=2)  # with its new identity
    lan.until(lan.agreed, 3.0)
    assert twins(lan) == [9], "the first one has kept its identity"
    (member,) = [each for each in lan.nodes[0].swim.members if each.node == node_id(1)]
    assert member.address == address(1)


def test_07_of_two_copies_switched_on_together_exactly_one_gives_way() -> None:
    lan = started(4)
    for each in (8, 9):
        lan.start(each, copy_of=7, generation=3)
    lan.until(lambda: len(twins(lan)) == 1, 3.0)
    lan.crash(twins(lan)[0], unplug=False)
    lan.until(lan.agreed, 5.0)


def test_07_old_news_of_an_earlier_start_elsewhere_is_no_twin() -> None:
    lan = started(5)
    old = lan.nodes[0].swim.rows()
    lan.crash(3, unplug=False)
    lan.start(3, generation=2, at=address(77))
    lan.until(lan.agreed, 3.0)
    lan.ask(3, Sync(old))
    lan.run(10.0)
    assert twins(lan) == []


# --- 8: an address reused by another node --------------------------------------------------------


def test_08_whoever_inherits_an_address_is_not_mistaken_for_the_one_before() -> None:
    lan = started(6)
    lan.crash(3, unplug=False)
    lan.start(9, at=address(3))
    lan.until(lan.agreed, 2.0)
    assert lan.all_hold(3, State.DEAD)
    assert lan.all_hold(9, State.ALIVE)


def test_08_a_node_that_moves_is_the_same_node_and_its_old_address_is_another() -> None:
    """The router gives node 3 a new address, and node 9 the old one."""
    lan = started(6)
    lan.crash(3, unplug=False)
    lan.start(3, generation=2, at=address(77))
    lan.start(9, at=address(3))
    lan.until(lan.agreed, 3.0)
    lan.heard.clear()
    lan.run(20.0)
    assert lan.heard == []


def test_08_a_machine_that_is_moved_while_it_runs_is_not_missed() -> None:
    lan = started(6)
    lan.move(3, address(77))
    lan.run(20.0)
    assert downs(lan) == []
    for node in lan.running():
        (member,) = [each for each in node.swim.members if each.node == node_id(3)]
        assert (member.address, member.incarnation.generation) == (address(77), 1)


def test_08_two_nodes_that_change_places_stay_who_they_are() -> None:
    lan = started(6)
    for each in (3, 4):
        lan.crash(each, unplug=False)
    lan.start(3, generation=2, at=address(4))
    lan.start(4, generation=2, at=address(3))
    lan.until(lan.agreed, 3.0)
    lan.heard.clear()
    lan.run(20.0)
    assert lan.heard == []


# --- 9: two clusters merge silently --------------------------------------------------------------


def test_09_clusters_on_one_lan_never_mix_even_over_an_address() -> None:
    lan = started(4)
    lan.start(10, cluster="other", seeds=(0, 1))
    lan.start(11, cluster="other", seeds=(10, 2))
    lan.crash(3, unplug=False)
    lan.start(12, cluster="other", seeds=(10,), at=address(3))
    lan.run(20.0)
    for node in lan.running():
        others = {number(m.node) for m in node.swim.members if m.state is State.ALIVE}
        assert others == ({0, 1, 2} if node.cluster == "lan" else {10, 11, 12})
    assert lan.not_believed > 0, "they have heard each other, and understood nothing"
