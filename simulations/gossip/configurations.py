"""The protocols under test: one core, with parts of it switched off.

**Within one table the rows differ in nothing but the named parts**, so a difference has one cause.
"""

from attrs import evolve

from nanoboost.config import GOSSIP, GossipTiming

LAN = GOSSIP["lan"]
"""What NanoBoost does."""

_LIFEGUARD = GossipTiming(
    probe_interval_s=1.0,
    probe_timeout_s=0.5,
    probe_timeout_s_min=0.5,
    indirect_probes=3,
    suspicion_mult=5,
    suspicion_max_mult=6,
    suspicion_confirmations=3,
    gossip_interval_s=0.2,
    gossip_fanout=3,
    retransmit_mult=4,
    sync_interval_s=30.0,
    dead_memory_s=3600.0,
    left_memory_s=600.0,
    dead_announce_s=10.0,
    own_rules=False,
)
"""The paper's parameters (alpha = 5, beta = 6), on what memberlist has around them."""

_SWIM = evolve(_LIFEGUARD, health_max=1, suspicion_max_mult=1, buddy=False)

LIFEGUARD_TABLE = {
    "SWIM": _SWIM,
    "LHA-Probe": evolve(_SWIM, health_max=8),
    "LHA-Suspicion": evolve(_SWIM, suspicion_max_mult=6),
    "Buddy System": evolve(_SWIM, buddy=True),
    "Lifeguard": _LIFEGUARD,
    "NanoBoost": evolve(_LIFEGUARD, own_rules=True),
}
"""Table IV's rows, and what our own rules add to the last of them."""

SWIM_PAPER = GossipTiming(
    probe_interval_s=2.0,
    probe_timeout_s=0.5,
    probe_timeout_s_min=0.5,
    indirect_probes=1,
    suspicion_mult=3,
    suspicion_max_mult=1,
    suspicion_confirmations=0,
    gossip_interval_s=2.0,
    gossip_fanout=0,
    retransmit_mult=3,
    sync_interval_s=float("inf"),
    dead_memory_s=3600.0,
    left_memory_s=600.0,
    dead_announce_s=3600.0,
    health_max=1,
    buddy=False,
    stream_probes=False,
    natural_log=True,
    own_rules=False,
)
"""The set-up of the SWIM paper, section 5: rumors travel on probes only."""

SWIM_VARIANTS = {
    "SWIM+Inf": evolve(SWIM_PAPER, suspicion_mult=0),
    "SWIM+Inf+Susp": SWIM_PAPER,
}
