"""What does a committed record cost?  `python benchmarks/consensus.py` prints a table.

Real processes, TLS on loopback, a database on the disk for each, every promise after its fsync; of
a node only the mesh and consensus run (no gossip: the members are told).  *Clients* propose at the
master, each its next record of about 100 bytes when the last one is committed.  The disk's own
fsync is measured beside it, for it bounds everything.

Say `--directory` on the disk that is meant: /tmp may be memory.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attrs import evolve

from nanoboost.config import PROFILES
from nanoboost.consensus.autopilot import PeerView
from nanoboost.consensus.messages import RAFT
from nanoboost.consensus.service import Consensus, MastershipChange
from nanoboost.identity import node_id
from nanoboost.ids import Address, JobId, NodeId
from nanoboost.net.credential import create, load
from nanoboost.net.mesh import Mesh
from nanoboost.wire.codec import Catalog
from nanoboost.wire.messages import SESSION
from nanoboost.wire.records import RECORDS, FrontierSet, Record
from nanoboost.world.journal import RaftJournal
from nanoboost.world.real import real_runtime

RECORD_BYTES = 100
FSYNCS = 300
WARM_UP = 0.1
"""The share of the time that is not counted."""


class Seat:
    """One node's mesh and consensus; the master of all `voters` runs the loads and prints them."""

    def __init__(self, reactor: Any, directory: Path, *, found: bool, is_recorded: bool) -> None:
        self._reactor = reactor
        credential = load(str(directory.parent / "cluster.pem"))
        runtime = real_runtime(reactor, str(directory), credential)
        if is_recorded:
            runtime = evolve(runtime, record=RaftJournal(str(directory), directory.name, reactor))
        self.me = node_id(runtime)
        self.mesh = Mesh(runtime, Catalog((*SESSION, *RAFT)), self.me, Address("127.0.0.1", 0))
        self.consensus = Consensus(
            self.me,
            PROFILES["lan"].consensus,
            runtime,
            self.mesh.send,
            self._mastership_changed,
            self._committed,
            self._crashed,
            found=found,
        )
        self.mesh.subscribe(RAFT, self.consensus.receive)
        self.mesh.listen()
        self._load: Load | None = None

    def start(self, peers: Sequence[tuple[str, int]], loads: Sequence[int], seconds: float) -> None:
        """Meet the others, and work once everybody votes."""
        self._voters, self._loads, self._seconds = len(peers), list(loads), seconds
        self.mesh.startService()
        for node, port in peers:
            self.mesh.learn(NodeId(node), Address("127.0.0.1", port))
        self.consensus.startService()
        long_ago = self._reactor.seconds() - 3600.0
        self.consensus.members_changed(
            {NodeId(node): PeerView(NodeId(node), "alive", long_ago, True) for node, _ in peers}
        )
        self._reactor.callLater(0.1, self._look)

    def _look(self) -> None:
        """Begin the next load when everybody votes and the last one is over."""
        status = self.consensus.status
        if status.is_master and list(status.parts.values()).count("voter") == self._voters:
            self._next_load(status.term)
        else:
            self._reactor.callLater(0.1, self._look)

    def _next_load(self, term: int) -> None:
        if not self._loads:
            return
        self._load = Load(self.consensus, term, self._loads.pop(0), self._reactor)
        self._load.begin()
        self._reactor.callLater(self._seconds, self._end_load, term)

    def _end_load(self, term: int) -> None:
        assert self._load is not None
        print(json.dumps(self._load.result()), flush=True)
        self._load = None
        self._reactor.callLater(0.2, self._next_load, term)

    def _committed(self, term: int, record: Record) -> None:
        if self._load is not None and isinstance(record, FrontierSet):
            self._load.committed(record)

    def _mastership_changed(self, change: MastershipChange) -> None:
        if self._load is not None:
            self._crashed(f"the master has changed in the middle of a load: {change}")

    def _crashed(self, reason: object) -> None:
        print(reason, file=sys.stderr, flush=True)
        os._exit(70)


class Load:
    """So many clients, each with one record under way."""

    def __init__(self, consensus: Consensus, term: int, clients: int, reactor: Any) -> None:
        self._consensus = consensus
        self._term = term
        self._reactor = reactor
        self._names = [JobId(f"client-{client:02d}-{clients}") for client in range(clients)]
        self._since: dict[JobId, float] = {}
        self._done: list[tuple[float, float]] = []  # (when, seconds)
        spare = RECORD_BYTES - len(RECORDS.encode(FrontierSet(self._names[0], b"")))
        self._frontier = bytes(spare)

    def begin(self) -> None:
        """Each client proposes its first record."""
        self._began = time.process_time(), self._reactor.seconds()
        for name in self._names:
            self._propose(name)

    def committed(self, record: FrontierSet) -> None:
        """A record is committed: its client proposes the next."""
        since = self._since.get(record.job)
        if since is not None:
            now = self._reactor.seconds()
            self._done.append((now, now - since))
            self._propose(record.job)

    def _propose(self, name: JobId) -> None:
        self._since[name] = self._reactor.seconds()
        assert self._consensus.propose(self._term, FrontierSet(name, self._frontier)), "refused"

    def result(self) -> dict[str, float]:
        """What was reached; the processor time is this process's, of one core."""
        cpu, began = self._began
        now = self._reactor.seconds()
        counted_from = began + WARM_UP * (now - began)
        times = sorted(took for when, took in self._done if when >= counted_from)
        return {
            "clients": len(self._names),
            "rate": len(times) / (now - counted_from),
            "median_ms": statistics.median(times) * 1e3,
            "p99_ms": times[len(times) * 99 // 100] * 1e3,
            "cpu": (time.process_time() - cpu) / (now - began),
        }


def be_a_node(directory: Path, *, found: bool, is_recorded: bool) -> None:
    """The child process: listen, say where, hear who the others are, and run."""
    from twisted.internet import reactor  # noqa: TID251 - a process of its own

    seat = Seat(reactor, directory, found=found, is_recorded=is_recorded)
    print(json.dumps([seat.me, seat.mesh.address.port]), flush=True)
    order = json.loads(sys.stdin.readline())
    reactor.callWhenRunning(seat.start, order["peers"], order["loads"], order["seconds"])
    reactor.run()


def measure(
    directory: Path, nodes: int, loads: Sequence[int], seconds: float, options: Sequence[str]
) -> list[Any]:
    """The results of the loads on a cluster of so many nodes."""
    directory.mkdir()
    create(str(directory / "cluster.pem"))
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, "--node", str(directory / f"node-{number}"), *options]
            + (["--found"] if number == 0 else []),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(nodes)
    ]
    try:
        peers = [json.loads(process.stdout.readline()) for process in processes if process.stdout]
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(
                json.dumps({"peers": peers, "loads": loads, "seconds": seconds}) + "\n"
            )
            process.stdin.flush()
        founder = processes[0].stdout
        assert founder is not None
        return [json.loads(founder.readline()) for _ in loads]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def fsync_times(directory: Path) -> list[float]:
    """Seconds that the disk takes for 4 KiB at the end of a file, in order."""
    times = []
    with (directory / "fsync").open("wb", buffering=0) as file:
        for _ in range(FSYNCS):
            began = time.perf_counter()
            file.write(bytes(4096))
            os.fsync(file.fileno())
            times.append(time.perf_counter() - began)
    return sorted(times)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--directory", type=Path, default=None)
    parser.add_argument("--nodes", type=int, nargs="*", default=[1, 3])
    parser.add_argument("--clients", type=int, nargs="*", default=[1, 64])
    parser.add_argument("--no-record", action="store_true", help="without the raft journal")
    parser.add_argument("--node", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--found", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.node is not None:
        be_a_node(options.node, found=options.found, is_recorded=not options.no_record)
        return
    with tempfile.TemporaryDirectory(prefix="consensus-", dir=options.directory) as made:
        directory = Path(made)
        fsync = fsync_times(directory)
        print(
            f"fsync of 4 KiB here: median {statistics.median(fsync) * 1e3:.2f} ms, "
            f"p99 {fsync[len(fsync) * 99 // 100] * 1e3:.2f} ms"
        )
        print("nodes  clients  committed/s  median ms   p99 ms  core %")
        for nodes in options.nodes:
            passed_on = ["--no-record"] if options.no_record else []
            for found in measure(
                directory / f"of-{nodes}", nodes, options.clients, options.seconds, passed_on
            ):
                print(
                    f"{nodes:5d}  {found['clients']:7d}  {found['rate']:11.0f}  "
                    f"{found['median_ms']:9.2f}  {found['p99_ms']:7.2f}  {found['cpu'] * 100:6.0f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
