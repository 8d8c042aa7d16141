"""`python -m simulations`: which scenarios there are."""

import importlib

SCENARIOS = (
    "calm",
    "partition",
    "asymmetric",
    "bridge",
    "flapping",
    "swizzle",
    "dead_air",
    "half_open",
    "lossy_wifi",
    "slow_loris",
    "failover",
    "failover_storm",
    "split_brain_two_masters",
    "gc_pause",
    "quorum_loss_and_recovery",
    "blackout",
    "rolling_restart",
    "churn",
    "thundering_join",
    "plugged_in",
    "membership_change",
    "identity_clash",
    "slow_disk",
    "slow_cpu",
    "bit_rot",
    "fsync_error",
    "full_disk",
    "snapshot_catchup",
    "nas_stale",
    "duplicate_done",
    "zombie_writer",
    "user_crash",
    "user_hang",
    "poison_task",
    "clock_skew",
    "client_disconnect",
    "cancel_race",
    "backlog",
    "monkey",
)


def list_scenarios() -> None:
    """Print them."""
    print("Scenarios; each takes --seed, --seeds, --help:\n")
    for name in SCENARIOS:
        scenario = importlib.import_module(f"simulations.{name}").SCENARIO
        print(f"  python -m simulations.{name:<24} {scenario.story}")


if __name__ == "__main__":
    list_scenarios()
