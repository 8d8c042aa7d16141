"""Simulated machines that are told nothing hear each other's calls, where the network carries."""

from nanoboost.gossip.members import State
from simulations.kernel.world import SECOND
from simulations.stage.lab import Lab
from simulations.stage.model import Model


def seen(lab: Lab) -> dict[str, set[str]]:
    """By node, whom it holds alive."""
    return {
        name: {m.name for m in life.node.gossip.members if m.state is State.ALIVE}
        for name, life in lab.lives.items()
    }


def test_nodes_that_are_told_nothing_become_one_cluster() -> None:
    lab = Lab(7, Model(are_told=False))
    lab.start_all()
    lab.run(3 * SECOND)
    assert seen(lab) == {name: set(lab.model.nodes) for name in lab.model.nodes}


def test_a_call_does_not_cross_a_cut() -> None:
    lab = Lab(7, Model(are_told=False))
    lab.network.cut(lab.kernels(["n0", "n1"]), lab.kernels(["n2"]))
    lab.start_all()
    lab.run(10 * SECOND)
    assert seen(lab) == {"n0": {"n0", "n1"}, "n1": {"n0", "n1"}, "n2": {"n2"}}


def test_where_nobody_can_call_there_is_no_beacon() -> None:
    lab = Lab(7, Model())
    lab.start_all()
    lab.run(3 * SECOND)
    assert {tuple(each.kernel.datagram_ports) for each in lab.machines.values()} == {(7470,), ()}
