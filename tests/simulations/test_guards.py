"""The guards: the lint bites and finds nothing, the real world is out of reach during a run.

(What the poisoned reactor and the audit hook do to each single escape is in `test_kernel.py`.)
"""

import ast
from pathlib import Path

import pytest

from tests.simulations.lint import complaints

ROOT = Path(__file__).resolve().parents[2]

REAL_WORLD = (
    "nanoboost/world/",
    "nanoboost/tap.py",
    "nanoboost/cli/",
    "nanoboost/net/credential.py",
    "nanoboost/agent/child.py",
    "nanoboost/agent/attempt.py",
    "nanoboost/agent/benchmark.py",
    "nanoboost/nas/files.py",
    "nanoboost/nas/walk.py",
    "nanoboost/nas/attempts.py",
    "nanoboost/nas/publish.py",
    "nanoboost/nas/nashelper.py",
    "simulations/kernel/guard.py",
)
"""The real runtime, the command line, programs that are processes of their own; and the guard."""

CLIENTS = ("nanoboost/cli/run.py", "nanoboost/cli/cluster.py")
"""The simulated client is made of these."""

BY_ID = "id() differs from process to process"
ALLOWED = {
    "nanoboost/cli/run.py": {  # before it submits
        "secrets.token_hex is of the real world",
        "tempfile.TemporaryDirectory is of the real world",
        "socket.gethostname is of the real world",
    },
    "nanoboost/freeze.py": {BY_ID},  # one object of the user's graph is one task; never an order
    "simulations/command/cli.py": {
        "time.process_time is of the real world",  # what a sweep has cost, for people
        "time.monotonic is of the real world",
    },
    "simulations/gossip_table.py": {"time.perf_counter is of the real world"},
    "simulations/command/sweep.py": {  # the second process
        "subprocess.run is of the real world",
        "subprocess.PIPE is of the real world",
        "tempfile.TemporaryDirectory is of the real world",
    },
    "simulations/net/reactor.py": {BY_ID},  # in the order in which they were added
    "simulations/stage/scenario.py": {
        "time.process_time is of the real world"
    },  # what a run has cost
}


def linted() -> list[str]:
    files = [*(ROOT / "nanoboost").rglob("*.py"), *(ROOT / "simulations").rglob("*.py")]
    names = sorted(str(path.relative_to(ROOT)) for path in files)
    return [name for name in names if name in CLIENTS or not name.startswith(REAL_WORLD)]


@pytest.mark.parametrize("name", linted())
def test_nothing_gets_around_the_runtime_and_no_order_is_left_to_chance(name: str) -> None:
    found = complaints(ast.parse((ROOT / name).read_text()))
    allowed = ALLOWED.get(name, set())
    assert [str(each) for each in found if each.text not in allowed] == []
    assert allowed <= {each.text for each in found}, "what is allowed is needed"


@pytest.mark.parametrize(
    "wrong",
    [
        "import time\ntime.time()",
        "from time import monotonic\nmonotonic()",
        "import datetime\ndatetime.datetime.now()",
        "from datetime import datetime as now\nnow.utcnow()",
        "import random\nrandom.shuffle([])",
        "import random\nrandom.Random()",
        "import os\nkey = os.urandom(8)",
        "import os\ncall(os.urandom)",
        "import secrets\nsecrets.token_bytes()",
        "from uuid import uuid4\nuuid4()",
        "import tempfile\ntempfile.mkdtemp()",
        "import socket\nsocket.socket()",
        "import threading\nthreading.Thread(target=print)",
        "import subprocess\nsubprocess.run([])",
        "from twisted.internet import reactor\nreactor.run()",
        "from twisted.internet.threads import deferToThread\ndeferToThread(print)",
        "from twisted.internet import task\ntask.cooperate(iter(()))",
        "from twisted.internet.utils import getProcessOutput\ngetProcessOutput('')",
        "from twisted.internet.task import LoopingCall\nloop = LoopingCall(print)\nloop.start(1)",
        "from twisted.application.internet import ClientService\nClientService(end, factory)",
        "from twisted.internet.ssl import wrapClientTLS\nwrapClientTLS(a, b)",
        "from twisted.application import internet\ninternet.TimerService(1, print)",
        "for each in {1, 2}: say(each)",
        "for each in set(found): say(each)",
        "found: set[int] = f()\nfor each in found: say(each)",
        "def f(found: frozenset[int]):\n    return [each for each in found]",
        "class A:\n    def f(self):\n        self.x: set[int] = f()\n        return list(self.x)",
        "class A:\n    x: set[int] = field(factory=set)\na = tuple(b.x)",
        "def f() -> set[int]: ...\nsay(*f())",
        "class A:\n    @property\n    def live(self) -> 'set[str]': ...\nlist(a.live)",
        "a = {1} | other\nb = {each: 1 for each in a}",
        "a = {1}\n', '.join(a)",
        "a = {1}\na.pop()",
        "a = {1}\nmin(a, key=f)",
        "a = {1}\nnext(iter(a))",
        "first = [each for each in a.union(b)]",
        "order = sorted(found, key=lambda each: hash(each))",
        "known = {id(each): each for each in found}",
    ],
)
def test_control_a_broken_rule_is_seen(wrong: str) -> None:
    assert complaints(ast.parse(wrong))


@pytest.mark.parametrize(
    "right",
    [
        "def f(now, clock): return clock.seconds() - now",
        "import random\nrandom.Random('7/link')",
        "def f(rng: 'random.Random') -> float: return rng.random()",
        "from twisted.internet.task import LoopingCall\nl = LoopingCall(f)\nl.clock = reactor",
        "from twisted.application.internet import ClientService\nClientService(a, b, clock=c)",
        "a = {1}\nfor each in sorted(a): say(each)",
        "a = {1}\nif 1 in a and len(a): say(sum(each for each in a), max(a), any(f(e) for e in a))",
        "a = {1}\nb = {each + 1 for each in a}\nc = {2, *a}",
        "for each in {1: 2}: say(each)",
        "a = [1]\na.pop()",
    ],
)
def test_control_what_is_right_is_let_be(right: str) -> None:
    assert complaints(ast.parse(right)) == []
