"""One attempt in this process, on a real directory: every way in which it can end."""

import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from nanoboost.agent.attempt import PLANS_MAX, Workshop
from nanoboost.agent.messages import AttemptEnded, RunAttempt
from nanoboost.nas.layout import ID, log_path
from nanoboost.plan import Plan, decode_plan
from nanoboost.wire.messages import Outcome, Parent
from tests.agent.jobs import CLUSTER, FIRST, Job

Run = Callable[..., AttemptEnded]


@pytest.fixture(autouse=True)
def _process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What an attempt changes of its process is put back."""
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.setattr(tempfile, "tempdir", None)
    here = Path.cwd()
    yield
    os.chdir(here)


class Streams(ExitStack):
    """Standard output and error are what they are in a child: text over descriptors 1 and 2."""

    def __init__(self) -> None:
        super().__init__()
        for fd, redirect in ((1, redirect_stdout), (2, redirect_stderr)):
            stream = self.enter_context(
                os.fdopen(fd, "w", closefd=False, errors="backslashreplace")
            )
            self.enter_context(redirect(stream))


class Bench:
    """A workshop with a job."""

    def __init__(self, job: Job, scratch: Path) -> None:
        self.job = job
        self.swept = 0
        scratch.mkdir()
        self.workshop = Workshop(str(job.nas), CLUSTER, scratch, self._sweep)

    def _sweep(self) -> None:
        self.swept += 1

    def run(self, task: int = 0, n: int = 1) -> AttemptEnded:
        with Streams():
            return self.workshop.run(self.job.order(task, n))

    def log(self, *, finished: bool = False) -> str:
        return (self.job.nas / log_path(self.job.key(), finished=finished)).read_text()


@pytest.fixture
def bench(tmp_path: Path) -> Callable[..., Bench]:
    def make(*arguments: str, head: str = "", tools: tuple[str, ...] = ()) -> Bench:
        return Bench(Job(tmp_path, *arguments, head=head, tools=tools), tmp_path / "scratch")

    return make


Make = Callable[..., Bench]


def test_what_it_makes_is_committed_with_its_log(bench: Make) -> None:
    made = bench("print('hello')\nself.copy.write_text(self.text.read_text())")
    ended = made.run()
    assert ended == AttemptEnded(made.job.key(), Outcome.DONE, (), ended.cpu_s)
    assert ended.cpu_s > 0
    assert (made.job.made() / "out/copies/a.txt").read_text() == "ink"
    assert made.log(finished=True) == "hello\n"
    assert made.swept == 1


def test_a_parents_output_is_read_and_named(bench: Make) -> None:
    made = bench()
    made.run(0)
    ended = made.run(1)
    assert (ended.outcome, ended.read) == (Outcome.DONE, (Parent(made.job.key().task, FIRST),))
    assert (made.job.made(1) / "out/copies/b.txt").read_text() == "ink"


def test_an_exception_is_the_tasks_fault_and_told_in_one_line(bench: Make) -> None:
    made = bench("print('just before')\nraise ValueError('no ink\\nat all')")
    ended = made.run()
    assert ended.outcome is Outcome.FAILED
    assert ended.error == "ValueError: no ink (in copying.py, line 15)"
    lines = ended.tail.splitlines()
    assert lines[0] == "just before"
    assert lines[1] == "Traceback (most recent call last):"
    assert "copying.py" in lines[2], "the first frame is the user's"
    assert lines[-2:] == ["ValueError: no ink", "at all"]
    assert ended.tail.rstrip() == made.log().rstrip()
    assert made.swept == 1


def test_what_a_program_prints_is_in_the_log(bench: Make) -> None:
    made = bench("subprocess.run(['sh', '-c', 'echo out; echo err >&2; exit 3'], check=True)")
    ended = made.run()
    assert ended.error == "CalledProcessError: sh ended with status 3 (in copying.py, line 14)"
    assert ended.tail.splitlines()[:2] == ["out", "err"]


def test_the_tail_is_the_end_of_a_long_log_and_printable(bench: Make) -> None:
    made = bench("for n in range(1000): print(n, chr(27))\nos.write(1, b'\\xff')\nraise OSError")
    tail = made.run().tail.splitlines()
    assert len(tail) == 15
    assert tail[-1] == "OSError"
    assert "999 \N{REPLACEMENT CHARACTER}" in tail
    assert not any(chr(27) in line for line in tail)


@pytest.mark.parametrize(
    ("body", "outcome", "error"),
    [
        ("sys.exit(3)", Outcome.FAILED, "SystemExit: 3 (in copying.py, line 14)"),
        ("raise KeyboardInterrupt", Outcome.FAILED, "KeyboardInterrupt (in copying.py, line 14)"),
        ("raise MemoryError", Outcome.CRASHED, "MemoryError (in copying.py, line 14)"),
        ("open('/no/such')", Outcome.FAILED, "FileNotFoundError: [Errno 2] No such file or"),
        (f"raise OSError({errno.ENOSPC}, 'full')", Outcome.UNFIT, "OSError: [Errno 28] full"),
        ("raise ValueError('\\udc80')", Outcome.FAILED, "ValueError: \N{REPLACEMENT CHARACTER} ("),
        ("import no_such_module", Outcome.FAILED, "ModuleNotFoundError: No module named"),
        ("pass", Outcome.FAILED, "output copies/a.txt was not written"),
        ("self.copy.mkdir()", Outcome.FAILED, "output copies/a.txt is not a regular file"),
    ],
)
def test_whose_fault_it_is(bench: Make, body: str, outcome: Outcome, error: str) -> None:
    ended = bench(body).run()
    assert ended.outcome is outcome
    assert ended.error.startswith(error)
    assert ended.tail, "the log says it too"


def test_a_module_that_is_not_here_is_the_machines_fault(bench: Make) -> None:
    ended = bench(head="import no_such_module\n").run()
    assert ended.outcome is Outcome.UNFIT
    assert ended.error == "needs the module no_such_module, which is not installed here"


def test_a_module_that_fails_is_the_tasks_fault(bench: Make) -> None:
    ended = bench(head="1 / 0\n").run()
    assert ended.outcome is Outcome.FAILED
    assert ended.error == "ZeroDivisionError: division by zero (in copying.py, line 1)"


def test_a_tool_that_is_not_here_is_named_before_anything_is_made(bench: Make) -> None:
    made = bench(tools=("no-such-tool",))
    ended = made.run()
    assert ended.outcome is Outcome.UNFIT
    assert ended.error == "needs no-such-tool, which is not installed here"
    assert not made.job.made().parent.exists()


def test_a_missing_nas_is_the_machines_fault(bench: Make) -> None:
    made = bench()
    (made.job.nas / ID).unlink()
    ended = made.run()
    assert ended.outcome is Outcome.UNFIT
    assert "not mounted" in ended.error


def test_an_attempt_never_runs_twice_under_one_name(bench: Make) -> None:
    made = bench("raise ValueError")
    made.run()
    ended = made.run()
    assert ended.outcome is Outcome.UNFIT
    assert made.run(n=2).outcome is Outcome.FAILED


def test_a_damaged_input_is_not_the_tasks_fault(
    bench: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = bench()
    made.run(0)
    (made.job.made() / "out/copies/a.txt").write_text("blot")
    monkeypatch.setattr("nanoboost.nas.walk.WAIT_S", 0.0)
    monkeypatch.setattr("nanoboost.nas.attempts.input_path.__defaults__", (0.0,))
    ended = made.run(1)
    assert ended.outcome is Outcome.UNFIT
    assert ended.error in ended.tail


def test_an_order_that_names_no_winner_is_refused(bench: Make) -> None:
    made = bench()
    order = made.job.order(1)
    without = RunAttempt(order.key, order.plan, order.code, (), order.name)
    ended = made.workshop.run(without)
    assert ended.outcome is Outcome.UNFIT
    assert "task 0" in ended.error


def test_user_code_works_in_an_empty_directory_that_is_gone_afterwards(
    bench: Make, tmp_path: Path
) -> None:
    body = (
        "import tempfile\n"
        "assert not os.listdir('.')\n"
        "assert tempfile.gettempdir() == os.getcwd()\n"
        "open('left', 'w').close()\n"
        "self.copy.write_text(os.environ['NANOBOOST_TASK'])"
    )
    made = bench(body)
    for n in (1, 2):
        assert made.run(n=n).error == ""
    assert (made.job.made() / "out/copies/a.txt").read_text() == "Copy-0000"
    assert not (tmp_path / "scratch" / "work").exists()


def test_the_plan_and_the_code_are_read_once(bench: Make) -> None:
    made = bench()
    assert made.run(n=1).outcome is Outcome.DONE
    for directory in ("plans", "code"):
        for path in (made.job.nas / ".nanoboost" / directory).iterdir():
            path.unlink()
    assert made.run(n=2).outcome is Outcome.DONE


def test_plans_that_were_not_used_for_long_are_forgotten(
    bench: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def counted(data: bytes, digest: str) -> Plan:
        read.append(digest)
        return decode_plan(data, digest)

    monkeypatch.setattr("nanoboost.agent.attempt.decode_plan", counted)
    made = bench()
    plans = [made.job.deposit_plan(f"Graph{number}") for number in range(PLANS_MAX + 1)]
    for n, plan in enumerate([*plans, plans[-1], plans[0]], start=1):
        order = made.job.order(n=n)
        with Streams():
            ended = made.workshop.run(RunAttempt(order.key, plan, order.code, (), order.name))
        assert ended.outcome is Outcome.DONE
    assert read == [*plans, plans[0]]
