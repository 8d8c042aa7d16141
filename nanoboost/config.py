"""Every number that may be set, with its unit and its reason, and the named timing profiles.

**A configuration that cannot work is refused when it is made**, with a line that says what to do.
"""

import re

from attrs import field, frozen

from nanoboost.errors import UserError
from nanoboost.ids import Address

DEFAULT_PORT = 7470


@frozen
class ConsensusTiming:
    """Raft's clock.  An election starts after a silence of election_s_min to election_s_max; the
    quorum check and leader stickiness use `election_s_min`."""

    heartbeat_s: float
    election_s_min: float
    election_s_max: float
    learner_ready_s: float
    """How long a learner must be alive and caught up before it may vote (raft-autopilot: 10 s)."""
    learner_add_s: float
    """How long a member must be alive before it becomes a learner."""
    voter_replace_s: float
    """How long a voter must be dead before a ready learner replaces it."""
    voter_shrink_s: float
    """How long a voter must be dead before the set shrinks without a replacement."""
    learner_drop_s: float
    """How long a learner must be dead before it is forgotten."""

    def __attrs_post_init__(self) -> None:
        if not self.heartbeat_s * 4 <= self.election_s_min < self.election_s_max:
            raise UserError(
                f"heartbeat {self.heartbeat_s} s and election timeout {self.election_s_min} to "
                f"{self.election_s_max} s do not fit: leave room for at least 4 heartbeats"
            )


@frozen
class GossipTiming:
    """SWIM's clock and fan-out (Lifeguard's parameters; memberlist's formulas)."""

    probe_interval_s: float
    probe_timeout_s: float
    """The direct ping's; a helper's NACK comes at 80 % of what then remains of the interval."""
    indirect_probes: int
    suspicion_mult: int
    """min = mult * max(1, log10 N) * probe interval."""
    suspicion_max_mult: int
    """max = this * min; K confirmations bring it down to min."""
    suspicion_confirmations: int
    gossip_interval_s: float
    gossip_fanout: int
    retransmit_mult: int
    """Each rumor is sent mult * ceil(log10(N + 1)) times by each node."""
    sync_interval_s: float
    """Push-pull at least this often; a differing digest triggers one sooner."""
    dead_memory_s: float
    left_memory_s: float
    dead_announce_s: float
    """How often one of the remembered dead is contacted again, so that a partition heals."""

    def __attrs_post_init__(self) -> None:
        if not 0 < self.probe_timeout_s <= 0.6 * self.probe_interval_s:
            raise UserError(
                f"probe timeout {self.probe_timeout_s} s must be at most 0.6 of the probe interval "
                f"{self.probe_interval_s} s, or helpers answer too late"
            )


@frozen
class MasterTiming:
    """The master's pipeline."""

    flush_interval_s: float
    """At most one SetFrontier per job in flight, and a new one no sooner than this."""
    hello_grace_s: float
    """How long a new master waits for its agents' hellos before it starts what they may run."""
    hello_repeat_s: float
    """How often an agent that has not said hello is asked again."""


@frozen
class Profile:
    """A named set of timings.  All nodes of a cluster use the same one."""

    name: str
    consensus: ConsensusTiming
    gossip: GossipTiming
    master: MasterTiming


def _consensus(heartbeat: float, low: float, high: float, patience: float) -> ConsensusTiming:
    return ConsensusTiming(
        heartbeat_s=heartbeat,
        election_s_min=low,
        election_s_max=high,
        learner_ready_s=2.0 * patience,
        learner_add_s=0.5 * patience,
        voter_replace_s=30.0 * patience,
        voter_shrink_s=600.0 * patience,
        learner_drop_s=60.0 * patience,
    )


_LAN_GOSSIP = GossipTiming(
    probe_interval_s=0.5,
    probe_timeout_s=0.2,
    indirect_probes=3,
    suspicion_mult=4,
    suspicion_max_mult=6,
    suspicion_confirmations=3,
    gossip_interval_s=0.1,
    gossip_fanout=3,
    retransmit_mult=4,
    sync_interval_s=60.0,
    dead_memory_s=3600.0,
    left_memory_s=600.0,
    dead_announce_s=10.0,
)
_LOCAL_GOSSIP = GossipTiming(
    probe_interval_s=0.2,
    probe_timeout_s=0.06,
    indirect_probes=2,
    suspicion_mult=4,
    suspicion_max_mult=6,
    suspicion_confirmations=3,
    gossip_interval_s=0.05,
    gossip_fanout=3,
    retransmit_mult=4,
    sync_interval_s=10.0,
    dead_memory_s=60.0,
    left_memory_s=20.0,
    dead_announce_s=1.0,
)
_WIFI_GOSSIP = GossipTiming(
    probe_interval_s=1.0,
    probe_timeout_s=0.4,
    indirect_probes=3,
    suspicion_mult=5,
    suspicion_max_mult=6,
    suspicion_confirmations=3,
    gossip_interval_s=0.2,
    gossip_fanout=3,
    retransmit_mult=5,
    sync_interval_s=120.0,
    dead_memory_s=3600.0,
    left_memory_s=600.0,
    dead_announce_s=30.0,
)

PROFILES = {
    profile.name: profile
    for profile in (
        # x86 or Pi 5 with an SSD, cabled.  A dead process is noticed by the refusal of its host, in
        # 0.1 to 0.3 s; a dead host by its silence, in 1.0 to 1.6 s.  Five times the heartbeats
        # would save 0.7 s of the latter and cost an idle master thrice the processor time.
        Profile("lan", _consensus(0.25, 1.0, 1.6, 1.0), _LAN_GOSSIP, MasterTiming(0.02, 1.0, 0.25)),
        # Raspberry Pis with SD cards, cabled.  An SD card's fsync takes up to 0.4 s.
        Profile("pi", _consensus(0.25, 1.0, 2.0, 5.0), _LAN_GOSSIP, MasterTiming(0.1, 2.0, 0.5)),
        # Wi-Fi, old SD cards, machines that swap.
        Profile(
            "slow", _consensus(0.5, 5.0, 10.0, 10.0), _WIFI_GOSSIP, MasterTiming(0.5, 5.0, 1.0)
        ),
        # Several nodes on one machine: demonstrations and tests.
        Profile(
            "local", _consensus(0.1, 0.5, 1.0, 0.5), _LOCAL_GOSSIP, MasterTiming(0.02, 1.0, 0.25)
        ),
    )
}

LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,31}")
NODE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
LABELS_MAX = 5
SLOTS_MAX = 1024


@frozen
class NodeConfig:
    """What one node is told when it starts.  Paths are text; nothing is opened here.

    `listen.port` 0 takes a free port; `advertise_host` is how other nodes reach this one, where
    that differs from `listen.host`.  `seeds` are addresses of nodes to join; with none, and an
    empty state directory, the node founds a cluster of its own.  `slots` is how many attempts it
    runs at a time; 0 lets it only vote and keep state.
    """

    name: str = field()
    state_dir: str = field()
    nas_dir: str = field()
    listen: Address = field()
    seeds: tuple[Address, ...] = field(default=())
    profile: Profile = field(default=PROFILES["lan"])
    labels: tuple[str, ...] = field(default=())
    slots: int = field(default=1)
    advertise_host: str = field(default="")

    def __attrs_post_init__(self) -> None:
        if not NODE_NAME.fullmatch(self.name):
            raise UserError(
                f"node name {self.name!r}: use up to 63 letters, digits, '.', '_' and '-'"
            )
        if not 0 <= self.listen.port < 65536:
            raise UserError(f"port {self.listen.port}: must be from 0 to 65535")
        if not 0 <= self.slots <= SLOTS_MAX:
            raise UserError(f"slots {self.slots}: must be from 0 to {SLOTS_MAX}")
        if len(self.labels) > LABELS_MAX:
            raise UserError(f"{len(self.labels)} labels: at most {LABELS_MAX} fit in a datagram")
        for label in self.labels:
            if not LABEL.fullmatch(label):
                raise UserError(
                    f"label {label!r}: use up to 32 letters, digits, '.', '_', ':', '-'"
                )
