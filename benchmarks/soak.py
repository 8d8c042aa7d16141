"""Is anything lost that was acknowledged?  `python benchmarks/soak.py --kills 1000`

Three real nodes; one, two or all of them, chosen at random, are killed (`kill -9`) and started
anew, while a client submits jobs and cancels the older ones, several at a time, and writes down
each answer as it comes.  **Every job that was acknowledged must be there, in the state acknowledged
last** (of those that have ended, the latest that the registry remembers), and a job to be cancelled
must still be known.  The client asks every few seconds, in the middle of all this; at the end it is
asked once more.  What the nodes record of their consensus is held against the invariants I1 to I14
all the time, their disks at the end.  A node that ends by itself is a failure too.

The exit status is 1 if anything is wrong; then the state directories are kept and named.
"""

import argparse
import itertools
import json
import multiprocessing
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.internet.task import deferLater

from nanoboost import tap
from nanoboost.cli.cluster import Cluster, Unreachable
from nanoboost.cli.local import LocalCluster
from nanoboost.cli.run import Order, prepare
from nanoboost.errors import UserError
from nanoboost.ids import Address, JobId
from nanoboost.net.credential import load
from nanoboost.net.tls import PinnedTls
from nanoboost.wire.codec import evolve
from nanoboost.wire.messages import Cancel, Cancelled, Submit, Submitted
from simulations.journals import Journals, Reader, told

NAMES = ("one", "two", "three")
VICTIMS = (1, 1, 1, 2, 2, 3)
"""How many of them are killed at a time."""
RUTHLESS = 0.2
"""How often the next ones are killed before anything was acknowledged again."""
NAPS = Path(__file__).with_name("naps.py")
LANES = 8
"""So many questions are asked at a time."""
RUNNING_MAX = 48
"""Older jobs are cancelled, so that a long soak does not fill the registry."""
REMEMBERED = 200
"""Of the cancelled ones: a little less than the registry keeps."""
BREATH_S = 0.05
"""The client's pause between two rounds of questions: the machine has more to do."""
CHECK_S = 2.0
CHECKS = 30
"""So often, a second apart, the master is asked before what is missing is called lost."""
SETTLE_S = 60.0
RIPE_S = 2.0
"""A record is on file so soon after its time, at the latest."""
TOLD_EVERY_S = 10.0


class Promises:
    """What the cluster has acknowledged, as far as it must still know it."""

    def __init__(self) -> None:
        self._states: dict[str, tuple[str, ...]] = {}
        """By job, in the order of the submissions: the states that it may be in."""
        self._wrong: list[str] = []
        self.count = 0
        self.checks = 0

    def hear(self, line: str) -> None:
        """One more line of the client's."""
        kind, _, job = line.partition(" ")
        if kind == "submitted":
            self._states[job] = ("running",)
        elif kind == "wanted":
            self._states[job] = ("running", "cancelled")
        elif kind == "cancelled":
            self._states[job] = ("cancelled",)
            ended = [each for each, states in self._states.items() if "cancelled" in states]
            for each in ended[:-REMEMBERED]:
                del self._states[each]
        elif kind == "checked":
            self.checks += 1
        else:
            self._wrong.append(line)
        self.count += kind in ("submitted", "cancelled")

    def broken(self, found: Mapping[str, str]) -> list[str]:
        """What is not as it was acknowledged, if the jobs are as `found`."""
        return self._wrong + [
            f"{job} was acknowledged as {' or '.join(states)} and is {found.get(job, 'lost')}"
            for job, states in self._states.items()
            if found.get(job) not in states
        ]


# --- the client, a process of its own ------------------------------------------------------------


class Client:
    """Submits and cancels for ever; one line for each wish and for each answer."""

    def __init__(self, reactor: Any, directory: Path, addresses: Sequence[Address]) -> None:
        self._reactor = reactor
        self._submit = prepare(Order(str(NAPS), {"width": "3"}, 0), directory / "nas")
        security = PinnedTls(load(str(directory / "cluster.pem")), reactor)
        self._lanes = [Cluster(reactor, security, addresses) for _ in range(LANES)]
        self._promises = Promises()
        self._answers: TextIO = (directory / "answers").open("a", buffering=1)

    async def run(self) -> None:
        """Go on until something is wrong."""
        running: list[JobId] = []
        check_due = self._reactor.seconds() + CHECK_S
        try:
            for number in itertools.count():
                jobs = [JobId(f"soak-{number:06d}-{lane}") for lane in range(LANES)]
                await self._together(self._submit_one, jobs)
                running += jobs
                if len(running) > RUNNING_MAX:
                    await self._together(self._cancel_one, running[:LANES])
                    del running[:LANES]
                if self._reactor.seconds() > check_due:
                    await self._check()
                    check_due = self._reactor.seconds() + CHECK_S
                await deferLater(self._reactor, BREATH_S)
        except UserError as error:
            self._say(f"refused {error}")

    def _say(self, line: str) -> None:
        self._promises.hear(line)
        print(line, file=self._answers)

    async def _together(self, one: Callable[[Cluster, JobId], Any], jobs: Iterable[JobId]) -> None:
        lanes = zip(self._lanes, jobs, strict=True)
        questions = [Deferred.fromCoroutine(one(lane, job)) for lane, job in lanes]
        try:
            await gatherResults(questions, consumeErrors=True)
        except FirstError as first:
            first.subFailure.raiseException()

    async def _submit_one(self, lane: Cluster, job: JobId) -> None:
        await self._insist(lane, partial(_renamed, self._submit, job), Submitted)
        self._say(f"submitted {job}")

    async def _cancel_one(self, lane: Cluster, job: JobId) -> None:
        self._say(f"wanted {job}")
        await self._insist(lane, partial(Cancel, job=job), Cancelled)
        self._say(f"cancelled {job}")

    async def _insist(self, lane: Cluster, question: Callable[[int], Any], kind: type[Any]) -> None:
        """Ask until it is answered: all questions are idempotent."""
        while True:
            try:
                await lane.ask(question, kind)
            except Unreachable:
                continue
            except UserError as refusal:
                if "does not answer" not in str(refusal):  # a NAS that this machine's load slows
                    raise
                await deferLater(self._reactor, 1.0)
                continue
            return

    async def _check(self) -> None:
        """Nothing is under way: the master must know all that was acknowledged."""
        wrong = ["broken: no master for a long time"]
        for _ in range(CHECKS):
            try:
                report = await self._lanes[0].status()
            except UserError:
                pass  # it is just being killed
            else:
                if report.node == report.master:
                    wrong = self._promises.broken({job.job: job.state.value for job in report.jobs})
                    if not wrong:
                        self._say(f"checked in term {report.term}")
                        return
            await deferLater(self._reactor, 1.0)
        raise UserError("; ".join(wrong))


def _renamed(submit: Submit, job: JobId, request: int) -> Submit:
    return evolve(submit, job=job, request=request)


# --- the killing ---------------------------------------------------------------------------------


def free_port() -> int:
    """A port that nobody has now; nodes keep theirs over restarts, so that clients find them."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Nursery(LocalCluster):
    """A `LocalCluster` whose nodes are forked from a process that has imported everything: a node
    begins in a tenth of the time, so the same hour has more kills in it."""

    def _launch(self, arguments: Sequence[str], log: BinaryIO) -> "Child":
        return Child(self.command(*arguments)[2:], log.name)


class Child:
    """A forked node, as `subprocess.Popen` shows it."""

    _context = multiprocessing.get_context("forkserver")
    _context.set_forkserver_preload(["nanoboost.cli.main", "twisted.scripts.twistd", "__main__"])

    def __init__(self, command: Sequence[str], log: str) -> None:
        self._process = self._context.Process(target=be_a_node, args=(command, log))
        self._process.start()

    def poll(self) -> int | None:
        """The exit status, if it has ended."""
        return self._process.exitcode

    def kill(self) -> None:
        """`kill -9`."""
        self._process.kill()

    def wait(self) -> None:
        """Wait for its end."""
        self._process.join()


def be_a_node(command: Sequence[str], log: str) -> None:
    """The process of a node; never returns."""
    from nanoboost.cli.main import main as nanoboost

    output = os.open(log, os.O_WRONLY | os.O_APPEND)
    for descriptor in (1, 2):
        os.dup2(output, descriptor)
    sys.argv = list(command)
    nanoboost()


class Soak:
    """Three nodes and a client, until so many kills have been, or so much time has passed."""

    def __init__(self, directory: Path, profile: str, seed: int) -> None:
        self._directory = directory
        self._rng = random.Random(seed)
        self._listen = {name: f"127.0.0.1:{free_port()}" for name in NAMES}
        self._cluster = Nursery(directory, profile=profile, slots=0)
        self._reader = Reader([self._cluster.state(name) for name in NAMES])
        self.journals = Journals()
        self.promises = Promises()
        self.kills = 0
        self.wrong: list[str] = []

    def run(self, kills: int, duration_s: float) -> None:
        """Kill and start again; what is `wrong` afterwards should be nothing."""
        with self._cluster as cluster:
            for name in NAMES:
                self._start([name])
            cluster.wait_for_voters(3)
            answers = self._directory / "answers"
            answers.touch()
            client = subprocess.Popen(
                [sys.executable, __file__, "--client", str(self._directory), *self._listen.values()]
            )
            try:
                with answers.open() as lines:
                    self._await_answer(lines, client)
                    self._kill_for_long(kills, duration_s, lines, client)
            finally:
                client.kill()
                client.wait()
            with answers.open() as lines:
                self.promises = Promises()
                self._hear(lines)
            self.wrong += self._missing()
            cluster.pause(RIPE_S)
        self._judge()

    def _start(self, names: Sequence[str]) -> None:
        self._cluster.start_together({name: [f"--listen={self._listen[name]}"] for name in names})

    def _hear(self, lines: TextIO) -> None:
        """Read what the client has written since the last time."""
        for line in lines:
            self.promises.hear(line.rstrip("\n"))

    def _kill_for_long(
        self, kills: int, duration_s: float, lines: TextIO, client: subprocess.Popen[bytes]
    ) -> None:
        cluster, rng = self._cluster, self._rng
        began = told = time.monotonic()
        while self.kills < kills and time.monotonic() < began + duration_s:
            victims = rng.sample(NAMES, k=min(rng.choice(VICTIMS), kills - self.kills))
            dead = [name for name in NAMES if not cluster.is_alive(name)]
            if dead or client.poll() is not None:
                self.wrong += [f"{name} ended by itself: {cluster.log_tail(name)}" for name in dead]
                self.wrong += ["the client has ended"] if client.poll() is not None else []
                return
            for name in victims:
                cluster.kill(name)
            cluster.pause(rng.uniform(0.0, 0.5))
            self._start(victims)
            self.kills += len(victims)
            if rng.random() >= RUTHLESS:
                self._await_answer(lines, client)
            cluster.pause(rng.uniform(0.0, 1.0))
            self._hear(lines)
            self.journals.feed(self._reader.read(time.monotonic() - RIPE_S))
            if self.journals.broken:
                return
            if time.monotonic() > told + TOLD_EVERY_S or self.kills == kills:
                told = time.monotonic()
                print(
                    f"{told - began:7.1f} s {self.kills:5d} kills, {self.promises.count} answers, "
                    f"{self.promises.checks} checks, {self.journals.records} records",
                    flush=True,
                )

    def _judge(self) -> None:
        """Nobody runs any more: the rest of the records, and the disks."""
        journals = self.journals
        journals.feed(self._reader.read())
        if not (journals.broken or self.wrong):
            journals.rest()
            for name in NAMES:
                journals.disk(self._cluster.state(name), name, self._cluster.nas)
        self.wrong += journals.broken

    def _await_answer(self, lines: TextIO, client: subprocess.Popen[bytes]) -> None:
        """Let it go on: nodes are to be killed while proposals flow.  Raises `UserError`."""
        self._hear(lines)
        count = self.promises.count

        def has_come() -> bool:
            self._hear(lines)
            return self.promises.count > count or client.poll() is not None

        self._cluster.wait(has_come, "an answer", SETTLE_S)

    def _missing(self) -> list[str]:
        """The answers that are not true any more, or what the nodes say instead of telling."""
        wrong = ["no master at the end"]

        def is_whole() -> bool:
            nonlocal wrong
            found = jobs_at(self._cluster, self._listen["one"])
            wrong = wrong if found is None else self.promises.broken(found)
            return not wrong

        try:
            self._cluster.wait(is_whole, "all to be there", SETTLE_S)
        except UserError:
            return wrong
        return []


def jobs_at(cluster: LocalCluster, address: str) -> dict[str, str] | None:
    """The state of each job, as the master tells; None while nobody does."""
    asked = subprocess.run(
        cluster.command(
            "status", "--json", f"--node={address}", f"--credential={cluster.credential}"
        ),
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.returncode:
        return None
    report = json.loads(asked.stdout)
    return {job["job"]: job["state"] for job in report["jobs"]}


def main() -> int:
    """Soak, and tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--duration", type=float, default=float("inf"), help="seconds at most")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--profile", default="lan")
    parser.add_argument("--directory", type=Path, help="where to make the state directories")
    parser.add_argument("--client", nargs="*", default=(), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        directory, *texts = options.client
        addresses = [tap.parse_address(text) for text in texts]
        tap.react(lambda reactor: Client(reactor, Path(directory), addresses).run())
        return 0
    directory = Path(tempfile.mkdtemp(prefix="nanoboost-soak-", dir=options.directory))
    soak = Soak(directory, options.profile, options.seed)
    try:
        soak.run(options.kills, options.duration)
    except UserError as error:
        soak.wrong.append(str(error))
    for line in soak.wrong:
        print(line)
    for line in told(soak.journals):
        print(line)
    counts = f"{soak.kills} kills, {soak.promises.count} answers, {soak.promises.checks} checks"
    print(f"{counts}: {len(soak.wrong)} broken")
    if soak.wrong or not soak.promises.count:
        print(f"the nodes' directories are kept: {directory}")
        return 1
    shutil.rmtree(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
