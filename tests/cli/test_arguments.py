"""What the user types: parameters, addresses, names of jobs; wrong ones get one line."""

import subprocess
import sys

import pytest

from nanoboost.cli.finding import graph_params, one_job
from nanoboost.cli.run import new_job_id
from nanoboost.config import DEFAULT_PORT
from nanoboost.errors import UserError
from nanoboost.ids import JOB_ID, Address, JobId, NodeId
from nanoboost.tap import parse_address
from nanoboost.wire.messages import JobState, JobSummary, StatusReport


def status(*jobs: str) -> StatusReport:
    summaries = tuple(JobSummary(JobId(job), "Film", JobState.DONE, 1, 1) for job in jobs)
    return StatusReport(1, "c" * 16, NodeId("1" * 16), NodeId(""), 1, 0, "/nas", (), summaries)


def test_parameters_are_written_in_two_ways() -> None:
    arguments = ["--video", "a.mkv", "--crf=30", "--dry-run=", "--text=a=b"]
    expected = {"video": "a.mkv", "crf": "30", "dry_run": "", "text": "a=b"}
    assert graph_params(arguments) == expected


@pytest.mark.parametrize(
    ("arguments", "word"),
    [(["video"], "--name value"), (["--video"], "no value"), (["--a=1", "--a", "2"], "twice")],
)
def test_wrong_parameters_are_told(arguments: list[str], word: str) -> None:
    with pytest.raises(UserError, match=word):
        graph_params(arguments)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("pi", Address("pi", DEFAULT_PORT)),
        ("pi:80", Address("pi", 80)),
        ("[::1]:80", Address("::1", 80)),
        ("::1", Address("::1", DEFAULT_PORT)),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", ":80", "pi:http", "pi:70000"])
def test_wrong_addresses_are_told(text: str) -> None:
    with pytest.raises(UserError, match="HOST:PORT"):
        parse_address(text)


def test_a_job_is_found_by_the_beginning_of_its_id_or_as_the_last() -> None:
    report = status("film-1a", "film-2b")
    assert one_job(report, "film-2") == "film-2b"
    assert one_job(report, "last") == "film-2b"
    with pytest.raises(UserError, match="film-1a, film-2b"):
        one_job(report, "film")
    with pytest.raises(UserError, match="no job 'cake'"):
        one_job(report, "cake")
    with pytest.raises(UserError, match="none"):
        one_job(status(), "last")


@pytest.mark.parametrize("graph", ["VideoCompression", "A", "naps", "X_1", "Ünïcode", "_"])
def test_job_ids_are_readable_and_legal(graph: str) -> None:
    made = new_job_id(graph)
    assert JOB_ID.fullmatch(made), made
    assert new_job_id(graph) != made


def test_a_job_id_is_the_graph_s_name_in_words() -> None:
    assert new_job_id("VideoCompression").startswith("video-compression-")


def test_what_is_wrong_before_a_verb_waits_for_anything_is_one_line_too() -> None:
    program = (
        "from nanoboost.cli.finding import needed_address\n"
        "from nanoboost.cli.main import run_in_reactor\n"
        "run_in_reactor(lambda reactor: needed_address(None, '/nowhere'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("nanoboost: no node runs here")


def test_a_bug_in_a_verb_is_shown_and_does_not_hang() -> None:
    program = (
        "from nanoboost.cli.main import run_in_reactor\n"
        "async def work(reactor): raise AssertionError('a bug')\n"
        "run_in_reactor(work)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    assert "a bug" in done.stdout + done.stderr
