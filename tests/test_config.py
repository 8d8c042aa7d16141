"""Configurations that cannot work are refused when they are made, with what to do."""

import re
from typing import Any

import pytest
from attrs import evolve

from nanoboost.config import GOSSIP, LABELS_MAX, PROFILES, SLOTS_MAX, GossipTiming, NodeConfig
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


@pytest.mark.parametrize("timing", GOSSIP.values(), ids=GOSSIP)
@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"probe_interval_s": float("inf")}, "must be at most 0.6 of the probe interval"),
        ({"probe_timeout_s_min": 0.0}, "least probe timeout 0.0 s must be above 0"),
        ({"probe_timeout_s_min": 1.0}, "least probe timeout 1.0 s must be above 0 and at most"),
        ({"gossip_interval_s": 0.0}, "gossip interval 0.0 s must be above 0"),
        ({"gossip_interval_s": 2.0}, "or suspicions end before they are refuted"),
        ({"gossip_fanout": -1}, "fan-out -1 and indirect probes"),
        ({"indirect_probes": -1}, "indirect probes -1"),
        ({"retransmit_mult": 0}, "must be at least 1"),
        ({"suspicion_mult": -1}, "suspicion factors -1 and 6"),
        ({"suspicion_max_mult": 0.9}, "the second at least 1"),
        ({"suspicion_mult": float("nan")}, "suspicion factors nan"),
        ({"suspicion_confirmations": -1}, "confirmations -1"),
        ({"health_max": 0}, "stretch of probes 0 at least 1"),
        ({"sync_interval_s": 0.01}, "must not be more frequent than probes"),
        ({"dead_announce_s": 0.01}, "must not be more frequent than probes"),
        ({"dead_memory_s": 1.0}, "must be remembered for at least 4 exchanges"),
        ({"left_memory_s": 1.0}, "for at least 20 probe intervals"),
    ],
)
def test_gossip_that_cannot_work(
    timing: GossipTiming, change: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(UserError, match=re.escape(complaint)) as caught:
        evolve(timing, **change)
    assert "\n" not in str(caught.value)


def test_a_helpers_nack_must_have_time_to_arrive() -> None:
    with pytest.raises(UserError, match=re.escape("leaves a helper's NACK less than 0.01 s")):
        evolve(
            GOSSIP["local"],
            probe_interval_s=0.06,
            gossip_interval_s=0.05,
            probe_timeout_s=0.03,
            probe_timeout_s_min=0.03,
        )


def test_the_profiles_have_the_numbers_of_the_design() -> None:
    lan, local, wifi = GOSSIP["lan"], GOSSIP["local"], GOSSIP["wifi"]
    assert [(each.probe_interval_s, each.probe_timeout_s) for each in (lan, local, wifi)] == [
        (0.5, 0.2),
        (0.2, 0.06),
        (1.0, 0.4),
    ]
    assert [
        (e.suspicion_mult, e.suspicion_max_mult, e.suspicion_confirmations)
        for e in (lan, local, wifi)
    ] == [(4, 6, 3), (4, 6, 3), (5, 6, 3)]
    assert [
        (e.gossip_interval_s, e.gossip_fanout, e.retransmit_mult) for e in (lan, local, wifi)
    ] == [(0.1, 3, 4), (0.05, 3, 4), (0.2, 3, 5)]
    assert [(e.sync_interval_s, e.dead_memory_s, e.left_memory_s) for e in (lan, local, wifi)] == [
        (60, 3600, 600),
        (10, 60, 20),
        (120, 3600, 600),
    ]
    assert [each.indirect_probes for each in (lan, local, wifi)] == [3, 2, 3]
    assert all(each.own_rules and each.buddy and each.health_max == 8 for each in GOSSIP.values())


def test_profiles_know_their_names() -> None:
    assert [(name, profile.name) for name, profile in PROFILES.items()] == [
        (name, name) for name in ("lan", "pi", "slow", "local")
    ]
