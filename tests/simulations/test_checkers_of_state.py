"""Controls of the checkers that look at nodes from outside: a cluster of props, right or wrong."""

from types import SimpleNamespace
from typing import Any

import pytest

from nanoboost.agent.runner import HELD_MAX
from nanoboost.config import PROFILES
from nanoboost.consensus.membership import Configuration
from nanoboost.gossip.members import Incarnation, State
from nanoboost.gossip.service import GENERATION_KEY
from nanoboost.identity import NODE_ID_KEY
from nanoboost.ids import NodeId
from nanoboost.net.link import QUEUE_BYTES_MAX, QUEUE_FRAMES_MAX
from simulations.checkers.disks import DamageIsSeen, StartsAreRemembered
from simulations.checkers.ghosts import Mirror, Seen
from simulations.checkers.judge import Broken
from simulations.checkers.limits import (
    PIECES,
    TURNS,
    TURNS_A_NODE,
    NobodyIsBusyForNothing,
    NothingGrows,
)
from simulations.checkers.liveness import MajorityHasMaster
from simulations.checkers.members import BOUND_NS, MembersAreTrue
from simulations.checkers.raft import RaftHolds
from simulations.checkers.settled import LAG_LOOKS, AllIsWell, bounds_ns
from simulations.kernel.journal import Record
from simulations.kernel.world import MS, SECOND
from simulations.net import sockets
from simulations.stage.model import Model

NAMES = ("n0", "n1", "n2")
IDS = {NodeId(name * 8): name for name in NAMES}
ID = {name: node for node, name in IDS.items()}
A_SECOND = 4


class Props:
    """Three nodes that are well, as checkers see them."""

    def __init__(self) -> None:
        alive = [
            SimpleNamespace(node=node, state=State.ALIVE, incarnation=Incarnation(3, 0))
            for node in IDS
        ]
        self.lives: dict[str, Any] = {
            name: SimpleNamespace(
                process=SimpleNamespace(number=1, reactor=SimpleNamespace(turns=0)),
                ends=[],
                node=SimpleNamespace(
                    gossip=SimpleNamespace(members=tuple(alive), digest=b"same"),
                    consensus=SimpleNamespace(
                        mastership=SimpleNamespace(master=ID["n0"], is_me=name == "n0")
                    ),
                    mesh=SimpleNamespace(
                        _links={ID["n1"]: SimpleNamespace(_queue=[], _queued_bytes=0)}
                    ),
                    agent=SimpleNamespace(_pump=SimpleNamespace(_core=SimpleNamespace(_held={}))),
                ),
            )
            for name in NAMES
        }
        pairs = {name: {NODE_ID_KEY: ID[name].encode(), GENERATION_KEY: b"3"} for name in NAMES}
        self.lab: Any = SimpleNamespace(
            lives=self.lives,
            names=dict(IDS),
            model=Model(),
            world=SimpleNamespace(now=0),
            network=SimpleNamespace(changed_at=0),
            upheaval_at=0,
            machines={
                name: SimpleNamespace(disk=SimpleNamespace(pairs=pairs[name], rotten={}))
                for name in NAMES
            },
            is_well=lambda name: True,
            in_touch=lambda one, other: True,
        )
        self.raft = RaftHolds()
        voters = Configuration(tuple(IDS))
        for name in NAMES:
            mirror = Mirror(last=99, configurations={1: voters})
            self.raft.nodes[name] = Seen(ID[name], mirror, mirror, commit=9, applied=9)
        self.raft.nodes["n0"].leads = 1

    def well(self) -> AllIsWell:
        return AllIsWell(self.lab, self.raft, lambda: "")


@pytest.fixture
def props() -> Props:
    return Props()


# --- S2 ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("share", "is_wrong"), [(0.9, False), (1.1, True)])
def test_a_node_that_turns_without_end_is_seen(
    props: Props, share: float, *, is_wrong: bool
) -> None:
    busy = NobodyIsBusyForNothing(props.lab, A_SECOND)
    rate = share * (TURNS + TURNS_A_NODE * len(NAMES))
    found = []
    for _ in range(20):
        found.append(busy.look())
        props.lives["n1"].process.reactor.turns += int(rate / A_SECOND)
    assert any(each.startswith("S2 n1") for each in found) is is_wrong
    assert busy.most == pytest.approx(rate, rel=0.02)


@pytest.mark.parametrize("which", ["SEND_BYTES_MAX", "RECEIVE_BYTES_MAX"])
def test_frames_in_small_pieces_take_more_turns(
    props: Props, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    monkeypatch.setattr(sockets, which, 64)
    busy = NobodyIsBusyForNothing(props.lab, A_SECOND)
    limit = PIECES * (TURNS + TURNS_A_NODE * len(NAMES))
    for _ in range(20):
        assert not busy.look()
        props.lives["n1"].process.reactor.turns += limit // A_SECOND
    monkeypatch.undo()
    assert not busy.look()  # most of those two seconds were spent in pieces
    props.lives["n1"].process.reactor.turns += limit
    assert busy.look().startswith("S2 n1")


def test_a_burst_is_no_loop(props: Props) -> None:
    busy = NobodyIsBusyForNothing(props.lab, A_SECOND)
    for look in range(20):
        props.lives["n1"].process.reactor.turns += 1000 if look == 10 else 0
        assert not busy.look()


# --- L1, while faults go on ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outgoing", "stopping", "is_wrong"),
    [((), (), True), (("n0",), (), False), ((), ("n2",), False)],
)
def test_a_majority_that_could_elect_and_does_not_is_seen(
    props: Props, outgoing: tuple[str, ...], stopping: tuple[str, ...], *, is_wrong: bool
) -> None:
    """The one voter of before is away, and a change to three voters may be under way in the logs,
    or one of the others has been told to stop."""
    for name in stopping:
        props.lives[name].ends.append(str)
    halves = Configuration(tuple(IDS), tuple(ID[name] for name in outgoing))
    for name in ("n1", "n2"):
        props.raft.nodes[name].log.configurations[50] = halves
        props.lives[name].process.alive = True
        props.lives[name].node.consensus.status = SimpleNamespace(is_master=False)
    del props.lives["n0"]
    props.lab.voters = NAMES
    props.lab.is_well = lambda name: name != "n0"
    majority = MajorityHasMaster(props.lab, props.raft, SECOND)
    found = ""
    for now in range(0, 3 * SECOND, SECOND // A_SECOND):
        props.lab.world.now = now
        found = found or majority.look()
    assert bool(found) is is_wrong


# --- D3 ------------------------------------------------------------------------------------------


def limits(props: Props) -> NothingGrows:
    return NothingGrows(props.lab, props.raft, MembersAreTrue(props.lab))


def test_what_is_within_its_bounds_may_be_kept(props: Props) -> None:
    node = props.lives["n1"].node
    node.agent._pump._core._held = dict.fromkeys(range(HELD_MAX))
    node.mesh._links[ID["n1"]]._queue = [b""] * QUEUE_FRAMES_MAX
    assert not limits(props).look()


def test_what_grows_is_named(props: Props) -> None:
    looks, node = limits(props), props.lives["n1"].node
    link, agent, log = node.mesh._links[ID["n1"]], node.agent._pump._core, props.raft.nodes["n1"]
    link._queue = [b""] * (QUEUE_FRAMES_MAX + 1)
    assert looks.look().startswith(f"D3 n1 keeps {QUEUE_FRAMES_MAX + 1} frames")
    link._queue, link._queued_bytes = [], QUEUE_BYTES_MAX + 1
    assert "bytes for a peer" in looks.look()
    link._queued_bytes, agent._held = 0, dict.fromkeys(range(HELD_MAX + 10))
    assert "results" in looks.look()
    agent._held, log.applied = {}, 20_000
    assert "applied entries" in looks.look()
    log.log.first = 19_000  # a snapshot stands for the others
    assert not looks.look()


# --- G4, L4 --------------------------------------------------------------------------------------


def test_views_that_differ_for_ever_are_seen(props: Props) -> None:
    members = MembersAreTrue(props.lab)
    assert not members.look()
    props.lab.world.now = BOUND_NS + SECOND
    assert not members.look()
    props.lives["n2"].node.gossip.digest = b"other"
    assert members.look().startswith("G4 ")


def test_all_is_well_or_what_is_missing_is_named(props: Props) -> None:
    well = props.well()
    assert not well.look()
    props.lives["n2"].node.gossip.digest = b"other"
    assert list(well.look()) == ["G4"]
    props.lives["n2"].node.gossip.digest = b"same"
    props.lives["n2"].node.consensus.mastership.master = ID["n1"]
    assert list(well.look()) == ["L1"]


def test_whoever_lags_for_longer_than_a_second_is_behind(props: Props) -> None:
    well = props.well()
    leader, near, far = (props.raft.nodes[name] for name in NAMES)
    leader.commit = leader.applied = 10
    assert "consensus at rest" in well.look()["L4"]  # nobody is late, but all is not the same
    for count in range(11, 11 + 2 * LAG_LOOKS):  # there is always news; one hears it a look later
        near.commit = near.applied = far.commit = far.applied = leader.commit
        leader.commit = leader.applied = count
        assert "consensus at rest" in well.look()["L4"]
    last = far.applied
    for _ in range(LAG_LOOKS + 1):
        near.commit = near.applied = leader.commit = leader.applied = leader.commit + 1
        text = well.look()["L4"]
    assert text == f"all have what is committed: n2 has {last} of {last + 2} entries"
    far.commit = far.applied = leader.commit
    assert not well.look()


def test_what_is_missing_for_too_long_is_late_and_has_its_time_anew_once_it_was_well(
    props: Props,
) -> None:
    well, bounds = props.well(), bounds_ns(PROFILES["lan"])
    gossip = props.lives["n2"].node.gossip
    for digest, now, late in [
        (b"other", 0, []),
        (b"other", bounds["G4"], []),
        (b"other", bounds["G4"] + MS, ["G4"]),
        (b"same", bounds["G4"] + SECOND, []),
        (b"other", bounds["G4"] + 2 * SECOND, []),
        (b"other", 2 * bounds["G4"] + 3 * SECOND, ["G4"]),
    ]:
        gossip.digest, props.lab.world.now = digest, now
        well.look()
        assert well.late(bounds) == late


# --- D1, D2 --------------------------------------------------------------------------------------


def starts(name: str) -> Record:
    return Record(0, name, "listening", {"node": str(ID[name])})


def test_a_start_that_is_remembered_is_right(props: Props) -> None:
    members = MembersAreTrue(props.lab)
    members.look()  # the others have heard of start 3
    StartsAreRemembered(props.lab, members).saw(starts("n1"))


def test_a_start_that_was_told_and_is_forgotten_is_seen(props: Props) -> None:
    members = MembersAreTrue(props.lab)
    members.look()
    checker = StartsAreRemembered(props.lab, members)
    props.lab.machines["n1"].disk.pairs[GENERATION_KEY] = b"2"
    with pytest.raises(Broken, match="was in start 3, and remembers start 2"):
        checker.saw(starts("n1"))


def test_a_start_from_a_damaged_disk_is_seen(props: Props) -> None:
    checker = DamageIsSeen(props.lab)
    checker.saw(starts("n1"))
    props.lab.machines["n1"].disk.rotten[NODE_ID_KEY] = None
    checker.saw(starts("n0"))
    with pytest.raises(Broken, match="n1 starts, and b'node/id' is damaged"):
        checker.saw(starts("n1"))


def test_another_identity_is_seen_unless_the_disk_is_new(props: Props) -> None:
    checker = StartsAreRemembered(props.lab, MembersAreTrue(props.lab))
    props.lab.machines["n1"].disk.pairs[NODE_ID_KEY] = b"somebody"
    with pytest.raises(Broken, match="was somebody"):
        checker.saw(starts("n1"))
    props.lab.machines["n1"].disk.pairs.clear()
    checker.saw(starts("n1"))
