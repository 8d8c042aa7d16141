"""A user's own job on a cluster of one's own: what is asked, what is answered, what is wrong."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import simulations
from nanoboost import Input, Nano, NanoGraph, Output
from nanoboost.errors import UserError
from nanoboost.plan import Plan as Job
from simulations import Cluster, kill, run
from simulations.fixture import nanosim as nanosim
from simulations.report.lanes import MASTER
from simulations.stage.jobs import film
from simulations.stage.model import HostModel
from simulations.usage import LIVENESS, USAGE
from simulations.whatif.ownjob import timed
from simulations.whatif.questions import main

ROOT = Path(__file__).resolve().parents[2]
SHED = """
profile = "lan"
[hosts.slow]
speed = 0.5
slots = 1
[hosts.a]
voter = true
slots = 2
[hosts.b]
voter = true
slots = 2
[hosts.c]
voter = true
slots = 2
[seconds]
Count = 2
"""


class Half(Nano):
    """Half a text."""

    text = Input()
    half = Output("half/{text.stem}.txt")

    def run(self) -> None:
        """Never called here."""
        raise AssertionError("tasks are not run in the simulated world")


class Halves(NanoGraph):
    """A few of them."""

    def build(self) -> list[Half]:
        """Six halves."""
        return [Half(text=f"t{number}.txt") for number in range(6)]


@pytest.fixture
def shed(tmp_path: Path) -> Path:
    for number in range(12):
        (tmp_path / f"t{number}.txt").write_text("some words")
    (tmp_path / "shed.toml").write_text(SHED)
    return tmp_path


def asked(shed: Path, *more: str) -> int:
    texts = ",".join(f"t{number}.txt" for number in range(12))
    graph = ROOT / "examples" / "wordcount.py"
    where = ("--cluster", str(shed / "shed.toml"), "--nas", str(shed), "--texts", texts)
    return main(["--graph", str(graph), *where, "--seeds", "1", *more])


def three() -> Cluster:
    return Cluster({name: HostModel(slots=1) for name in ("a", "b", "c")})


def a_job() -> Job:
    return film(6, size=1.5)


def test_the_table_tells_what_a_failure_costs(
    shed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert asked(shed, "--kill", "slow", "--at", "40%", "--timeline") == 0
    told = capsys.readouterr().out
    assert "WordCount: 13 tasks" in told
    assert "4 hosts, 7 slots, profile lan" in told
    assert "guessed: 1 s for a task of Sum;" in told
    assert "no failure                         1/1" in told
    assert "slow dies at 40 %                  1/1" in told
    assert told.count("# down") == 2, "a timeline each"


def test_the_loss_of_a_quorum_is_told_with_a_way_out(
    shed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert asked(shed, "--kill", "a,b", "--at", "2s", "--back", "10s") == LIVENESS
    told = capsys.readouterr().out
    (line,) = (line for line in told.splitlines() if line.startswith("  a + b die at 2 s"))
    assert "0/1" in line
    assert "never" in line
    assert "of 13 tasks were finished after" in told
    assert "… and come back 10s later" in told
    assert "a and b are 2 of 3 voters" in told
    assert "start slow and c first" in told


def test_each_host_alone(shed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert asked(shed, "--every-host") == 0
    told = capsys.readouterr().out
    for host in ("slow", "a", "b", "c"):
        assert f"{host} dies at 50 %" in told


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--kill", "d"), "there is no host d: a, b, c, slow"),
        (("--kill", "a", "--at", "soon"), "'soon' is no duration"),
        (("--kill", "a", "--at", "0%"), "0 % of the tasks"),
        (("--color", "red"), "has no parameter '--color'"),
    ],
)
def test_what_cannot_be_asked_is_one_line(
    shed: Path, more: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert asked(shed, *more) == USAGE
    told = capsys.readouterr().err
    assert said in told
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no hosts"),
        ("profile = 'fast'", "profile 'fast'"),
        ("[hosts.a]\nsped = 1", "hosts.a.sped is not known"),
        ("[hosts.a]\nspeed = -1", "speed = -1"),
        ("[hosts.a]\nspeed = 0", "hosts.a.speed is 0"),
        ("[hosts.'a b']", "host 'a b'"),
        ("hosts = 3", "no hosts"),
        ("nonsense", "Expected"),
        ("[hosts.a]\n[seconds]\nCount = '1'", "Count = '1'"),
    ],
)
def test_a_cluster_that_cannot_be_is_told(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "shed.toml"
    file.write_text(text)
    with pytest.raises(UserError, match=r"shed\.toml: ") as told:
        Cluster.load(file)
    assert said in str(told.value)


def test_the_example_can_be_read() -> None:
    cluster = Cluster.load(ROOT / "examples" / "shed.toml")
    assert [*cluster.hosts][:3] == ["nuc", "pi1", "pi3"], "who shall vote starts first"
    assert cluster.hosts["pi5"].slots == 2
    assert cluster.model().host("pi4").speed == 0.3


def test_seconds_of_unknown_classes_and_needs_that_nobody_meets_are_told() -> None:
    cluster = Cluster({"a": HostModel(slots=0)}, seconds={"Compres": 1.0})
    with pytest.raises(UserError, match="Film has no such class, but Split, Compress, Join"):
        timed(a_job(), cluster)
    with pytest.raises(UserError, match="no host can run Split: it needs 1 slots"):
        run(a_job(), cluster)


def test_a_run_says_what_was_lost_and_repeats_exactly() -> None:
    outcome, again = (run(a_job(), three(), [kill("b").at(0.5)], seed=3) for _ in range(2))
    assert outcome.finished
    assert outcome.rerun >= 1
    assert sum(outcome.lost_s.values()) > 0
    assert outcome.voters_lost == (("a", "b", "c"), ("b",))
    assert outcome.makespan_s == again.makespan_s
    assert MASTER in outcome.timeline()
    calm = run(a_job(), three(), seed=3)
    assert calm.rerun == 0
    assert calm.lost_s == {}
    assert outcome.makespan_s is not None
    assert calm.makespan_s is not None
    assert outcome.makespan_s > calm.makespan_s


def test_a_slow_host_is_slow() -> None:
    job = film(4, size=4.0)
    slow = Cluster({name: HostModel(slots=1, speed=0.25) for name in ("a", "b", "c")})
    fast, slowly = (run(job, each, seed=1).makespan_s for each in (three(), slow))
    assert fast is not None
    assert slowly is not None
    assert slowly > 2.5 * fast


def test_clusters_of_one_and_two_finish_too() -> None:
    for count in (1, 2):
        assert run(film(3), Cluster.pis(count), seed=1).finished


def test_the_fixture_plays_a_graph_of_ones_own(nanosim: Callable[..., Any], shed: Path) -> None:
    outcome = nanosim(Halves(), kill("pi3").at(0.5), seed=2, nas_dir=shed)
    assert outcome.finished
    assert outcome.deaths[0].hosts == ("pi3",)


def test_the_package_gives_users_these_names() -> None:
    assert [*map(callable, (simulations.Cluster, simulations.kill, simulations.run))] == [True] * 3
    with pytest.raises(AttributeError):
        _ = simulations.nothing
