"""Changing the cluster's key: wherever that is cut short, all nodes understand each other."""

from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from nanoboost.cli import key as module
from nanoboost.cli.key import TRIES, rotate
from nanoboost.errors import UserError
from nanoboost.ids import Address, NodeId
from nanoboost.net.credential import Credential, create, load, replace
from nanoboost.wire.messages import NodeReport

AT = Address("10.0.0.1", 7470)

failure_of = SynchronousTestCase().failureResultOf
result_of = SynchronousTestCase().successResultOf


class CutShort(Exception):
    """Ctrl-C, a power cut, a network that is gone."""


class Nodes:
    """A cluster of which the command hears: each node with the credential in its own file."""

    def __init__(self, directory: Path, shares_file: bool) -> None:
        self.path = str(directory / "cluster.pem")
        first = create(self.path)
        self.states: dict[str, str] = {"one": "alive", "two": "suspect", "three": "alive"}
        self.held: dict[str, Credential] = {}
        for name in self.states:
            self.held[name] = first
            if name != "one" or not shares_file:
                (directory / name).mkdir()
                own = evolve(first, path=str(directory / name / "cluster.pem"))
                Path(own.path).touch()
                replace(own)
                self.held[name] = own
        self.told = 0
        self.cut_at = -1
        self.is_silent: dict[str, bool] = {}

    def reports(self) -> list[NodeReport]:
        return [
            NodeReport(
                NodeId(f"{number:016x}"), name, "10.0.0.1", number, state, "", 1, 0, 1.0, (), ""
            )
            for number, (name, state) in enumerate(self.states.items(), 1)
        ]

    def hear(self, name: str, pem: bytes, using: Credential) -> tuple[str, ...]:
        """One node is told; it dies, the command too, before or after the file is written."""
        held = self.held[name]
        assert held.identities[0].fingerprint in using.accepted, "TLS lets the command in"
        assert using.identities[0].fingerprint in held.accepted
        if self.is_silent.get(name):
            raise UserError("does not answer")
        self.told += 1
        if self.told == self.cut_at:
            raise CutShort
        new = held.next(pem)
        replace(new)
        self.held[name] = new
        self.check()
        return new.fingerprints

    def check(self) -> None:
        """Every two nodes understand each other, over TCP and UDP."""
        for one, other in combinations(self.held.values(), 2):
            assert one.identities[0].fingerprint in other.accepted
            assert other.identities[0].fingerprint in one.accepted
            assert one.datagram_keys()[0] in other.datagram_keys()
            assert other.datagram_keys()[0] in one.datagram_keys()

    def used(self) -> set[tuple[str, ...]]:
        return {load(each.path).fingerprints for each in self.held.values()}


@pytest.fixture(params=[False, True], ids=["a file of its own", "the file of a node"])
def nodes(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Nodes:
    made = Nodes(tmp_path, request.param)

    class FakeCluster:
        def __init__(self, *_: object) -> None:
            pass

        async def status(self) -> Any:
            return type("Report", (), {"nodes": tuple(made.reports())})

        def close(self) -> None:
            pass

    async def tell_one(_: object, node: NodeReport, ring: Credential, using: Credential) -> None:
        assert made.hear(node.name, ring.pem(), using) == ring.fingerprints

    monkeypatch.setattr(module, "Cluster", FakeCluster)
    monkeypatch.setattr(module._Rotation, "_tell_one", tell_one)
    return made


def order(nodes: Nodes, *without: str) -> "tuple[Deferred[int], Clock]":
    clock = Clock()
    return Deferred.fromCoroutine(rotate(clock, nodes.path, AT, without)), clock


def test_all_nodes_and_the_file_of_the_command_have_a_new_key(nodes: Nodes) -> None:
    before = load(nodes.path)
    done, _ = order(nodes)
    assert result_of(done) == 0
    after = load(nodes.path)
    assert nodes.used() == {after.fingerprints}
    assert not set(after.fingerprints) & set(before.fingerprints)
    assert after.cluster == before.cluster
    assert nodes.told == 9


@pytest.mark.parametrize("cut_at", range(1, 10))
def test_cut_short_anywhere_it_is_given_again(nodes: Nodes, cut_at: int) -> None:
    before = load(nodes.path)
    nodes.cut_at = cut_at
    done, _ = order(nodes)
    failure_of(done, CutShort)
    nodes.check()
    for name, held in nodes.held.items():  # and every node starts anew meanwhile
        nodes.held[name] = load(held.path)
    nodes.check()
    again, _ = order(nodes)
    assert result_of(again) == 0
    assert nodes.used() == {load(nodes.path).fingerprints}
    assert not set(load(nodes.path).fingerprints) & set(before.fingerprints)


def test_a_node_that_does_not_confirm_holds_the_step_up(nodes: Nodes) -> None:
    nodes.is_silent["three"] = True
    before = load(nodes.path)
    done, clock = order(nodes)
    clock.pump([1.0] * TRIES)
    assert "three: does not answer.  The step is not over" in str(failure_of(done, UserError).value)
    assert {held.fingerprints[0] for held in nodes.held.values()} == {before.fingerprints[0]}
    nodes.is_silent.clear()
    again, _ = order(nodes)
    assert result_of(again) == 0
    assert nodes.used() == {load(nodes.path).fingerprints}


def test_a_node_that_answers_late_is_waited_for(nodes: Nodes) -> None:
    nodes.is_silent["two"] = True
    done, clock = order(nodes)
    clock.advance(1.0)
    nodes.is_silent.clear()
    clock.pump([1.0, 1.0])
    assert result_of(done) == 0


def test_who_is_not_wanted_or_not_there_is_not_told(
    nodes: Nodes, capsys: pytest.CaptureFixture[str]
) -> None:
    nodes.states |= {"two": "dead", "four": "left"}
    lost = {name: nodes.held.pop(name) for name in ("two", "three")}
    done, _ = order(nodes, "three")
    assert result_of(done) == 0
    assert nodes.told == 3
    told = capsys.readouterr().out
    assert all(f"{name} has not heard of it: copy" in told for name in ("two", "three"))
    assert "four" not in told
    for held in lost.values():
        assert not held.accepted & load(nodes.path).accepted


def test_a_name_that_nobody_has_changes_nothing(nodes: Nodes) -> None:
    before = nodes.used()
    done, _ = order(nodes, "thre")
    assert "no node is called thre" in str(failure_of(done, UserError).value)
    assert nodes.used() == before
