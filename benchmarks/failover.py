"""How long is the work interrupted when the master dies?  `python benchmarks/failover.py`

Three real nodes on loopback run a job; the master is killed (`kill -9`), the time from the kill to
the new master's first Execute is read from the journals, the node is started again.  Prints each
failover, then median and maximum.
"""

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

from nanoboost.cli.local import LocalCluster

NAMES = ("one", "two", "three")
NAPS = Path(__file__).with_name("naps.py")


def fail_over(cluster: LocalCluster) -> tuple[float, float]:
    """Kill the master; return the seconds to the next election, and to its first Execute."""
    master = cluster.wait(cluster.master, "a master", 30.0)
    killed_at = cluster.kill(master)

    def after(event: str, **facts: Any) -> Any:
        found = [
            record
            for record in cluster.all_records(event)
            if record["monotonic"] > killed_at
            and all(record[name] == value for name, value in facts.items())
        ]
        return found[0] if found else None

    executed = cluster.wait(lambda: after("execute"), "an Execute of a new master", 60.0)
    elected = after("mastership", is_me=True)
    cluster.start(master)
    cluster.wait_for_voters(3)
    return elected["monotonic"] - killed_at, executed["monotonic"] - killed_at


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--profile", default="lan")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="nanoboost-failover-") as directory,
        LocalCluster(Path(directory), profile=options.profile) as cluster,
    ):
        cluster.start_all(NAMES)
        cluster.wait_for_voters(3)
        # Enough naps that some are always left; the job dies with the cluster.
        job = cluster.run(str(NAPS), "--width", "5000", "--nap-s", "0.2", at="one")
        cluster.wait(lambda: cluster.all_records("execute"), "the job to start", 60.0)
        times = []
        for kill in range(options.kills):
            elected, executed = fail_over(cluster)
            times.append(executed)
            print(f"kill {kill + 1:3d}   elected {elected:5.2f} s   Execute {executed:5.2f} s")
        job.kill()
    print(f"profile {options.profile}, {options.kills} kills: ", end="")
    print(f"median {statistics.median(times):.2f} s   maximum {max(times):.2f} s")


if __name__ == "__main__":
    main()
