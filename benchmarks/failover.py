"""How long is the work interrupted when the master dies?  `python benchmarks/failover.py`

Three real nodes on loopback run a job; the master is killed (`kill -9`) and started again.
From the nodes' journals, after each kill: when another one is elected, when the next entry of the
log is committed, when the next task is executed.  Prints each failover, then median and maximum.
"""

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

from attrs import frozen

from nanoboost.cli.local import LocalCluster
from nanoboost.world.journal import JOURNAL, RAFT_JOURNAL, Tail

NAMES = ("one", "two", "three")
NAPS = Path(__file__).with_name("naps.py")
BARS = {"lan": "median 0.6 s, maximum 1.2 s", "pi": "median 1.5 s"}
"""From the kill to the next committed entry."""
FAILOVER_S = 60.0
EVENTS = ("elected", "committed", "executed")


@frozen
class Failover:
    """Seconds from the kill of a master."""

    elected: float
    committed: float
    executed: float


class Watched:
    """What happens at the other nodes from now on."""

    def __init__(self, cluster: LocalCluster, names: list[str]) -> None:
        files = [(name, file) for name in names for file in (RAFT_JOURNAL, JOURNAL)]
        self._tails = [
            (name, Tail(cluster.state(name), is_new=True, name=file)) for name, file in files
        ]
        self._leads = ""
        self.at: dict[str, float] = {}

    def is_over(self) -> bool:
        """Read on; whether a new master works."""
        for name, tail in self._tails:
            for record in tail.read():
                what = self._meaning(name, record)
                if what:
                    self.at.setdefault(what, float(record["monotonic"]))
        return len(self.at) == len(EVENTS)

    def _meaning(self, name: str, record: dict[str, Any]) -> str:
        if record["event"] == "execute":
            return "executed"
        if record.get("leads"):
            self._leads = name
            return "elected"
        # A leader commits nothing before an entry of its own term is.
        return "committed" if "commit" in record and name == self._leads else ""


def fail_over(cluster: LocalCluster) -> Failover:
    """Kill the master, measure, and bring it back."""
    master = cluster.wait(cluster.master, "a master", 30.0)
    watched = Watched(cluster, [name for name in cluster.names if name != master])
    killed_at = cluster.kill(master)
    cluster.wait(watched.is_over, "a new master that works", FAILOVER_S)
    again = Tail(cluster.state(master), is_new=True)
    cluster.start(master)
    cluster.wait(
        lambda: any(each["event"] == "mastership" and each["master"] for each in again.read()),
        "the killed node to follow",
        30.0,
    )
    return Failover(*(watched.at[event] - killed_at for event in EVENTS))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--profile", default="lan")
    options = parser.parse_args()
    found = []
    with (
        tempfile.TemporaryDirectory(prefix="nanoboost-failover-") as directory,
        LocalCluster(Path(directory), profile=options.profile) as cluster,
    ):
        cluster.start_all(NAMES)
        cluster.wait_for_voters(3)
        # Enough naps that some are always left; the job dies with the cluster.
        job = cluster.run(str(NAPS), "--width", "5000", "--nap-s", "0.2", at="one")
        cluster.wait(lambda: cluster.all_records("execute"), "the job to start", 60.0)
        for kill in range(options.kills):
            times = fail_over(cluster)
            found.append(times)
            print(
                f"kill {kill + 1:3d}   elected {times.elected:5.2f} s   "
                f"committed {times.committed:5.2f} s   Execute {times.executed:5.2f} s",
                flush=True,
            )
        job.kill()
    print(f"profile {options.profile}, {options.kills} kills")
    for what in EVENTS:
        seconds = [getattr(times, what) for times in found]
        print(f"{what:>9}  median {statistics.median(seconds):.2f} s   max {max(seconds):.2f} s")
    if options.profile in BARS:
        print(f"asked for, of the next committed entry: {BARS[options.profile]}")


if __name__ == "__main__":
    main()
