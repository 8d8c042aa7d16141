"""`python -m simulations.journals`: the journals of real nodes, held against the invariants."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

from nanoboost.consensus.chronicle import Facts
from nanoboost.consensus.messages import DURABLE
from nanoboost.identity import NODE_ID_KEY
from nanoboost.ids import JobId, NodeId
from nanoboost.wire.messages import JobState
from nanoboost.wire.records import RECORDS, JobEnded
from nanoboost.world.journal import JOURNAL, RAFT_JOURNAL, RaftJournal
from nanoboost.world.store import read_pairs
from simulations.calm import SCENARIO as CALM
from simulations.journals import judged, told
from simulations.stage.scenario import run
from tests.consensus.cluster import Cluster
from tests.consensus.known_bugs import MUTANTS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    """Three nodes that have written their journals, and one of them its disk; one was started
    anew meanwhile."""
    clock = Clock()
    journals: dict[NodeId, RaftJournal] = {}

    def write(now: float, name: NodeId, facts: Facts) -> None:
        if name not in journals:
            (tmp_path / name).mkdir()
            journals[name] = RaftJournal(str(tmp_path / name), name, clock)
        clock.advance(max(0.0, now - clock.seconds()))
        journals[name](facts)

    cluster = Cluster(3, journal=write)
    cluster.become(list(cluster.nodes))
    for number in range(5):
        cluster.commit(RECORDS.encode(JobEnded(JobId(f"job-{number}"), JobState.DONE, "")))
    again = list(cluster.nodes)[1]
    cluster.crash(again)
    cluster.commit(RECORDS.encode(JobEnded(JobId("job-5"), JobState.DONE, "")))
    cluster.start(again)
    cluster.run(2.0)
    keep_disk(tmp_path / again, cluster, again)
    return cluster


def keep_disk(directory: Path, cluster: Cluster, name: NodeId) -> None:
    disk = cluster.nodes[name].disk
    pairs: dict[bytes, bytes] = {NODE_ID_KEY: name.encode()}
    pairs[b"raft/term"] = DURABLE.encode(disk.hard_state)
    for index, entry in disk.entries.items():
        pairs[b"raft/log/" + index.to_bytes(8, "big")] = DURABLE.encode(entry)
    assert read_pairs(str(directory / "node.db"), b"") == []  # makes the database
    with closing(sqlite3.connect(directory / "node.db")) as connection:
        connection.executemany("INSERT INTO pairs (key, value) VALUES (?, ?)", pairs.items())
        connection.commit()


def change(path: Path, number: int, **facts: Any) -> None:
    """Another record in the place of the one with that number that has these facts."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    found = [line for line in lines if all(name in line for name in facts)][number]
    found.update(facts)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_right_journals_pass_and_what_cannot_be_seen_is_said(
    cluster: Cluster, tmp_path: Path
) -> None:
    journals, disks = judged([tmp_path], rested=True)
    assert journals.broken == []
    assert len(journals.raft.nodes) == 3
    assert "entries" in next(line for line in disks if list(cluster.nodes)[1] in line)
    text = "\n".join(told(journals))
    assert "I4  checked" in text
    assert "not visible in journals: dependencies" in text
    assert not journals.raft.skipped


def test_what_one_node_has_otherwise_is_found(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / list(cluster.nodes)[2] / RAFT_JOURNAL
    states = [line for line in map(json.loads, path.read_text().splitlines()) if "states" in line]
    index, digest = states[-1]["states"][0]
    change(path, -1, states=[[index, digest ^ 1]])
    journals, _ = judged([tmp_path])
    (broken,) = journals.broken
    assert "I8" in broken


def test_a_disk_that_lost_something_is_found(cluster: Cluster, tmp_path: Path) -> None:
    database = tmp_path / list(cluster.nodes)[1] / "node.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("DELETE FROM pairs WHERE key = (SELECT max(key) FROM pairs "
                           "WHERE key < x'726166742f6c6f6730')")  # fmt: skip
        connection.commit()
    journals, _ = judged([tmp_path])
    (broken,) = journals.broken
    assert "I7" in broken
    assert "starts without what was durable" in broken


def test_a_damaged_disk_is_found(cluster: Cluster, tmp_path: Path) -> None:
    again = list(cluster.nodes)[1]
    (tmp_path / again / "node.db").write_bytes(b"The film is cut into chunks. " * 100)
    journals, (line,) = judged([tmp_path / again])
    assert "is damaged" in line
    journals.disk(tmp_path / again, again, None)
    assert "is damaged" in journals.broken[0]


def test_a_node_without_records_is_missed(cluster: Cluster, tmp_path: Path) -> None:
    journals, _ = judged([tmp_path / name for name in list(cluster.nodes)[:2]])
    assert journals.broken == []
    assert journals.raft.skipped["I6"]


def test_clocks_that_differ_are_noticed(cluster: Cluster, tmp_path: Path) -> None:
    for number, name in enumerate(cluster.nodes):
        line = {"monotonic": 1.0, "time": 1000.0 * number, "at": name, "event": "listening"}
        (tmp_path / name / JOURNAL).write_text(json.dumps(line) + "\n")
    journals, _ = judged([tmp_path])
    assert not journals.raft.is_ordered
    assert journals.broken == []


@pytest.mark.usefixtures("cluster")
def test_the_command_tells_and_fails_if_an_invariant_is_broken(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "simulations.journals", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, "I14  checked" in done.stdout) == (0, True), done.stderr
    nowhere = [*command[:-1], str(tmp_path / "nowhere")]
    done = subprocess.run(nowhere, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.endswith("give a node's state directory\n")
    assert len(done.stderr.splitlines()) == 1
    change(next(tmp_path.glob(f"*/{RAFT_JOURNAL}")), -1, commit=10**6)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "BROKEN" in done.stdout
    assert "I6" in done.stdout


def test_the_judge_of_the_simulator_looks_at_the_same_records() -> None:
    """A core that applies before its disk has it: mutant 11."""
    with MUTANTS[10].apply():
        violation = run(CALM, 1, until_s=3.0).stage.judge.violation
    assert violation is not None
    assert violation.code == "I6"
