"""Several nodes as processes of this machine: for the demonstration, the tests, the benchmarks.

**What it knows of the nodes it knows from their journals**, as a person would: who was elected,
what was started where and when.  All processes end with it.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from nanoboost.errors import UserError
from nanoboost.ids import Address
from nanoboost.nas.files import claim
from nanoboost.net.credential import create, load
from nanoboost.world.journal import Tail, read_journal

Record = dict[str, Any]

START_S = 60.0
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
        self._processes: dict[str, Any] = {}  # as `subprocess.Popen`
        self._addresses: dict[str, Address] = {}
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
        return self.start_together({name: options})[0]

    def start_all(self, names: Sequence[str]) -> list[Address]:
        """Start several nodes: the first, which founds the cluster, then the others at once."""
        founder, *others = names
        return [self.start(founder), *self.start_together(dict.fromkeys(others, ()))]

    def start_together(self, options: Mapping[str, Sequence[str]]) -> list[Address]:
        """Start these nodes at once, each with its options, and wait until all listen."""
        journals = {name: self._spawn(name, *options[name]) for name in options}
        return [self._await(name, journal) for name, journal in journals.items()]

    def _spawn(self, name: str, *options: str) -> Tail:
        """Start the node's process; return what it is about to write into its journal."""
        journal = Tail(self.state(name), is_new=True)
        self._addresses.pop(name, None)
        known = [other for other in self._processes if other in self._addresses]
        with (self.directory / f"{name}.log").open("ab") as log:
            self._processes[name] = self._launch(
                (
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
                log,
            )
        return journal

    def _launch(self, arguments: Sequence[str], log: BinaryIO) -> Any:
        """Start the process of a node; what it prints goes into `log`."""
        return subprocess.Popen(
            self.command(*arguments),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )

    def _await(self, name: str, journal: Tail) -> Address:
        """Wait until the journal says that the node listens."""

        def listens() -> Record | None:
            if self._processes[name].poll() is not None:
                raise UserError(f"node {name} did not start: {self.log_tail(name)}")
            return next((each for each in journal.read() if each["event"] == "listening"), None)

        listening = self.wait(listens, f"node {name} to listen", START_S)
        journal.close()
        address = self._addresses[name] = _address(listening)
        return address

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

    def is_alive(self, name: str) -> bool:
        """Whether the node's process has not ended by itself."""
        return self._processes[name].poll() is None

    def pid(self, name: str) -> int:
        """The node's process id."""
        return self._processes[name].pid

    def state(self, name: str) -> Path:
        """The node's state directory."""
        return self.directory / name

    def address(self, name: str) -> Address:
        """Where the node listens, or did when it was there last."""
        known = self._addresses.get(name)
        return known if known is not None else _address(self.records(name, "listening")[-1])

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


def _address(listening: Record) -> Address:
    host, _, port = str(listening["address"]).rpartition(":")
    return Address(host, int(port))


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
