"""A Nano's fields: what may be declared, given, and reached by a template; and `bind`."""

from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanoboost import Input, Nano, Needs, Output, Param
from nanoboost.errors import GraphError
from nanoboost.nano import bind, made_by, seconds
from nanoboost.plan import FileRef, PlanInput, PlanOutput, PlanTask
from nanoboost.template import check_output, check_source


class Copy(Nano):
    text = Input()
    times = Param(int, default=1, min=1, max=9)
    mode = Param(str, default="plain", choices=("plain", "loud"))
    copy = Output("copies/{text.stem}-{times:02d}{text.suffix}")

    def run(self) -> None:
        self.copy.write_text(self.text.read_text() * self.times)


class Split(Nano):
    needs = Needs(tools=("splitter",), labels={"b", "a"}, cores=2)
    text = Input()
    n = Param(int, default=3)
    parts = Output("parts/{text.name}/{i:02d}", many="n")

    def run(self) -> None:
        for number, part in enumerate(self.parts):
            part.write_text(str(number))


class Join(Nano):
    parts = Input(many=True)
    words = Param(list[str], default=[])
    anything = Param(dict, default=None)
    whole = Output("whole")

    def run(self) -> None:
        self.whole.write_text("".join(part.read_text() for part in self.parts))


def refusal(function: Any, *arguments: Any, **fields: Any) -> str:
    with pytest.raises(GraphError) as caught:
        function(*arguments, **fields)
    text = str(caught.value)
    assert "\n" not in text, "one line"
    return text


def define(body: str) -> type[Nano]:
    lines = "\n    ".join(["class Made(Nano):", *body.split("; ")])
    space: dict[str, Any] = {"Nano": Nano, "Input": Input, "Output": Output, "Param": Param}
    exec(f"{lines}\n", {**space, "Needs": Needs, "__name__": "users"}, space)
    made: type[Nano] = space["Made"]
    return made


# --- while the graph is built ----------------------------------------------------------------


def test_outputs_are_planned_paths_that_know_their_maker() -> None:
    copy = Copy(text="films/a.txt", times=4)
    assert str(copy.copy) == "copies/a-04.txt"
    (made,) = made_by(copy)["copy"]
    assert made.maker is copy
    assert made.parent.maker is None, "a path derived from an output is not an output"


def test_many_outputs_are_as_many_as_the_parameter_says() -> None:
    split = Split(text="a.txt")
    assert [str(part) for part in split.parts] == [f"parts/a.txt/0{i}" for i in range(3)]
    assert Split(text="a.txt", n=0).parts == []
    assert "n is -1" in refusal(Split, text="a.txt", n=-1)


def test_a_template_goes_on_from_another_nanos_output() -> None:
    assert str(Copy(text=Split(text="a.b.txt").parts[2]).copy) == "copies/02-01"


def test_defaults_are_not_shared() -> None:
    first, second = Join(parts=[]), Join(parts=[])
    first.words.append("x")
    assert second.words == []


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "Copy.text is missing"),
        ({"text": "a", "tmes": 2}, "Copy has no field 'tmes': did you mean 'times'?"),
        ({"text": "a", "copy": "b"}, "Copy has no field 'copy'"),
        ({"text": "a", "times": "3"}, "Copy.times: '3' is not a whole number"),
        ({"text": "a", "times": True}, "Copy.times: True is not a whole number"),
        ({"text": "a", "times": 0}, "Copy.times: 0 is too small: at least 1"),
        ({"text": "a", "times": 10}, "Copy.times: 10 is too large: at most 9"),
        ({"text": "a", "mode": "soft"}, "Copy.mode: 'soft' is not one of: plain, loud"),
        ({"text": ["a"]}, "Copy.text: a file is wanted, not a list"),
        ({"text": 3}, "Copy.text: a file is wanted, not a int"),
        ({"text": "/etc/passwd"}, "Copy.text: '/etc/passwd' is absolute"),
        ({"text": "../a"}, "Copy.text: '../a' leaves the NAS"),
        ({"text": ""}, "Copy.text: '' names no file"),
        ({"text": ".nanoboost/jobs/x"}, "NanoBoost's own"),
        ({"text": "a\udce4"}, "is not text at character 1"),
    ],
)
def test_a_wrong_value_is_told_with_class_and_field(fields: dict[str, Any], words: str) -> None:
    assert words in refusal(Copy, **fields)


def test_a_nano_in_place_of_its_output_is_told() -> None:
    assert "give its output .copy" in refusal(Copy, text=Copy(text="a"))
    assert "Join.parts" in refusal(Join, parts="a.txt")
    assert "write [...] around it" in refusal(Join, parts=Copy(text="a").copy)


def loop() -> list[Any]:
    made: list[Any] = []
    made.append(made)
    return made


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"f": test_defaults_are_not_shared}, "function cannot travel"),
        ({"x": {1, 2}}, "set cannot travel"),
        ({"x": float("nan")}, "finite"),
        ({"x": 1 << 70}, "64-bit"),
        ({1: "x"}, "keys must be text"),
        ({"x": loop()}, "too deep"),
        ({"x": "\ud800"}, "cannot travel"),
        ({"x": "y" * 300_000}, "put it into a file"),
        ("text", "is not a dict"),
        (lambda: 0, "the function <lambda> is not a dict"),
    ],
)
def test_a_value_that_cannot_travel_is_told(value: Any, words: str) -> None:
    text = refusal(Join, parts=[], anything=value)
    assert text.startswith("Join.anything: ")
    assert words in text
    assert len(text) < 250


def test_an_item_of_a_list_has_its_type() -> None:
    assert Join(parts=[], words=("a", "b")).words == ["a", "b"]
    assert "3 is not text" in refusal(Join, parts=[], words=["a", 3])


def test_a_field_is_given_in_the_call_and_not_set_later() -> None:
    copy = Copy(text="a")
    assert "Copy.times is a field" in refusal(setattr, copy, "times", 3)


def test_a_nano_without_run_is_told() -> None:
    assert "Made has no run()" in refusal(define("out = Output('x')"))


# --- what may be declared --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("async def run(self): pass", "Made.run is async"),
        ("def run(self): yield", "Made.run yields"),
        ("def run(self, context): pass", "is called without arguments"),
        ("def run(): pass", "is called without arguments"),
        ("run = 3", "def run(self)"),
        ("text = Input", "Made.text: write Input(...)"),
        ("cost = Param(int)", "Made.cost: that name is taken"),
        ("after = Input()", "Made.after: that name is taken"),
        ("_x = Param(int)", "Made._x: that name is taken"),
        ("n = Param(int, default='three')", "Made.n: 'three' is not a whole number"),
        ("n = Param(int, default=0, min=1)", "Made.n: 0 is too small"),
        ("n = Param(set)", "cannot be a parameter's type"),
        ("n = Param(str, min=1)", "min and max are for numbers"),
        ("retries = -1", "Made.retries"),
        ("retries = True", "Made.retries"),
        ("timeout = '2 weeks'", "Made.timeout: '2 weeks'"),
        ("timeout = -1", "Made.timeout"),
        ("timeout = float('nan')", "Made.timeout"),
        ("needs = ('ffmpeg',)", "Made.needs: write Needs("),
        ("needs = Needs(tools='ffmpeg')", 'tools=("ffmpeg",)'),
        ("needs = Needs(tools=('rm -rf /',))", "'rm -rf /'"),
        ("needs = Needs(cores=0)", "cores=0"),
        ("x = Output('{y}')", "Made.x: '{y}': no field 'y'"),
        ("text = Input(); x = Output('{txt.stem}')", "did you mean 'text'?"),
        ("text = Input(); x = Output('{text.read_text}')", ".read_text cannot be used here"),
        ("text = Input(); x = Output('{text.__class__}')", ".__class__ cannot be used here"),
        ("text = Input(); x = Output('{text.parent.parent}')", "not {text.parent.parent}"),
        ("text = Input(); x = Output('{text[0]}')", "not {text[0]}"),
        ("text = Input(); x = Output('{text!r}')", "write {field}"),
        ("x = Output('{}')", "write {field}"),
        ("x = Output('{0}')", "write {field}"),
        ("x = Output('{')", "is no template"),
        ("n = Param(int); x = Output('{n.real}')", ".real cannot be used here"),
        ("n = Param(int); x = Output('{n.stem}')", "the parameter n has no .stem"),
        ("n = Param(int); x = Output('{n:999999999d}')", "is no format"),
        ("n = Param(int); x = Output('{n:{n}}')", "is no format"),
        ("n = Param(dict); x = Output('{n}')", "names no file"),
        ("t = Input(many=True); x = Output('{t}')", "t is not a single input"),
        ("y = Output('y'); x = Output('{y}')", "y is not a single input"),
        ("n = Param(int); x = Output('a', many='n')", "many files need {i}"),
        ("n = Param(str); x = Output('{i}', many='n')", "must name an int Param"),
        ("x = Output('{i}', many='n')", "must name an int Param"),
        ("i = Param(int); x = Output('{i}', many='i')", "call the field 'i' otherwise"),
        ("n = Param(int); x = Output('{i.stem}', many='n')", "{i} is a number"),
        ("x = Output('{i}')", "no field 'i'"),
    ],
)
def test_a_wrong_definition_is_told(body: str, words: str) -> None:
    assert words in refusal(define, body)


def test_a_subclass_inherits_replaces_and_fixes_fields() -> None:
    made = define("n = Param(int); x = Output('{n:03d}'); def run(self): pass")
    space: dict[str, Any] = {"Made": made, "Param": Param}
    exec(
        "class Sub(Made):\n    n = Param(str, default='z')\n    x2 = 1", space
    )  # {n:03d} is for str
    assert "path cannot be made" in refusal(space["Sub"])
    exec("class Fixed(Made):\n    x = 'none'", space)
    assert space["Fixed"](n=3).x == "none"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("90s", 90.0), ("20m", 1200.0), ("2h", 7200.0), ("1.5 d", 129600.0), (3, 3.0), (0.5, 0.5)],
)
def test_a_timeout_is_seconds_or_says_its_unit(text: Any, wanted: float) -> None:
    assert seconds(text) == wanted


# --- paths -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/etc/x", "is absolute"),
        ("a/../../x", "leaves the NAS"),
        ("..", "leaves the NAS"),
        (".", "names no file"),
        (".nanoboost/x", "own directory"),
        ("x/.NanoBoost", "own directory"),
        ("a:b", "':' cannot be"),
        ("a\\b", "cannot be in a file name"),
        ("a\nb", "cannot be in a file name"),
        ("what?", "'?' cannot be"),
        ("a./b", "may end in a dot"),
        ("b ", "may end in a dot or a space"),
        ("x/CON", "is a device"),
        ("x/com1.txt", "is a device"),
        ("ä" * 101, "longer than 200 bytes"),
        ("/".join(["a" * 100] * 11)[1:], "longer than 1000 bytes"),
    ],
)
def test_an_output_path_that_no_nas_takes_is_told(path: str, words: str) -> None:
    assert words in refusal(check_output, path)


def test_a_harmless_path_is_normalised() -> None:
    assert check_output("./a//b.txt") == "a/b.txt"
    assert check_output("a\u0308") == "\u00e4", "one spelling of a name"
    assert check_source("a\u0308") == "a\u0308", "a user's file is called what it is called"


@given(st.text(max_size=30))
def test_a_path_is_refused_or_stays_below_the_root(text: str) -> None:
    try:
        path = check_output(text)
    except GraphError:
        return
    assert path == check_output(path)
    parts = PurePosixPath(path).parts
    assert parts
    assert not {"..", "/", ".nanoboost"} & set(parts)


# --- in the child ----------------------------------------------------------------------------


def test_bind_gives_real_paths_and_the_parameters(tmp_path: Path) -> None:
    task = PlanTask(
        cls=0,
        ordinal=0,
        params={"words": ["w"], "anything": None},
        inputs=(PlanInput("parts", (FileRef(-1, "a"), FileRef(0, "b")), many=True),),
        outputs=(PlanOutput("whole", ("whole",), many=False),),
        after=(),
        size=0.0,
    )
    asked: list[FileRef] = []

    def input_path(ref: FileRef) -> Path:
        asked.append(ref)
        path = tmp_path / f"in-{ref.path}"
        path.write_text(ref.path)
        return path

    nano = bind(Join, task, input_path, lambda path: tmp_path / path)
    nano.run()
    assert isinstance(nano, Join)
    assert asked == [FileRef(-1, "a"), FileRef(0, "b")]
    assert (tmp_path / "whole").read_text() == "ab"
    assert nano.words == ["w"]
    assert repr(nano) == f"Join({tmp_path / 'whole'})"


def test_bind_misses_nothing(tmp_path: Path) -> None:
    task = PlanTask(0, 0, {"n": 1}, (), (), (), 0.0)
    assert "the plan says nothing of Copy." in refusal(
        bind, Copy, task, lambda ref: tmp_path, lambda path: tmp_path
    )


def test_a_tool_must_be_declared_and_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    split = Split(text="a")
    assert "say needs = Needs(tools=('other',))" in refusal(split.tool, "other")
    monkeypatch.setattr("nanoboost.tools.find", lambda name: None)
    assert refusal(split.tool, "splitter") == "needs splitter, which is not installed here"
    monkeypatch.setattr("nanoboost.tools.find", lambda name: f"/bin/{name}")
    assert split.tool("splitter") == "/bin/splitter"
    assert Split.needs.labels == ("a", "b"), "the order of a set reaches no plan"
