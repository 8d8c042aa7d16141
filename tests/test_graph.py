"""Graphs: what `build()` may return, how a plan is numbered, and every way in which it is wrong."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanoboost import Input, Nano, NanoGraph, Needs, Output, Param
from nanoboost.errors import GraphError, UserError
from nanoboost.graph import OPTIONS_OF_RUN
from nanoboost.plan import Plan, decode_plan, encode_plan, plan_digest
from tests.test_nano import Copy, Join, Split


class Step(Nano):
    """Reads what it is given, makes the path that it is given."""

    before = Input(many=True)
    path = Param(str)
    made = Output("{path}")

    def run(self) -> None:
        self.made.write_text("".join(each.read_text() for each in self.before))


class Sized(Nano):
    needs = Needs(tools=("t",), labels=("l",), cores=3)
    retries = 7
    timeout = "2h"
    text = Input()
    factor = Param(float, default=1.0)
    made = Output("sized/{text.name}")

    def run(self) -> None:
        self.made.touch()

    def cost(self) -> float:
        return self.factor * self.text.stat().st_size


class Any_(NanoGraph):
    """A graph whose `build` is given."""

    def __init__(self, build: Callable[[], Any]) -> None:
        super().__init__()
        self._build = build

    def build(self) -> Nano | Iterable[Nano]:
        built: Nano | Iterable[Nano] = self._build()
        return built


class Joining(NanoGraph):
    texts = Input(many=True)
    first = Input()
    times = Param(int, default=2)
    loud = Param(bool, default=False)
    names = Param(list[str], default=["x"])
    scale = Param(float, default=1.0)

    def build(self) -> Nano:
        parts = Split(text=self.first).parts
        copies = [Copy(text=text, times=self.times).copy for text in self.texts]
        return Join(parts=[*parts, *copies], words=self.names)


@pytest.fixture
def nas(tmp_path: Path) -> Path:
    (tmp_path / "films").mkdir()
    for name in ("a.txt", "b.txt", "films/Holiday.mkv"):
        (tmp_path / name).write_text(name)
    return tmp_path


def freeze(nas: Path, build: Callable[[], Any]) -> Plan:
    return Any_(build).freeze(nas)


def refusal(nas: Path, build: Callable[[], Any]) -> str:
    with pytest.raises(GraphError) as caught:
        freeze(nas, build)
    text = str(caught.value)
    assert "\n" not in text, "one line"
    return text


def step(path: str, *before: Nano | str, after: Any = ()) -> Step:
    files = [each.made if isinstance(each, Step) else each for each in before]
    return Step(before=files, path=path, after=after)


# --- the plan --------------------------------------------------------------------------------


def test_a_plan_is_numbered_topologically_and_travels(nas: Path) -> None:
    graph = Joining(texts=["a.txt", "b.txt"], first="a.txt")
    plan = graph.freeze(nas)
    names = [plan.name(number) for number in range(len(plan.tasks))]  # type: ignore[arg-type]
    assert names == ["Split-0000", "Copy-0000", "Copy-0001", "Join-0000"]
    assert plan.graph == "Joining"
    assert plan.results == (3,)
    (read,) = plan.tasks[3].inputs
    assert read.many
    assert [(ref.task, ref.path) for ref in read.files] == [
        (0, "parts/a.txt/00"),
        (0, "parts/a.txt/01"),
        (0, "parts/a.txt/02"),
        (1, "copies/a-02.txt"),
        (2, "copies/b-02.txt"),
    ]
    assert plan.tasks[1].inputs[0].files[0].task == -1
    assert plan.tasks[0].outputs[0].many
    assert plan.tasks[3].params == {"words": ["x"], "anything": None}
    data = encode_plan(plan)
    assert decode_plan(data, plan_digest(data)) == plan
    assert encode_plan(Joining(texts=["a.txt", "b.txt"], first="a.txt").freeze(nas)) == data


def test_a_class_says_what_it_needs_and_how_much_it_is(nas: Path) -> None:
    plan = freeze(nas, lambda: [Sized(text="a.txt"), Sized(text="films/Holiday.mkv", factor=2)])
    (cls,) = plan.classes
    assert (cls.tools, cls.labels, cls.cores) == (("t",), ("l",), 3)
    assert (cls.retries, cls.timeout_s) == (7, 7200.0)
    assert (cls.module, cls.qualname) == (Sized.__module__, "Sized")
    assert [task.size for task in plan.tasks] == [5.0, 34.0]
    assert plan.results == (0, 1)


def test_a_size_that_depends_on_what_is_not_there_is_told(nas: Path) -> None:
    text = refusal(nas, lambda: Sized(text=Copy(text="a.txt").copy))
    assert text.startswith("Sized.cost() ended with FileNotFoundError")
    assert "Sized.cost() returned -5" in refusal(nas, lambda: Sized(text="a.txt", factor=-1))


def test_after_orders_without_data(nas: Path) -> None:
    first, second = step("1"), step("2")
    plan = freeze(nas, lambda: [step("3", after=[second, first]), first])
    assert plan.tasks[2].after == (0, 1)
    assert plan.tasks[2].parents == (0, 1)
    assert freeze(nas, lambda: step("2", after=step("1"))).tasks[1].after == (0,)
    assert "after= takes Nanos, not a str" in refusal(nas, lambda: step("2", after=["1"]))


def test_what_takes_longest_to_the_end_has_the_smallest_numbers(nas: Path) -> None:
    def build() -> Nano:
        ways = [step(f"{n}-2", step(f"{n}-1", step(f"{n}-0"))) for n in range(3)]
        return step("end", step("short"), *ways)

    paths = [task.outputs[0].paths[0] for task in freeze(nas, build).tasks]
    assert paths == ["0-0", "1-0", "2-0", "0-1", "1-1", "2-1", "short", "0-2", "1-2", "2-2", "end"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 11), max_size=4), min_size=1, max_size=12))
def test_every_graph_without_a_cycle_freezes_parents_first(edges: list[list[int]]) -> None:
    made: list[Step] = []
    for number, before in enumerate(edges):
        made.append(step(str(number), *(made[each] for each in before if each < number)))
    plan = freeze(Path("/"), lambda: made)  # Plan itself refuses a parent that is not smaller
    number_of = {task.outputs[0].paths[0]: at for at, task in enumerate(plan.tasks)}
    assert sorted(number_of) == sorted(map(str, range(len(edges))))
    for number, before in enumerate(edges):
        wanted = {number_of[str(each)] for each in before if each < number}
        assert set(plan.tasks[number_of[str(number)]].parents) == wanted


def test_a_chain_deeper_than_any_recursion_freezes(nas: Path) -> None:
    def build() -> Nano:
        last = step("0")
        for number in range(1, 20_000):
            last = step(str(number), after=last)
        return last

    plan = freeze(nas, build)
    assert len(plan.tasks) == 20_000
    assert plan.tasks[-1].after == (19_998,)


def test_ten_thousand_tasks_freeze(nas: Path) -> None:
    plan = freeze(nas, lambda: step("end", *(step(f"n/{number:05d}") for number in range(10_000))))
    assert len(plan.tasks) == 10_001


# --- what cannot be run ----------------------------------------------------------------------


def test_a_cycle_is_told_by_its_shortest_way(nas: Path) -> None:
    def build() -> Nano:
        a, b, c, d = (step(name) for name in "abcd")
        a.after, b.after, c.after, d.after = [b], [c], [a, d], [c]
        return step("end", a)

    text = refusal(nas, build)
    assert "Step(c) -> Step(d) -> Step(c)" in text or "Step(d) -> Step(c) -> Step(d)" in text


def test_a_nano_that_waits_for_itself_is_told(nas: Path) -> None:
    def build() -> Nano:
        a = step("a")
        a.after.append(a)
        return a

    assert "a cycle: Step(a) -> Step(a)" in refusal(nas, build)


def test_a_cycle_behind_a_long_way_is_found(nas: Path) -> None:
    def build() -> Nano:
        row = [step("0")]
        for number in range(1, 3000):
            row.append(step(str(number), row[-1]))
        a, b = step("a", row[-1]), step("b")
        a.after, b.after = [b], [a]
        return step("end", b)

    assert "Step(b) -> Step(a) -> Step(b)" in refusal(nas, build)


def test_a_long_cycle_is_told_in_short(nas: Path) -> None:
    def build() -> Nano:
        row = [step(str(number)) for number in range(3000)]
        for one, next_one in zip(row, [*row[1:], row[0]], strict=True):
            one.after.append(next_one)
        return row[0]

    text = refusal(nas, build)
    assert "... 2993 more ..." in text
    assert len(text) < 300


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: [step("x"), step("x")], "Step makes 'x', and Step too"),
        (lambda: [step("x"), step("X")], "'x' and 'X', one file on some NAS"),
        (lambda: [step("\u00e4"), step("a\u0308")], "and Step too"),
        (lambda: [step("x"), step("x/y")], "makes the file 'x', and Step(x/y) makes 'x/y' below"),
        (lambda: [step("x/y/z"), step("X")], "below"),
        (lambda: step("a.txt", "a.txt"), "reads 'a.txt' from the NAS, where Step(a.txt) would"),
        (lambda: [step("m"), step("n", "m")], "give its output instead of the path"),
        (lambda: step("../x"), "Step.made: '../x' leaves the NAS"),
        (lambda: step(".nanoboost/x"), "own directory"),
        (lambda: Copy(text="c.txt"), "Copy reads 'c.txt', which no Nano makes and is not on the"),
        (lambda: Copy(text="A.txt"), "did you mean 'a.txt'?"),
        (lambda: Copy(text="films/holyday.mkv"), "did you mean 'films/Holiday.mkv'?"),
        (lambda: Copy(text="no/such"), "put it there, or correct the path"),
        (lambda: Copy(text="films"), "is a directory on the NAS"),
        (lambda: None, "Any_.build() returned None: return the Nano"),
        (list, "returned no Nano"),
        (lambda: "x", "returned a str"),
        (lambda: [step("x"), 3], "returned, among others, a int"),
        (lambda: Copy(text="a.txt").copy, "an output of Copy: return the Nano itself"),
        (lambda: Split(text="a.txt").parts, "an output of Split: return the Nano itself"),
        (lambda: 1 // 0, "Any_: ZeroDivisionError"),
        (lambda: Copy(text="a.txt").copy.read_text(), "AttributeError"),
    ],
)
def test_a_wrong_graph_is_told(nas: Path, build: Callable[[], Any], words: str) -> None:
    text = refusal(nas, build)
    assert words in text
    assert "None" not in text.replace("returned None", "")


def test_an_error_of_build_says_the_line(nas: Path) -> None:
    assert "(test_graph.py, line " in refusal(nas, lambda: 1 // 0)
    assert "(test_graph.py, line " in refusal(nas, lambda: Copy())


def test_a_class_that_no_other_machine_can_import_is_told(nas: Path) -> None:
    class Local(Step):
        pass

    text = refusal(nas, lambda: Local(before=[], path="x"))
    assert "Local cannot be imported on another machine" in text


def test_two_classes_of_one_name_are_told(nas: Path) -> None:
    other = type("Step", (Step,), {"__module__": "elsewhere"})
    text = refusal(nas, lambda: [step("x"), other(before=[], path="y")])
    assert "two Nanos are called Step (tests.test_graph, elsewhere)" in text


def test_a_graph_refuses_outputs_and_the_options_of_the_command() -> None:
    for line, words in (
        ("x = Output('x')", "outputs belong to Nanos"),
        ("nas = Param(str)", "--nas is an option of `nanoboost run`"),
        ("build = Param(str)", "that name is taken"),
    ):
        with pytest.raises(GraphError, match=words):
            exec(f"class Bad(NanoGraph):\n    {line}", dict(globals()))


def test_the_options_of_the_command_are_known() -> None:
    main = pytest.importorskip("nanoboost.cli.main")
    options = {each.name for each in main.run.params} - {"spec"}
    names = {option.lstrip("-") for each in main.run.params for option in each.opts}
    assert (options | names | {"help"}) - {"spec", "as_json"} == OPTIONS_OF_RUN


def test_a_graph_without_build_is_told() -> None:
    with pytest.raises(GraphError, match=r"Empty has no build\(\)"):
        type("Empty", (NanoGraph,), {})()


# --- the command line ------------------------------------------------------------------------


def test_parameters_are_read_from_text() -> None:
    graph = Joining.from_text(
        {
            "texts": "a.txt,b.txt",
            "first": "films/a.mkv",
            "times": "3",
            "loud": "yes",
            "names": "x,y",
            "scale": "1e3",
        }
    )
    assert [str(text) for text in graph.texts] == ["a.txt", "b.txt"]
    assert str(graph.first) == "films/a.mkv"
    assert (graph.times, graph.loud, graph.names) == (3, True, ["x", "y"])
    assert graph.scale == 1000.0


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({}, "Joining needs --texts and --first: say --texts VALUE"),
        ({"txts": "a"}, "Joining has no parameter '--txts': did you mean '--texts'?"),
        ({"times": "abc"}, "--times abc: 'abc' is not a whole number"),
        ({"times": "9" * 30}, "64-bit"),
        ({"times": "9" * 5000}, "is not a whole number"),
        ({"loud": "maybe"}, "'maybe' is not yes or no"),
        ({"scale": "nan"}, "is not a number"),
        ({"first": "/etc/passwd"}, "--first /etc/passwd: '/etc/passwd' is absolute"),
    ],
)
def test_wrong_text_is_told_with_the_option(params: dict[str, str], words: str) -> None:
    with pytest.raises(UserError) as caught:
        Joining.from_text(params)
    assert words in str(caught.value)
