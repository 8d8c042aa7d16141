"""Every number that may be set, with its unit and its reason, and the named timing profiles.

**A configuration that cannot work is refused when it is made**, with a line that says what to do.
"""

import re
from collections.abc import Iterator
from math import inf

from attrs import field, frozen

from nanoboost.errors import UserError
from nanoboost.ids import Address

DEFAULT_PORT = 7470

NACK_SHARE = 0.8
"""When a helper says that it is there at least: at this share of the time that it was given."""
ROUND_TRIP_S = 0.01
"""What a busy machine on a LAN needs to be heard by another."""


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
    """SWIM's clock and fan-out (Lifeguard's parameters; memberlist's formulas).

    The last fields switch parts of the protocol off, so that its ancestors can be measured beside
    it: plain SWIM is `health_max=1, suspicion_max_mult=1, buddy=False, own_rules=False`.
    """

    probe_interval_s: float
    probe_timeout_s: float
    """The direct ping's at the start, and at most; a helper's NACK comes at 80 % of what then
    remains of the interval."""
    probe_timeout_s_min: float
    """As low as the direct ping's gets where answers come soon: it is 4 times their 99th
    percentile, between these two."""
    indirect_probes: int
    suspicion_mult: float
    """min = mult * max(1, log10 N) * probe interval.  0: whoever does not answer is dead."""
    suspicion_max_mult: float
    """max = this * min; K confirmations bring it down to min.  1: they do not matter."""
    suspicion_confirmations: int
    gossip_interval_s: float
    gossip_fanout: int
    """0: rumors travel on probes only."""
    retransmit_mult: int
    """Each rumor is sent mult * ceil(log10(N + 1)) times by each node."""
    sync_interval_s: float
    """Push-pull at least this often; a differing digest triggers one sooner.  inf: never."""
    dead_memory_s: float
    left_memory_s: float
    dead_announce_s: float
    """How often, at least, a node calls one of the remembered dead, so that a partition heals; a
    small cluster does so more often, once in two probe intervals by all together."""
    health_max: int = 8
    """By how much a node that doubts itself stretches its probes at most.  1: it never does."""
    buddy: bool = True
    """Whether a suspect is told so before anything else."""
    stream_probes: bool = True
    """Whether a ping in vain is tried over TCP too."""
    natural_log: bool = False
    """Count suspicions and rumors by ceil(ln(N + 1)), as in the figures of the SWIM paper."""
    own_rules: bool = True
    """Whether to go beyond SWIM and Lifeguard: exchanges for a differing digest, notices to the
    accused, calls to the dead, and doubts about oneself (isolated, asleep, too many accusations)
    and about whoever comes and goes."""

    def __attrs_post_init__(self) -> None:
        for is_right, complaint in self._rules():
            if not is_right:
                raise UserError(f"gossip: {complaint}")

    def _rules(self) -> Iterator[tuple[bool, str]]:
        """What must hold, and what to say if it does not.  (A NaN makes any comparison false.)"""
        interval, timeout = self.probe_interval_s, self.probe_timeout_s
        yield (
            0 < timeout <= 0.6 * interval < inf,
            f"probe timeout {timeout} s must be at most 0.6 of the probe interval {interval} s, "
            "or helpers answer too late",
        )
        yield (
            (1 - NACK_SHARE) * (interval - timeout) >= ROUND_TRIP_S,
            f"probe interval {interval} s less the timeout {timeout} s leaves a helper's NACK "
            f"less than {ROUND_TRIP_S} s to arrive: make the interval longer",
        )
        yield (
            0 < self.probe_timeout_s_min <= timeout,
            f"the least probe timeout {self.probe_timeout_s_min} s must be above 0 and at most "
            f"the timeout {timeout} s",
        )
        yield (
            0 < self.gossip_interval_s <= interval,
            f"gossip interval {self.gossip_interval_s} s must be above 0 and at most the probe "
            f"interval {interval} s, or suspicions end before they are refuted",
        )
        yield (
            self.retransmit_mult >= 1 and self.gossip_fanout >= 0 and self.indirect_probes >= 0,
            f"retransmit factor {self.retransmit_mult} must be at least 1, fan-out "
            f"{self.gossip_fanout} and indirect probes {self.indirect_probes} at least 0",
        )
        yield (
            0 <= self.suspicion_mult < inf and 1 <= self.suspicion_max_mult < inf,
            f"suspicion factors {self.suspicion_mult} and {self.suspicion_max_mult}: the first "
            "must be at least 0, the second at least 1",
        )
        yield (
            self.suspicion_confirmations >= 0 and self.health_max >= 1,
            f"confirmations {self.suspicion_confirmations} must be at least 0, the greatest "
            f"stretch of probes {self.health_max} at least 1",
        )
        yield (
            self.sync_interval_s >= interval and self.dead_announce_s >= interval,
            f"exchanges every {self.sync_interval_s} s and calls to the dead every "
            f"{self.dead_announce_s} s must not be more frequent than probes ({interval} s)",
        )
        # Whoever is forgotten while somebody still holds an old table comes back as a ghost.
        yield (
            self.sync_interval_s == inf or self.dead_memory_s >= 4 * self.sync_interval_s,
            f"the dead must be remembered for at least 4 exchanges ({4 * self.sync_interval_s} s), "
            f"not {self.dead_memory_s} s",
        )
        yield (
            self.left_memory_s >= 20 * interval,
            f"whoever left must be remembered for at least 20 probe intervals ({20 * interval} s), "
            f"not {self.left_memory_s} s",
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
    probe_timeout_s_min=0.05,
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
    dead_announce_s=60.0,
)
_LOCAL_GOSSIP = GossipTiming(
    probe_interval_s=0.2,
    probe_timeout_s=0.06,
    probe_timeout_s_min=0.05,
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
    dead_announce_s=6.0,
)
_WIFI_GOSSIP = GossipTiming(
    probe_interval_s=1.0,
    probe_timeout_s=0.4,
    probe_timeout_s_min=0.4,  # a radio that saves power answers at once or after 0.3 s
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
    dead_announce_s=60.0,
)

GOSSIP = {"lan": _LAN_GOSSIP, "local": _LOCAL_GOSSIP, "wifi": _WIFI_GOSSIP}

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
    empty state directory, the node founds a cluster of its own, unless it `waits` until the beacon
    leads it to one.  `slots` is how many attempts it
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
    waits: bool = field(default=False)

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
