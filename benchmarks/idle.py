"""What does an idle node cost?  `python benchmarks/idle.py` prints memory and processor time.

Three real nodes on loopback with nothing to do; one is the master.  Memory is the fair share (PSS);
a node's NAS process counts with it.
"""

import argparse
import tempfile
from pathlib import Path

from nanoboost.cli.local import LocalCluster, memory_pss_mib, processor_seconds


def family(pid: int) -> list[int]:
    """The process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(int(child) for child in children)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--profile", default="lan")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="nanoboost-idle-") as directory,
        LocalCluster(Path(directory), profile=options.profile) as cluster,
    ):
        cluster.start_all(("one", "two", "three"))
        cluster.wait_for_voters(3)
        cluster.pause(5.0)
        before = {
            name: sum(map(processor_seconds, family(cluster.pid(name)))) for name in cluster.names
        }
        cluster.pause(options.seconds)
        print("node    role     PSS MiB   % of a core")
        for name in cluster.names:
            processes = family(cluster.pid(name))
            used = sum(map(processor_seconds, processes)) - before[name]
            role = "master" if name == cluster.master() else "agent"
            memory = sum(map(memory_pss_mib, processes))
            print(f"{name:7} {role:7} {memory:8.1f} {100 * used / options.seconds:12.2f}")


if __name__ == "__main__":
    main()
