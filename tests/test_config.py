"""Configurations that cannot work are refused when they are made, with what to do."""

import re
from typing import Any

import pytest
from attrs import evolve

from nanoboost.config import LABELS_MAX, PROFILES, SLOTS_MAX, NodeConfig
from nanoboost.errors import UserError
from nanoboost.ids import Address

GOOD = NodeConfig("pi-1", "/state", "/nas", Address("0.0.0.0", 7470))


def test_the_defaults_are_a_small_node_on_a_lan() -> None:
    assert (GOOD.slots, GOOD.seeds, GOOD.labels, GOOD.profile.name) == (1, (), (), "lan")


@pytest.mark.parametrize("name", ["pi-1", "a", "A.b_c-9", "x" * 63, "4"])
def test_names_of_nodes(name: str) -> None:
    assert evolve(GOOD, name=name).name == name


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"name": ""}, "node name '': use up to 63 letters"),
        ({"name": "x" * 64}, "use up to 63 letters"),
        ({"name": "../x"}, "use up to 63 letters"),
        ({"name": "-n"}, "use up to 63 letters"),
        ({"name": "a b"}, "use up to 63 letters"),
        ({"name": "pi\n"}, r"node name 'pi\\n'"),
        ({"name": "\x1b[31m"}, r"node name '\\x1b"),
        ({"name": "größe"}, "use up to 63 letters"),
        ({"listen": Address("0.0.0.0", -1)}, "port -1: must be from 0 to 65535"),
        ({"listen": Address("0.0.0.0", 65536)}, "port 65536: must be from 0 to 65535"),
        ({"slots": -1}, "slots -1: must be from 0 to 1024"),
        ({"slots": SLOTS_MAX + 1}, "slots 1025: must be from 0 to 1024"),
        ({"labels": ("a",) * (LABELS_MAX + 1)}, "6 labels: at most 5 fit in a datagram"),
        ({"labels": ("gpu", "")}, "label '': use up to 32 letters"),
        ({"labels": ("x" * 33,)}, "use up to 32 letters"),
        ({"labels": ("a,b",)}, "label 'a,b'"),
    ],
)
def test_a_node_that_cannot_be(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint) as caught:
        evolve(GOOD, **change)
    assert "\n" not in str(caught.value)


def test_a_node_may_only_vote() -> None:
    assert evolve(GOOD, slots=0).slots == 0


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_elections_leave_room_for_heartbeats(profile: Any) -> None:
    good = profile.consensus
    for change in (
        {"heartbeat_s": good.election_s_min},
        {"heartbeat_s": good.election_s_min / 3},
        {"election_s_max": good.election_s_min},
        {"election_s_min": good.election_s_max + 1},
        {"heartbeat_s": float("nan")},
    ):
        with pytest.raises(UserError, match="leave room for at least 4 heartbeats"):
            evolve(good, **change)


@pytest.mark.parametrize("timeout", [0.0, -1.0, 0.61, 5.0, float("nan")])
def test_probes_leave_room_for_helpers(timeout: float) -> None:
    with pytest.raises(UserError, match=re.escape("must be at most 0.6 of the probe interval")):
        evolve(PROFILES["lan"].gossip, probe_interval_s=1.0, probe_timeout_s=timeout)


def test_profiles_know_their_names() -> None:
    assert [(name, profile.name) for name, profile in PROFILES.items()] == [
        (name, name) for name in ("lan", "pi", "slow", "local")
    ]
