"""Wrong input gets one clear line and a status that is not 0; nothing is lost, nothing hangs."""

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from nanoboost.cli.local import LocalCluster
from nanoboost.net.credential import create

pytestmark = pytest.mark.slow

GRAPH = """
from nanoboost import Input, Nano, NanoGraph, Needs, Output, Param

class Copy(Nano):
    text = Input()
    copy = Output("copies/{text.name}")
    times = Param(int, default=1, min=1)

    def run(self):
        self.copy.write_text(self.text.read_text() * self.times)

class Copying(NanoGraph):
    text = Param(str)
    times = Param(int, default=1, min=1)

    def build(self):
        return Copy(text=self.text, times=self.times)
"""


def nanoboost(*arguments: str, **environment: str) -> tuple[int, str]:
    """Run the command line; return its status and all that it printed."""
    done = subprocess.run(
        LocalCluster.command(*arguments),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
    )
    return done.returncode, done.stdout + done.stderr


def assert_refused(result: tuple[int, str], *words: str) -> None:
    status, output = result
    assert status != 0, output
    assert "Traceback" not in output
    for word in words:
        assert word in output


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    with LocalCluster(tmp_path / "cluster") as cluster:
        yield cluster


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    path = tmp_path / "copying.py"
    path.write_text(GRAPH)
    return path


def up(cluster: LocalCluster, **options: str) -> tuple[int, str]:
    chosen = {
        "name": "x",
        "state": str(cluster.directory / "x"),
        "nas": str(cluster.nas),
        "listen": "127.0.0.1:0",
        "profile": "local",
        "credential": str(cluster.credential),
        **options,
    }
    return nanoboost("up", *(f"--{name}={value}" for name, value in chosen.items()))


def run(cluster: LocalCluster, spec: str, *arguments: str) -> tuple[int, str]:
    """Run a graph on a node inside the command."""
    return nanoboost(
        "run",
        spec,
        f"--nas={cluster.nas}",
        f"--credential={cluster.credential}",
        f"--state={cluster.directory / 'none'}",
        *arguments,
    )


# --- the NAS ---------------------------------------------------------------------------------


def test_a_nas_that_is_missing_is_refused(cluster: LocalCluster) -> None:
    assert_refused(up(cluster, nas="/does/not/exist"), "/does/not/exist")


def test_a_nas_that_is_not_mounted_is_refused(cluster: LocalCluster, tmp_path: Path) -> None:
    (tmp_path / "mount").mkdir()
    result = up(cluster, nas=str(tmp_path / "mount"))
    assert_refused(result, "mounted", "nanoboost init --nas")


def test_the_nas_of_another_cluster_is_refused(cluster: LocalCluster, tmp_path: Path) -> None:
    other = LocalCluster(tmp_path / "other")
    assert_refused(up(cluster, nas=str(other.nas)), "cluster")


def test_a_nas_that_is_a_file_is_refused(cluster: LocalCluster, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert_refused(up(cluster, nas=str(tmp_path / "file")), "file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_nas_that_is_not_writable_is_refused(cluster: LocalCluster) -> None:
    for directory in (cluster.nas, cluster.nas / ".nanoboost"):
        directory.chmod(0o500)
    result = up(cluster)
    for directory in (cluster.nas, cluster.nas / ".nanoboost"):
        directory.chmod(0o700)
    assert_refused(result, "writ")


def test_no_nas_at_all_is_refused(cluster: LocalCluster) -> None:
    assert_refused(up(cluster, nas=""), "--nas")


# --- the node --------------------------------------------------------------------------------


def test_a_port_in_use_is_refused(cluster: LocalCluster) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert_refused(up(cluster, listen=f"127.0.0.1:{port}"), str(port), "in use")


def test_a_state_directory_in_use_is_refused(cluster: LocalCluster) -> None:
    cluster.start("one")
    result = up(cluster, state=str(cluster.state("one")))
    assert_refused(result, "in use", str(cluster.pid("one")))
    assert cluster.master() == "one" or cluster.records("one"), "the running node lives"


def test_a_state_directory_of_another_cluster_is_refused(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    with LocalCluster(tmp_path / "other") as other:
        other.start("one")
        other.kill("one")
        assert_refused(up(cluster, state=str(other.state("one"))), "cluster")


def test_no_credential_is_refused(cluster: LocalCluster) -> None:
    assert_refused(up(cluster, credential="/no/such.pem"), "/no/such.pem", "nanoboost init")


def test_a_credential_that_others_can_read_is_refused(cluster: LocalCluster) -> None:
    cluster.credential.chmod(0o644)
    assert_refused(up(cluster), "chmod 600")


def test_another_clusters_credential_is_refused_by_the_node(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    address = cluster.start("one")
    create(str(tmp_path / "foreign.pem"))
    result = nanoboost("status", f"--node={address}", f"--credential={tmp_path / 'foreign.pem'}")
    assert_refused(result, "credential")


def test_a_wrong_option_names_the_right_ones(cluster: LocalCluster) -> None:
    assert_refused(up(cluster, profile="fast"), "lan", "pi", "slow")
    assert_refused(up(cluster, slots="many"), "slots")
    assert_refused(up(cluster, listen="127.0.0.1:99999"), "99999")


def test_a_complaint_about_options_is_one_line_on_the_error_output(cluster: LocalCluster) -> None:
    done = subprocess.run(
        LocalCluster.command("up", "--nas=/does/not/exist", f"--credential={cluster.credential}"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1, done.stderr


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_the_help_of_up_shows_our_options_and_no_others(option: str) -> None:
    status, output = nanoboost("up", option)
    assert status == 0
    assert output.startswith("Usage: nanoboost up [options]")
    assert "--nas=" in output
    assert "--pidfile" not in output


def test_a_cluster_that_cannot_be_reached_has_a_status_of_its_own(cluster: LocalCluster) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    status, output = nanoboost(
        "status", f"--node=127.0.0.1:{port}", f"--credential={cluster.credential}"
    )
    assert status == 3
    assert_refused((status, output), "nobody listens")


def test_a_job_that_is_not_there_is_told(cluster: LocalCluster) -> None:
    address = cluster.start("one")
    where = f"--node={address}", f"--credential={cluster.credential}"
    for verb in (("logs", "film", "Nap-0001"), ("cancel", "film"), ("status", "film")):
        status, output = nanoboost(*verb, *where)
        assert (status, output) == (2, "nanoboost: no job 'film'; there is: none\n")


def test_a_node_that_was_killed_is_not_asked(cluster: LocalCluster, graph: Path) -> None:
    cluster.start("one")
    cluster.kill("one")
    assert (cluster.state("one") / "address").exists()
    (cluster.nas / "a.txt").write_text("a")
    status, output = run(cluster, str(graph), "--text", "a.txt", f"--state={cluster.state('one')}")
    assert status == 0, output


def test_garbage_on_both_ports_does_not_hurt_the_node(cluster: LocalCluster) -> None:
    address = cluster.start("one")
    for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 4096, os.urandom(4096)):
        with socket.create_connection((address.host, address.port)) as tcp:
            tcp.sendall(garbage)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.sendto(garbage[:1400], (address.host, address.port))
    status, output = nanoboost(
        "status", f"--node={address}", f"--credential={cluster.credential}", "--json"
    )
    assert status == 0, output
    assert "Traceback" not in (cluster.directory / "one.log").read_text()


# --- the graph -------------------------------------------------------------------------------


def test_a_file_that_cannot_be_imported_is_refused(cluster: LocalCluster, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import nonsense_that_is_not_there\n")
    result = run(cluster, str(tmp_path / "broken.py"))
    assert_refused(result, "broken.py", "nonsense_that_is_not_there")


def test_a_file_that_is_not_there_is_refused(cluster: LocalCluster) -> None:
    assert_refused(run(cluster, "/no/such/graph.py"), "/no/such/graph.py")


def test_a_file_without_a_graph_is_refused(cluster: LocalCluster, tmp_path: Path) -> None:
    (tmp_path / "empty.py").write_text("x = 1\n")
    assert_refused(run(cluster, str(tmp_path / "empty.py")), "NanoGraph")


def test_a_file_with_several_graphs_lists_them(cluster: LocalCluster, graph: Path) -> None:
    graph.write_text(GRAPH + "\nclass Another(Copying):\n    pass\n")
    assert_refused(run(cluster, str(graph), "--text", "a"), "Copying", "Another")


def test_a_parameter_of_the_wrong_type_is_refused(cluster: LocalCluster, graph: Path) -> None:
    (cluster.nas / "a.txt").write_text("a")
    result = run(cluster, str(graph), "--text", "a.txt", "--times", "abc")
    assert_refused(result, "times", "abc", "whole number")


def test_parameters_before_the_file_are_told(cluster: LocalCluster, graph: Path) -> None:
    assert_refused(nanoboost("run", "--text", "a.txt", str(graph)), "nanoboost run FILE")


def test_an_unknown_parameter_names_the_known_ones(cluster: LocalCluster, graph: Path) -> None:
    assert_refused(run(cluster, str(graph), "--txt", "a.txt"), "txt", "text")


def test_a_source_that_does_not_exist_is_refused(cluster: LocalCluster, graph: Path) -> None:
    assert_refused(run(cluster, str(graph), "--text", "films/a.mkv"), "films/a.mkv", "NAS")


def test_a_failed_task_shows_its_exception_and_its_log(cluster: LocalCluster, graph: Path) -> None:
    graph.write_text(
        GRAPH.replace(
            "self.copy.write_text",
            'print("just before"); raise ValueError("no ink"); self.copy.write_text',
        )
    )
    (cluster.nas / "a.txt").write_text("a")
    status, output = run(cluster, str(graph), "--text", "a.txt")
    assert status == 1
    assert "ValueError: no ink" in output
    assert "just before" in output


def test_without_a_cluster_the_job_runs_inside_the_command(
    cluster: LocalCluster, graph: Path
) -> None:
    (cluster.nas / "a.txt").write_text("a")
    status, output = run(cluster, str(graph), "--text", "a.txt", "--times", "3")
    assert status == 0, output
    assert (cluster.nas / "copies" / "a.txt").read_text() == "aaa"


# --- a tool that is missing ------------------------------------------------------------------

NEEDY = GRAPH.replace(
    "class Copy(Nano):", 'class Copy(Nano):\n    needs = Needs(tools=("no-such-tool",))'
)


def test_a_tool_that_no_node_has_is_told(cluster: LocalCluster, graph: Path) -> None:
    graph.write_text(NEEDY)
    (cluster.nas / "a.txt").write_text("a")
    cluster.start("one")
    job = cluster.run(str(graph), "--text", "a.txt", at="one")
    assert job.stdout is not None
    told = next(line for line in job.stdout if "no-such-tool" in line)
    job.kill()
    job.wait()
    assert "one" in told


def test_a_node_without_the_tool_takes_no_such_task(
    cluster: LocalCluster, graph: Path, tmp_path: Path
) -> None:
    graph.write_text(NEEDY)
    for number in range(4):
        (cluster.nas / f"{number}.txt").write_text(str(number))
    cluster.start("one")
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "no-such-tool").write_text("#!/bin/sh\n")
    (tools / "no-such-tool").chmod(0o755)
    path = os.environ["PATH"]
    os.environ["PATH"] = f"{tools}:{path}"
    try:
        cluster.start("two")
    finally:
        os.environ["PATH"] = path
    job = cluster.run(str(graph), "--text", "0.txt", at="one")
    output = job.communicate(timeout=60)[0]
    assert job.returncode == 0, output
    assert cluster.records("two", "ended")[-1]["outcome"] == "DONE"
