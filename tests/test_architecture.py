"""Hold the house: the floors, the ban list of the cores, the words and the sizes.

Each rule has a control below that breaks it on purpose, so that the rule is known to bite.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "nanoboost"

FLOOR = {
    **dict.fromkeys(("ids", "errors", "core", "config"), 0),
    **dict.fromkeys(("wire", "runtime"), 1),
    **dict.fromkeys(("plan", "frontier", "nas", "net", "world"), 2),
    **dict.fromkeys(
        ("params", "template", "fields", "nano", "freeze", "graph", "code", "tools"), 2
    ),
    **dict.fromkeys(("gossip", "consensus", "master", "agent"), 3),
    **dict.fromkeys(("node", "front", "identity", "whereabouts"), 4),
    **dict.fromkeys(("tap", "cli"), 5),
}
STRANGERS = {"gossip", "consensus", "master", "agent"}
"""Rooms that must not know one another: each could be published alone."""

SHELLS = {
    "agent": {"service", "executor", "child", "attempt", "inflight"},
    "consensus": {"service", "store", "names"},
    "gossip": {"service", "seal", "discovery", "peers"},
    "master": {"service", "listener"},
}
"""The modules of floor 3 that may meet the world; all others there are cores."""

BANNED_IN_CORES = {
    "asyncio", "datetime", "os", "random", "secrets", "select", "socket", "subprocess",
    "threading", "time", "twisted", "uuid",
}  # fmt: skip
ONLY_A_TYPE = {"random"}  # `random.Random` as the type of an argument

WORDS = re.compile(r"(Manager|Handler|Engine|Processor|Helper|Utils?)$")
LINES_MAX = 400
FUNCTION_LINES_MAX = 60
GLOBAL_REACTOR_ALLOWED = {"tap"}
PRINT_ALLOWED = {"tap", "cli"}


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py"))


def parts(path: Path) -> tuple[str, ...]:
    relative = path.relative_to(PACKAGE).with_suffix("").parts
    return relative[:-1] if relative[-1] == "__init__" else relative


def room(path: Path) -> str:
    return (parts(path) or ("__init__",))[0]


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "no relative imports"
            yield node.lineno, node.module or ""


def is_core(path: Path) -> bool:
    found = parts(path)
    return len(found) > 1 and found[0] in SHELLS and found[1] not in SHELLS[found[0]]


def wrong_imports(here: str, core: bool, tree: ast.AST) -> list[str]:
    """What the floors and the ban list say against a module of room `here`."""
    complaints = []
    for line, name in imports(tree):
        target = name.split(".")
        if target[0] == "nanoboost" and len(target) > 1:
            there = target[1]
            if FLOOR[there] > FLOOR[here]:
                complaints.append(f"line {line}: {here} looks up to {there}")
            if there != here and {here, there} <= STRANGERS:
                complaints.append(f"line {line}: {here} and {there} are strangers")
            if core and there in SHELLS and target[-1] in SHELLS[there]:
                complaints.append(f"line {line}: a core imports the shell {name}")
            if core and there in ("net", "world"):
                complaints.append(f"line {line}: a core imports {name}")
        if core and target[0] in BANNED_IN_CORES - ONLY_A_TYPE:
            complaints.append(f"line {line}: a core imports {name}")
    if core:
        complaints += [f"line {line}: a core draws from {use}" for line, use in global_random(tree)]
    return complaints


def global_random(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id == "random" and node.attr != "Random":
                yield node.lineno, f"random.{node.attr}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: ".".join(parts(path)) or "nanoboost")
def test_imports_point_downwards_and_cores_meet_no_world(path: Path) -> None:
    if room(path) == "__init__":
        return
    tree = ast.parse(path.read_text())
    assert wrong_imports(room(path), is_core(path), tree) == []


def test_every_module_has_a_floor() -> None:
    assert {room(path) for path in modules()} - {"__init__"} == set(FLOOR)


def test_only_the_tap_meets_the_global_reactor() -> None:
    found = {
        room(path)
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
        if node.module == "twisted.internet" and any(each.name == "reactor" for each in node.names)
    }
    assert found <= GLOBAL_REACTOR_ALLOWED


def test_only_the_command_line_prints() -> None:
    found = {
        room(path)
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        if node.func.id == "print"
    }
    assert found <= PRINT_ALLOWED


@pytest.mark.parametrize("path", modules(), ids=lambda path: ".".join(parts(path)) or "nanoboost")
def test_modules_are_one_idea_and_functions_fit_a_screen(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    assert len(text.splitlines()) <= LINES_MAX
    if text.strip():
        assert ast.get_docstring(tree), "a module opens with what it is"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= FUNCTION_LINES_MAX, f"{node.name} has {length} lines"
        if isinstance(node, ast.ClassDef):
            assert not WORDS.search(node.name), f"{node.name}: say what it is"


def test_nothing_framework_calls_is_a_coroutine() -> None:
    """Twisted 22.4 (Debian 12) silently never awaits a coroutine that one of its hooks returns."""
    hooks = {"startService", "stopService", "connectionMade", "connectionLost", "dataReceived"}
    found = [
        f"{path.name}:{node.name}"
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.AsyncFunctionDef) and node.name in hooks
    ]
    assert found == []


@pytest.mark.parametrize(
    ("here", "core", "line"),
    [
        ("gossip", True, "import time"),
        ("gossip", True, "from twisted.internet import defer"),
        ("gossip", False, "from nanoboost.consensus import raft"),
        ("consensus", False, "from nanoboost.node import compose"),
        ("consensus", True, "from nanoboost.consensus.service import Consensus"),
        ("master", True, "from nanoboost.net.pump import Pump"),
        ("wire", False, "from nanoboost.net import mesh"),
        ("gossip", True, "import random\nrandom.random()"),
    ],
)
def test_control_a_broken_rule_is_seen(here: str, core: bool, line: str) -> None:
    assert wrong_imports(here, core, ast.parse(line))
