"""The command line of a scenario: what it prints, what it exits with, what it leaves behind."""

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from attrs import evolve

from simulations.command import cli
from simulations.command.cli import Play, parser_for
from simulations.command.findings import Finding
from simulations.command.sweep import Verdict, judged
from simulations.faults import Plan
from simulations.partition import SCENARIO
from simulations.report.swept import Swept
from simulations.usage import INVARIANT, LIVENESS, NEVER_HAPPENED, NOT_DETERMINISTIC, USAGE
from tests.simulations.planted import PLANTED

ROOT = Path(__file__).resolve().parents[2]


def options(*arguments: str) -> argparse.Namespace:
    found = parser_for(SCENARIO).parse_args(list(arguments))
    found.seed = 1 if found.seed is None else found.seed
    return found


def play(*arguments: str) -> Play:
    return Play(SCENARIO, options(*arguments), ["simulations.partition"])


def bug(name: str) -> int:
    """The place of a planted bug."""
    return next(place for place, each in enumerate(PLANTED) if name in each.name)


def test_one_seed_is_told_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    assert play("--seed", "7").once(None) == 0
    told = capsys.readouterr().out
    for part in ("partition · seed 7", "trace ", "  n0 ", "fault", "checked", "liveness", "PASSED"):
        assert part in told
    assert "replay" not in told


def test_the_log_of_some_nodes(capsys: pytest.CaptureFixture[str]) -> None:
    assert play("--seed", "7", "--until", "4", "--log", "n1").once(None) == 0
    log = capsys.readouterr().out.split("\npartition · ")[0].splitlines()
    assert len(log) > 3
    assert {line.split()[1] for line in log if "s  n" in line[:16]} == {"n1"}


def test_json_is_a_line_each_and_ends_with_the_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    assert play("--seed", "7", "--json").once(None) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0]["at_ns"] >= 0
    assert [line["event"] for line in lines].count("verdict") == 1
    assert lines[-1]["event"] == "verdict"
    assert lines[-1]["status"] == 0
    assert len(lines[-1]["trace"]) == 16


def test_a_drawing_shows_nodes_and_messages(tmp_path: Path) -> None:
    file = tmp_path / "run.svg"
    assert play("--seed", "7", "--svg", str(file)).once(None) == 0
    drawn = ElementTree.parse(file).getroot()
    texts = [each.text for each in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert {"n0", "n1", "n2", "client"} <= {*texts}
    lines = [*drawn.iter("{http://www.w3.org/2000/svg}line")]
    assert sum(each.get("class") == "message" for each in lines) > 3
    assert file.read_text() == _drawn_again(tmp_path), "the same run, the same file"


def _drawn_again(tmp_path: Path) -> str:
    file = tmp_path / "again.svg"
    play("--seed", "7", "--svg", str(file)).once(None)
    return file.read_text()


def test_a_failing_run_is_shrunk_saved_and_replayed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planted = PLANTED[bug("a minority counts")]
    with planted.apply():
        arguments = ("--seed", "0", "--out", str(tmp_path))
        assert play(*arguments).once(None) == INVARIANT
        told = capsys.readouterr().out
        (file,) = tmp_path.iterdir()
        assert re.search(r"shrunk   \d+ faults → \d in \d+ runs", told)
        assert f"--seed 0 --plan {file}" in told
        finding = Finding.load(file)
        assert judged(SCENARIO, finding.seed, finding.plan).code == finding.found.split()[0]
    assert finding.scenario == "partition"
    assert judged(SCENARIO, finding.seed, finding.plan).status == 0, "without the bug"


def test_what_does_not_come_is_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with PLANTED[bug("never dialled again")].apply():
        status = play("--seed", "0", "--no-shrink", "--out", str(tmp_path)).once(None)
    assert status == LIVENESS
    assert "FAILED   L" in capsys.readouterr().out
    assert [*tmp_path.iterdir()] == []


def test_a_sweep_plays_some_seeds_again_in_a_second_process(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert play("--seeds", "2", "-j", "2").sweep() == 0
    told = capsys.readouterr().out
    assert "2 seeds · 2 passed · 0 failed" in told
    assert "1 played again elsewhere: the same" in told
    assert "after the heal, p50/p95/p99" in told


@pytest.mark.slow
def test_the_same_plan_is_the_same_run_in_a_second_process(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "plan.json"
    plan = Plan(SCENARIO.plan(7).faults[-1:])
    file.write_text(plan.to_json())
    arguments = ("--seed", "7", "--plan", str(file), "--until", "6", "--twice")
    assert play(*arguments).once(plan) == 0
    assert "the same trace in a second process" in capsys.readouterr().out


@pytest.mark.slow
def test_a_sweep_says_where_two_processes_part() -> None:
    planted = PLANTED[bug("in the order of a set")]
    command = [sys.executable, "-m", "tests.simulations.planted", "--apply", str(planted.number)]
    done = subprocess.run(
        [*command, planted.scenario, "--seed", "0", "--seeds", "1", "--no-shrink"],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == NOT_DETERMINISTIC, done.stderr
    assert "NOT DETERMINISTIC: seeds [0]\n  line " in done.stdout
    assert "PYTHONHASHSEED=0" in done.stdout


def test_a_sweep_that_never_sees_its_mark_is_status_4(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "MARKS_NEED", 1)
    quiet = evolve(SCENARIO, faults=lambda draw, model: ())
    monkeypatch.setattr(cli, "recheck", lambda *_: ([], []))  # it would play the usual faults
    play = Play(quiet, options("--seeds", "1"), ["simulations.partition"])
    assert play.sweep() == NEVER_HAPPENED
    assert "NEVER HAPPENED: a new master" in capsys.readouterr().out


def test_the_text_of_a_sweep_names_kinds_first_seeds_and_shares() -> None:
    swept = Swept(SCENARIO, 10.0)
    for seed in range(10):
        code, status = ("F2", INVARIANT) if seed in (4, 6) else ("", 0)
        text = f"{code} nothing finished is lost: task {seed}" if code else ""
        happened = dict.fromkeys(SCENARIO.marks[:1], seed > 7)
        verdict = Verdict(seed, status, code, text, 60 * 10**9, "t", 5, 2.0, happened, {"L1": seed})
        swept.add(verdict)
    swept.end(20.0, [0], [])
    told = "\n".join(swept.told())
    assert "10 seeds · 8 passed · 2 failed · 10 s · 30 seeds/min/core · 150 node-s/s/core" in told
    assert "F2  2×, first with seed 4" in told
    assert f"{SCENARIO.marks[0]} 20 · NEVER: {SCENARIO.marks[1]} ✗" in told
    assert [each.seed for each in swept.first_of_each_kind()] == [4]
    assert swept.status == INVARIANT


@pytest.mark.parametrize(
    "wrong",
    [("--seed", "x"), ("--what",), ("--plan", "no/such/file"), ("--seeds", "2", "--plan", "f")],
)
def test_wrong_usage_is_status_64(
    wrong: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["partition", *wrong])
    with pytest.raises(SystemExit) as ended:
        cli.main(SCENARIO)
    assert ended.value.code == USAGE
    assert "usage: python -m simulations.partition" in capsys.readouterr().err


def test_a_plan_that_is_none_is_wrong_usage(tmp_path: Path) -> None:
    for text in ("{}", '[{"kind": "Flood", "at": 1, "lasts": 1}]', "nonsense"):
        file = tmp_path / "plan.json"
        file.write_text(text)
        with pytest.raises(ValueError, match=r"."):
            Finding.load(file)


def test_a_finding_survives_its_file(tmp_path: Path) -> None:
    finding = Finding("partition", 3, "F2 “lost” | again", SCENARIO.plan(3))
    finding.save(tmp_path / "deep" / "f.json")
    assert Finding.load(tmp_path / "deep" / "f.json") == finding
    bare = tmp_path / "plan.json"
    bare.write_text(Plan(()).to_json())
    assert Finding.load(bare) == Finding("", 0, "", Plan(()))


@pytest.mark.slow
def test_python_m_simulations_lists_them_all() -> None:
    command = [sys.executable, "-m", "simulations"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert all(len(line) <= 160 for line in told.splitlines())
    assert "python -m simulations.partition " in told
