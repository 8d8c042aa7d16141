"""The file of a graph: which graph of it is meant, and every way in which a file is wrong."""

from pathlib import Path

import pytest

from nanoboost import NanoGraph
from nanoboost.errors import GraphError
from nanoboost.graph import graph_file, load_graph

GRAPH = """
from nanoboost import Nano, NanoGraph, Output

class Make(Nano):
    made = Output("made")
    def run(self):
        self.made.touch()

class First(NanoGraph):
    def build(self):
        return Make()
"""
SECOND = "class Second(First):\n    pass\n"


def loaded(tmp_path: Path, text: str, suffix: str = "") -> type[NanoGraph]:
    path = tmp_path / "film.py"
    path.write_text(text)
    return load_graph(f"{path}{suffix}")


def test_a_single_graph_is_found_and_several_can_be_chosen_from(tmp_path: Path) -> None:
    assert loaded(tmp_path, GRAPH).__name__ == "First"
    assert loaded(tmp_path, GRAPH + SECOND, ":Second").__name__ == "Second"
    assert graph_file(f"{tmp_path}/film.py:Second") == tmp_path / "film.py"


@pytest.mark.parametrize(
    ("text", "suffix", "words"),
    [
        ("x = 1", "", "film.py has no NanoGraph"),
        ("from nanoboost import NanoGraph", "", "film.py has no NanoGraph"),
        (GRAPH + SECOND, "", "film.py has several: First, Second; say"),
        (GRAPH, ":Frist", "film.py has no NanoGraph 'Frist': did you mean 'First'?"),
        (GRAPH, ":Make", "film.py has no NanoGraph 'Make'"),
        ("import nonsense_here", "", "No module named 'nonsense_here' (film.py, line 1)"),
        ("x = 1\nx = = 2", "", "film.py: SyntaxError: invalid syntax (film.py, line 2)"),
        ("\nimport json\njson.loads('{')", "", "(film.py, line 3)"),
        ("import sys\nsys.exit('bye')", "", "film.py cannot be imported: it exits with bye"),
        ("x = '\0'", "", "film.py: "),
        (GRAPH.replace('"made"', '"{x}"'), "", "Make.made: '{x}': no field 'x'"),
        (GRAPH.replace("def run", "async def run"), "", "Make.run is async"),
    ],
)
def test_a_wrong_file_is_told_in_one_line(
    tmp_path: Path, text: str, suffix: str, words: str
) -> None:
    with pytest.raises(GraphError) as caught:
        loaded(tmp_path, text, suffix)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "film.txt").touch()
    for name, words in (
        ("no.py", "there is no file"),
        ("no.py:Graph", "there is no file"),
        ("", "is a directory"),
        ("film.txt", "is no Python file"),
    ):
        with pytest.raises(GraphError, match=words):
            load_graph(str(tmp_path / name))


def test_a_file_is_read_anew_each_time(tmp_path: Path) -> None:
    assert loaded(tmp_path, GRAPH).__name__ == "First"
    assert loaded(tmp_path, GRAPH.replace("First", "Later")).__name__ == "Later"
