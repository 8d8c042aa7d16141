"""Bundles: the same files, the same bytes; and a child that loads exactly what was bundled."""

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from nanoboost.code import BUNDLE_BYTES_MAX, bundle, load_class
from nanoboost.errors import GraphError
from nanoboost.graph import load_graph

GRAPH = """
import json
import own.deep
import single
from nanoboost import Nano, NanoGraph, Output

class Make(Nano):
    made = Output("made")
    def run(self):
        self.made.write_text(f"{own.deep.WORD} {single.WORD} {json.dumps([1])}")

class Graph(NanoGraph):
    def build(self):
        return Make()
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    for name, text in {
        "film.py": GRAPH,
        "single.py": "import second\nWORD = second.WORD\n",
        "second.py": "WORD = 'two'\n",
        "unused.py": "raise RuntimeError\n",
        "json.py": "raise RuntimeError('not the one of Python')\n",
        "own/__init__.py": "",
        "own/deep/__init__.py": "from own.deep.word import WORD\n",
        "own/deep/word.py": "WORD = 'deep'\n",
        "own/data.txt": "data",
        "own/__pycache__/x.pyc": "",
        "own/.hidden": "",
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def names(data: bytes) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.namelist()


def test_a_bundle_has_the_file_and_the_local_modules_that_it_imports(project: Path) -> None:
    data, _ = bundle(project / "film.py")
    assert names(data) == [
        "__graph__/film.py",
        "own/__init__.py",
        "own/data.txt",
        "own/deep/__init__.py",
        "own/deep/word.py",
        "second.py",
        "single.py",
    ]


def test_the_same_files_give_the_same_bytes(project: Path) -> None:
    first = bundle(project / "film.py")
    for path in project.rglob("*.py"):
        path.write_bytes(path.read_bytes())
        path.chmod(0o755)
    assert bundle(project / "film.py") == first
    (project / "second.py").write_text("WORD = 'new'\n")
    assert bundle(project / "film.py")[1] != first[1]


def test_a_bundle_that_is_too_large_names_the_largest(project: Path) -> None:
    with open(project / "own" / "model.bin", "wb") as model:
        model.truncate(BUNDLE_BYTES_MAX + 1)
    with pytest.raises(GraphError, match=r"the largest: own/model\.bin"):
        bundle(project / "film.py")


def test_a_link_out_of_the_directory_does_not_travel(project: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (project / "own" / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(GraphError, match="own/link is a link out of"):
        bundle(project / "film.py")


CHILD = """
import sys
from pathlib import Path
from nanoboost.code import load_class
from nanoboost.nano import bind
from nanoboost.plan import PlanOutput, PlanTask
cls = load_class(Path(sys.argv[1]), "__graph__.film", "Make")
assert load_class(Path(sys.argv[1]), "__graph__.film", "Make") is cls
task = PlanTask(0, 0, {}, (), (PlanOutput("made", ("made",), False),), (), 0.0)
bind(cls, task, Path, lambda path: Path(sys.argv[2])).run()
loaded = set(sys.modules)
assert "film" not in loaded
heavy = {"twisted", "OpenSSL", "cryptography", "click", "rich"}
assert not {name.partition(".")[0] for name in loaded} & heavy
"""


def in_a_child(data: bytes, tmp_path: Path, text: str = CHILD) -> subprocess.CompletedProcess[str]:
    (tmp_path / "code.zip").write_bytes(data)
    return subprocess.run(
        [sys.executable, "-c", text, str(tmp_path / "code.zip"), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_child_runs_what_was_bundled_and_nothing_else(project: Path, tmp_path: Path) -> None:
    data, _ = bundle(project / "film.py")
    for path in sorted(project.rglob("*.py")):
        path.unlink()
    done = in_a_child(data, tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out").read_text() == "deep two [1]"


def test_a_traceback_in_a_child_shows_the_users_line(project: Path, tmp_path: Path) -> None:
    text = GRAPH.replace("self.made.write_text", "raise ValueError('no ink')  # ")
    (project / "film.py").write_text(text)
    data, _ = bundle(project / "film.py")
    hook = "import sys, traceback; sys.excepthook = traceback.print_exception\n"
    done = in_a_child(data, tmp_path, hook + CHILD)
    assert "ValueError: no ink" in done.stderr
    assert "__graph__/film.py" in done.stderr
    assert "raise ValueError('no ink')  #" in done.stderr, "the source line"


@pytest.mark.parametrize("name", ["random.py", "twisted.py", "my-film.py", "film.v2.py"])
def test_a_graphs_file_may_have_any_name(tmp_path: Path, name: str) -> None:
    import random

    text = GRAPH.replace("import own.deep\nimport single\n", "import random, twisted\n")
    (tmp_path / name).write_text(text)
    plan = load_graph(str(tmp_path / name)).from_text({}).freeze(tmp_path)
    data, digest = bundle(tmp_path / name)
    (tmp_path / f"{digest}.zip").write_bytes(data)
    cls = load_class(tmp_path / f"{digest}.zip", plan.classes[0].module, "Make")
    assert cls.__name__ == "Make"
    assert sys.modules["random"] is random
    assert random.random() < 1


def test_a_module_that_only_the_child_has_is_told(project: Path, tmp_path: Path) -> None:
    data, _ = bundle(project / "film.py")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "single.py").write_text("WORD = 'foreign'\n")
    place = f"import sys; sys.path.append({str(tmp_path / 'site')!r})\n"
    done = in_a_child(data, tmp_path, place + CHILD)
    assert "a module single is installed here" in done.stderr
    assert not (tmp_path / "out").exists()


def test_another_directory_brings_its_own_modules(project: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    graph = "import second\nfrom nanoboost import NanoGraph\nclass Graph(NanoGraph):\n    word = "
    for root, word in ((project, "two"), (other, "three")):
        (root / "second.py").write_text(f"WORD = {word!r}\n")
        (root / "words.py").write_text(f"{graph}second.WORD\n")
        found = load_graph(str(root / "words.py"))
        assert vars(found)["word"] == word
