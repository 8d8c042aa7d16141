"""Is anything lost that was acknowledged?  `python benchmarks/soak.py --kills 1000`

Three real nodes; one or two at a time, chosen at random, are killed (`kill -9`) and started anew,
while a client submits jobs and cancels the older ones, and writes down each answer as it comes.
**Every job that was acknowledged must be there at the end, in the state acknowledged last** (of
those that have ended, the latest that the registry remembers), and a job to be cancelled must still
be known.  The exit status is 1 if one is missing.
"""

import argparse
import json
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

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

NAMES = ("one", "two", "three")
NAPS = Path(__file__).with_name("naps.py")
RUNNING_MAX = 50
"""Older jobs are cancelled, so that a long soak does not fill the registry."""
REMEMBERED = 200
"""Of the cancelled ones: a little less than the registry keeps."""
SETTLE_S = 60.0


# --- the client, a process of its own ------------------------------------------------------------


async def be_the_client(reactor: Any, directory: Path, addresses: list[Address]) -> None:
    """Submit and cancel for ever; one line for each wish and for each answer."""
    security = PinnedTls(load(str(directory / "cluster.pem")), reactor)
    submit = prepare(Order(str(NAPS), {"width": "3"}, 0), directory / "nas")
    running: deque[JobId] = deque()
    number = 0
    with (directory / "answers").open("a", buffering=1) as answers:
        while True:
            cluster = Cluster(reactor, security, addresses)
            try:
                while True:
                    job = JobId(f"soak-{number:08d}")
                    await cluster.ask(partial(_renamed, submit, job), Submitted)
                    print("submitted", job, file=answers)
                    number += 1
                    running.append(job)
                    if len(running) > RUNNING_MAX:
                        oldest = running[0]
                        print("wanted", oldest, file=answers)
                        await cluster.ask(partial(Cancel, job=oldest), Cancelled)
                        print("cancelled", oldest, file=answers)
                        running.popleft()
            except Unreachable:
                pass  # ask again: all questions are idempotent
            except UserError as error:
                print("refused", error, file=answers)
                return
            finally:
                cluster.close()


def _renamed(submit: Submit, job: JobId, request: int) -> Submit:
    return evolve(submit, job=job, request=request)


# --- the killing ---------------------------------------------------------------------------------


def free_port() -> int:
    """A port that nobody has now; nodes keep theirs over restarts, so that clients find them."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def soak(directory: Path, kills: int, duration_s: float, seed: int) -> list[str]:
    """Kill and start again; return what is wrong, which should be nothing."""
    rng = random.Random(seed)
    ports = {name: free_port() for name in NAMES}

    def start(cluster: LocalCluster, name: str) -> None:
        cluster.start(name, f"--listen=127.0.0.1:{ports[name]}")

    with LocalCluster(directory, slots=0) as cluster:
        for name in NAMES:
            start(cluster, name)
        cluster.wait_for_voters(3)
        arguments = [f"127.0.0.1:{port}" for port in ports.values()]
        client = subprocess.Popen(
            [sys.executable, __file__, "--client", str(directory), *arguments]
        )
        try:
            answers = directory / "answers"
            cluster.wait(lambda: answers.exists() and answers.stat().st_size, "an answer", 30.0)
            end_at, killed = time.monotonic() + duration_s, 0
            while killed < kills and time.monotonic() < end_at and client.poll() is None:
                victims = rng.sample(NAMES, k=rng.choice((1, 1, 2)))
                for name in victims:
                    cluster.kill(name)
                cluster.pause(rng.uniform(0.0, 0.5))
                for name in victims:
                    start(cluster, name)
                cluster.pause(rng.uniform(0.0, 1.5))
                killed += len(victims)
                told = answers.read_text().count("submitted")
                print(f"{killed:5d} kills, {told} jobs acknowledged", flush=True)
        finally:
            client.kill()
            client.wait()
        found = cluster.wait(lambda: jobs_at(cluster, ports["one"]), "a master", SETTLE_S)
        return missing(answers.read_text().splitlines(), found)


def jobs_at(cluster: LocalCluster, port: int) -> dict[str, str]:
    """The state of each job, as the master tells; empty while there is none."""
    asked = subprocess.run(
        cluster.command(
            "status",
            "--json",
            f"--node=127.0.0.1:{port}",
            f"--credential={cluster.credential}",
        ),
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.returncode:
        return {}
    report = json.loads(asked.stdout)
    return {job["job"]: job["state"] for job in report["jobs"]}


def missing(answers: list[str], found: dict[str, str]) -> list[str]:
    """The answers that are not true any more."""
    promised: dict[str, tuple[str, ...]] = {}
    wrong = []
    for line in answers:
        kind, _, job = line.partition(" ")
        if kind == "submitted":
            promised[job] = ("running",)
        elif kind == "wanted":
            promised[job] = ("running", "cancelled")
        elif kind == "cancelled":
            promised[job] = ("cancelled",)
        else:
            wrong.append(line)
    ended = [job for job, states in promised.items() if "cancelled" in states]
    for job in ended[:-REMEMBERED]:
        del promised[job]
    wrong += [
        f"{job} was acknowledged as {' or '.join(states)} and is {found.get(job, 'lost')}"
        for job, states in promised.items()
        if found.get(job) not in states
    ]
    return wrong


def main() -> int:
    """Soak, and tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--duration", type=float, default=float("inf"), help="seconds at most")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--client", nargs="*", default=(), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        directory, *texts = options.client
        addresses = [tap.parse_address(text) for text in texts]
        tap.react(lambda reactor: be_the_client(reactor, Path(directory), addresses))
        return 0
    with tempfile.TemporaryDirectory(prefix="nanoboost-soak-") as made:
        wrong = soak(Path(made), options.kills, options.duration, options.seed)
        answers = (Path(made) / "answers").read_text()
    for line in wrong:
        print(line)
    print(f"{answers.count(chr(10))} answers, {len(wrong)} of them broken")
    return 1 if wrong or "submitted" not in answers else 0


if __name__ == "__main__":
    sys.exit(main())
