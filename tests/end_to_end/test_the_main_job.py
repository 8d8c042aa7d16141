"""The promise, with real processes, sockets and signals: a film survives the loss of any machine.

Three nodes on loopback, a film of 60 s in 16 chunks.  What is checked is read from the nodes'
journals and from the film itself, never from the status that the cluster shows.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nanoboost.cli.demo import repeated_tasks
from nanoboost.cli.film import count_frames, has_audio, make_film
from nanoboost.cli.local import LocalCluster
from simulations.journals import judged

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "video_compression.py"
CHUNKS = 16
SECONDS = 60.0


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("films") / "film.mkv"
    make_film(path, None, SECONDS)
    return path


@pytest.fixture
def cluster(tmp_path: Path, film: Path) -> Iterator[LocalCluster]:
    with LocalCluster(tmp_path, profile="lan") as cluster:
        (cluster.nas / "films").mkdir()
        (cluster.nas / "films" / "film.mkv").write_bytes(film.read_bytes())
        cluster.start_all(("one", "two", "three"))
        cluster.wait_for_voters(3)
        yield cluster
    journals, _ = judged([tmp_path], cluster.nas)
    assert journals.broken == []
    assert journals.closed, "frontiers were held against their plans"


def compress(cluster: LocalCluster, at_half: Callable[[], None]) -> None:
    """Run the example; call `at_half` once, when half of the chunks are done."""
    job = cluster.run(str(EXAMPLE), "--video", "films/film.mkv", "--chunks", str(CHUNKS), at="one")
    called = False
    assert job.stdout is not None
    output = []
    for line in job.stdout:
        output.append(line)
        event: dict[str, Any] = json.loads(line)
        for each in event.get("classes", ()):
            if each["name"] == "Compress" and each["done"] * 2 >= each["total"] and not called:
                called = True
                at_half()
    assert job.wait() == 0, "".join(output[-5:])
    assert called


def started_after(cluster: LocalCluster, moment: float) -> set[int]:
    return {
        record["task"] for record in cluster.all_records("execute") if record["monotonic"] > moment
    }


def running_at(cluster: LocalCluster, moment: float, *, but: str) -> set[int]:
    """The tasks that ran at `moment` on nodes other than `but`."""
    running = set()
    for name in ("one", "two", "three"):
        if name != but:
            ended = {
                (each["task"], each["attempt"]): each["monotonic"]
                for each in cluster.records(name, "ended")
            }
            running |= {
                each["task"]
                for each in cluster.records(name, "started")
                if each["monotonic"]
                < moment
                < ended.get((each["task"], each["attempt"]), float("inf"))
            }
    return running


def assert_whole(cluster: LocalCluster, film: Path) -> None:
    (result,) = [path for path in cluster.nas.iterdir() if path.suffix in (".mkv", ".mp4")]
    assert count_frames(result) == count_frames(film)
    assert has_audio(result)
    assert repeated_tasks(cluster) == []


def test_the_master_is_killed_half_way(cluster: LocalCluster, film: Path) -> None:
    killed: list[tuple[str, float]] = []

    def kill_the_master() -> None:
        master = cluster.master()
        assert master is not None
        killed.append((master, cluster.kill(master)))

    compress(cluster, kill_the_master)
    ((master, moment),) = killed
    assert_whole(cluster, film)
    survived = running_at(cluster, moment, but=master)
    assert survived, "something ran on the other two when the master was killed"
    assert survived & started_after(cluster, moment) == set()


def test_an_agent_is_killed_half_way(cluster: LocalCluster, film: Path) -> None:
    def kill_an_agent() -> None:
        master = cluster.master()
        cluster.kill(next(name for name in cluster.names if name != master))

    compress(cluster, kill_an_agent)
    assert_whole(cluster, film)


def test_the_master_sleeps_for_ten_seconds_and_goes_on(cluster: LocalCluster, film: Path) -> None:
    def freeze_the_master() -> None:
        master = cluster.master()
        assert master is not None
        cluster.freeze(master)
        cluster.wait(lambda: cluster.master() not in (None, master), "another master", 10.0)
        cluster.pause(10.0)
        cluster.thaw(master)

    compress(cluster, freeze_the_master)
    assert_whole(cluster, film)
