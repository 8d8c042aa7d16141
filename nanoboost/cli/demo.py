"""`nanoboost demo`: the main job, told as it happens.

Three nodes on this machine, a film on the directory that they share, the master killed (`kill -9`)
half-way, and the whole film back: **frames counted, audio checked, nothing believed**.
"""

import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from nanoboost.cli.film import count_frames, has_audio, make_film
from nanoboost.cli.local import LocalCluster
from nanoboost.errors import UserError

NAMES = ("one", "two", "three")
EXAMPLE = "video_compression.py"


class Narrator:
    """Prints lines with the time since the beginning."""

    def __init__(self) -> None:
        self._begin = time.monotonic()

    def say(self, text: str) -> None:
        """Print one line."""
        click.echo(f"{time.monotonic() - self._begin:6.1f} s  {text}")


def demonstrate(film: Path | None, seconds: float, chunks: int, *, keep: bool) -> int:
    """Run the demonstration; return the exit status: 0 when all is as promised."""
    for number in (signal.SIGTERM, signal.SIGHUP):  # a closed terminal, too, ends all the processes
        signal.signal(number, lambda which, _frame: sys.exit(128 + which))
    tell = Narrator()
    with _directory(keep) as directory, LocalCluster(directory) as cluster:
        example = _example()
        source = cluster.nas / "films" / "film.mkv"
        source.parent.mkdir()
        tell.say("making the film" if film is None else f"looping {film.name}")
        make_film(source, film, seconds)
        frames = count_frames(source)
        tell.say(f"the film has {frames} frames in {source.stat().st_size / 1e6:.1f} MB")
        for name, address in zip(NAMES, cluster.start_all(NAMES), strict=True):
            tell.say(f"node {name} listens on {address}")
        cluster.wait_for_voters(3)
        tell.say("three voters: the cluster survives the loss of any one node")
        job = cluster.run(
            str(example), "--video", "films/film.mkv", "--chunks", str(chunks), at=NAMES[0]
        )
        killed, told = "", -1
        for event in _events(job.stdout):
            if event.get("event") == "failure":
                tell.say(f"{event['task']} failed: {event['error']}\n{event['tail']}")
            if event.get("event") == "note" and not killed:
                tell.say(event["text"])
            done, total = _count(event, "Compress")
            if not killed and total and done * 2 >= total:
                killed = str(cluster.master())
                tell.say(f"{done} of {total} chunks are done: kill -9 of {killed}, the master")
                killed_at = cluster.kill(killed)
                _tell_failover(cluster, tell, killed_at)
            elif total and done != told:
                told = done
                running = ", ".join(
                    f"{each['name']} on {', '.join(each['running'])}"
                    for each in event["classes"]
                    if each["running"]
                )
                tell.say(f"{done:2} of {total} chunks done; running: {running or 'nothing'}")
        if job.wait() != 0:
            raise UserError(f"the job failed; see {directory} (say --keep to keep it)")
        return _judge(cluster, tell, frames, killed)


def _tell_failover(cluster: LocalCluster, tell: Narrator, killed_at: float) -> None:
    def first_execute() -> Any:
        later = [each for each in cluster.all_records("execute") if each["monotonic"] > killed_at]
        return later[0] if later else None

    first = cluster.wait(first_execute, "a new master", 30.0)
    tell.say(
        f"{first['at']} is the master of term {first['term']} and started {first['name']} "
        f"{first['monotonic'] - killed_at:.2f} s after the kill"
    )


def _judge(cluster: LocalCluster, tell: Narrator, frames: int, killed: str) -> int:
    """Compare what came back with what was promised."""
    results = sorted(cluster.nas.glob("*.mkv")) + sorted(cluster.nas.glob("*.mp4"))
    if not results:
        raise UserError(f"no film came back to {cluster.nas}")
    found = count_frames(results[0])
    size = results[0].stat().st_size / 1e6
    tell.say(f"{results[0].name}: {found} frames of {frames}, {size:.1f} MB")
    promises = {
        "every frame is there": found == frames,
        "the audio is there": has_audio(results[0]),
        f"{killed} was killed half-way": bool(killed),
        "no finished task ran again": not repeated_tasks(cluster),
    }
    for promise, kept in promises.items():
        tell.say(f"{'✓' if kept else '✗'} {promise}")
    return 0 if all(promises.values()) else 1


def repeated_tasks(cluster: LocalCluster) -> list[str]:
    """The tasks that an agent started after a frontier with them in it was committed.

    (Not those that a master *said* should start: one that is stopped in the middle of a sentence
    finishes it when it goes on, and nobody obeys.)
    """
    finished_at: dict[tuple[str, int], float] = {}
    for record in cluster.all_records("finished"):
        finished_at.setdefault((record["job"], record["task"]), record["monotonic"])
    return [
        record["name"]
        for record in cluster.all_records("started")
        if record["monotonic"] > finished_at.get((record["job"], record["task"]), float("inf"))
    ]


def _events(lines: Any) -> Iterator[dict[str, Any]]:
    """The JSON lines of `nanoboost run --json`; anything else is an error's text."""
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:
            raise UserError(line.strip()) from None


def _count(event: dict[str, Any], name: str) -> tuple[int, int]:
    for each in event.get("classes", ()):
        if each["name"] == name:
            return each["done"], each["total"]
    return 0, 0


def _example() -> Path:
    """The example of the checkout; the demonstration belongs to it."""
    found = Path(__file__).resolve().parents[2] / "examples" / EXAMPLE
    if not found.exists():
        raise UserError(f"{EXAMPLE} is not beside this installation: run `make demo` in a checkout")
    return found


@contextmanager
def _directory(keep: bool) -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="nanoboost-demo-"))
    try:
        yield directory
    finally:
        if keep:
            click.echo(f"kept {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)
