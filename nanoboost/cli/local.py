"""Several nodes as processes of this machine: for the demonstration, the tests, the benchmarks.

**What it knows of the nodes it knows from their journals**, as a person would: who was elected,
what was started where and when.  All processes end with it.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from nanoboost.errors import UserError
from nanoboost.ids import Address
from nanoboost.nas.files import claim
from nanoboost.net.credential import create, load
from nanoboost.world.journal import read_journal

Record = dict[str, Any]

START_S = 20.0
POLL_S = 0.02


class LocalCluster:
    """Nodes on loopback under one directory: `NAME/` their state, `nas/` what they share.

    A context manager; leaving it kills what still runs.
    """

    def __init__(self, directory: Path, profile: str = "local", slots: int = 1) -> None:
        self.directory = directory
        self.nas = directory / "nas"
        self.credential = directory / "cluster.pem"
        self._profile = profile
        self._slots = slots
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._jobs: list[subprocess.Popen[str]] = []
        self.nas.mkdir(parents=True, exist_ok=True)
        if not self.credential.exists():
            create(str(self.credential))
        claim(str(self.nas), load(str(self.credential)).cluster)

    def __enter__(self) -> "LocalCluster":
        return self

    def __exit__(self, *_exception: object) -> None:
        for name in list(self._processes):
            self.kill(name)
        for job in self._jobs:
            job.kill()
            job.wait()

    # --- nodes -----------------------------------------------------------------------------------

    def start(self, name: str, *options: str) -> Address:
        """Start a node (again) and wait until it listens; the first one founds the cluster."""
        heard = self._spawn(name, *options)
        return self._await(name, heard)

    def start_all(self, names: Sequence[str]) -> list[Address]:
        """Start several nodes: the first, which founds the cluster, then the others at once."""
        founder, *others = names
        addresses = [self.start(founder)]
        heard = {name: self._spawn(name) for name in others}
        return addresses + [self._await(name, heard[name]) for name in others]

    def _spawn(self, name: str, *options: str) -> int:
        """Start the node's process; return how often a node of this name has listened before."""
        heard = len(self.records(name, "listening"))
        running = [other for other in self._processes if other != name]
        known = [other for other in running if self.records(other, "listening")]
        with (self.directory / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                self.command(
                    "up",
                    f"--name={name}",
                    f"--state={self.state(name)}",
                    f"--nas={self.nas}",
                    "--listen=127.0.0.1:0",
                    f"--profile={self._profile}",
                    f"--slots={self._slots}",
                    f"--credential={self.credential}",
                    *(f"--join={self.address(other)}" for other in known[:2]),
                    *options,
                ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return heard

    def _await(self, name: str, heard: int) -> Address:
        """Wait until the node listens once more than `heard` times."""

        def listens() -> bool:
            if self._processes[name].poll() is not None:
                raise UserError(f"node {name} did not start: {self.log_tail(name)}")
            return len(self.records(name, "listening")) > heard

        self.wait(listens, f"node {name} to listen", START_S)
        return self.address(name)

    def kill(self, name: str) -> float:
        """`kill -9` the node; return the monotonic time of it."""
        process = self._processes.pop(name)
        now = time.monotonic()
        process.kill()
        process.wait()
        return now

    def freeze(self, name: str) -> None:
        """Stop the node's process (SIGSTOP), as a machine that sleeps does."""
        self._processes[name].send_signal(signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """Let a frozen node go on."""
        self._processes[name].send_signal(signal.SIGCONT)

    @staticmethod
    def pause(seconds: float) -> None:
        """Let real time pass, as a person who watches would."""
        time.sleep(seconds)

    def leave(self, name: str) -> None:
        """Ask the node to leave in good order, and wait for its end."""
        process = self._processes[name]
        subprocess.run(
            self.command("leave", f"--state={self.state(name)}", f"--credential={self.credential}"),
            check=True,
            stdout=subprocess.DEVNULL,
        )
        process.wait()
        del self._processes[name]

    def run(self, spec: str, *params: str, at: str) -> subprocess.Popen[str]:
        """Start `nanoboost run --json` against node `at`; its output is the job's progress."""
        job = subprocess.Popen(
            self.command(
                "run",
                spec,
                "--json",
                f"--node={self.address(at)}",
                f"--credential={self.credential}",
                *params,
            ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._jobs.append(job)
        return job

    @staticmethod
    def command(*arguments: str) -> list[str]:
        """The `nanoboost` command of this Python."""
        return [sys.executable, "-m", "nanoboost.cli", *arguments]

    # --- what is known of them -------------------------------------------------------------------

    @property
    def names(self) -> list[str]:
        """The nodes that run, in the order of their start."""
        return list(self._processes)

    def pid(self, name: str) -> int:
        """The node's process id."""
        return self._processes[name].pid

    def state(self, name: str) -> Path:
        """The node's state directory."""
        return self.directory / name

    def address(self, name: str) -> Address:
        """Where the node listens."""
        host, _, port = str(self.records(name, "listening")[-1]["address"]).rpartition(":")
        return Address(host, int(port))

    def records(self, name: str, event: str | None = None) -> list[Record]:
        """The node's journal, or its records of one kind."""
        found = read_journal(self.state(name))
        return [each for each in found if event in (None, each["event"])]

    def all_records(self, event: str) -> list[Record]:
        """The records of one kind of all nodes that ever ran here, by time."""
        return sorted(self._every(event), key=lambda record: float(record["monotonic"]))

    def _every(self, event: str) -> Iterator[Record]:
        for path in sorted(self.directory.glob("*/journal.jsonl")):
            yield from (each for each in read_journal(path.parent) if each["event"] == event)

    def master(self) -> str | None:
        """The running node that was elected last, if it has not lost the mastership since."""
        terms = {}
        for name in self._processes:
            changes = self.records(name, "mastership")
            if changes and changes[-1]["is_me"]:
                terms[int(changes[-1]["term"])] = name
        return terms[max(terms)] if terms else None

    def log_tail(self, name: str) -> str:
        """The last line of what the node's process printed."""
        lines = (self.directory / f"{name}.log").read_text(errors="replace").splitlines()
        return lines[-1] if lines else "it printed nothing"

    def wait(self, condition: Callable[[], Any], what: str, timeout_s: float) -> Any:
        """Wait until `condition()` is true and return its value; raise `UserError` in time."""
        give_up_at = time.monotonic() + timeout_s
        while not (found := condition()):
            if time.monotonic() > give_up_at:
                raise UserError(f"waited {timeout_s:.0f} s for {what}")
            time.sleep(POLL_S)
        return found

    def wait_for_voters(self, count: int) -> None:
        """Wait until the cluster has this many voters."""

        def voters() -> bool:
            changes = self.all_records("voters")
            return bool(changes) and int(changes[-1]["count"]) >= count

        self.wait(voters, f"{count} voters", 60.0)


def memory_pss_mib(pid: int) -> float:
    """The process's fair share of memory (PSS) in MiB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise UserError(f"process {pid} has no memory to speak of")


def processor_seconds(pid: int) -> float:
    """The processor time that the process has used, without its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
