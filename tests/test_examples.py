"""The examples, task by task, from the frozen plan and the bundle that would travel."""

import os
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path

import pytest

from nanoboost import tools
from nanoboost.cli.film import count_frames, ffmpeg, has_audio, make_film
from nanoboost.code import bundle, load_class
from nanoboost.graph import load_graph
from nanoboost.ids import TaskId
from nanoboost.nano import bind
from nanoboost.plan import FileRef, Plan

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
BUNNY = (
    Path(os.environ.get("NANOBOOST_MEDIA", ROOT.parent / "shared" / "media")) / "bigbuckbunny.mp4"
)

needs_ffmpeg = pytest.mark.skipif(tools.find("ffmpeg") is None, reason="there is no ffmpeg")


class Workplace:
    """A NAS and a scratch directory; runs a graph's tasks one after the other."""

    def __init__(self, nas: Path, scratch: Path) -> None:
        self.nas = nas
        self._scratch = scratch

    def freeze(self, example: str, **params: str) -> Plan:
        return load_graph(str(EXAMPLES / example)).from_text(params).freeze(self.nas)

    def run(self, example: str, **params: str) -> Plan:
        plan = self.freeze(example, **params)
        code = self._scratch / "code.zip"
        code.write_bytes(bundle(EXAMPLES / example)[0])
        for number, task in enumerate(plan.tasks):
            of = plan.class_of(TaskId(number))
            cls = load_class(code, of.module, of.qualname)
            bind(cls, task, self._input, partial(self._output, number)).run()
        for result in plan.results:
            for output in plan.tasks[result].outputs:
                for path in output.paths:
                    (self.nas / path).parent.mkdir(parents=True, exist_ok=True)
                    self._output(result, path).rename(self.nas / path)
        return plan

    def _input(self, ref: FileRef) -> Path:
        return self.nas / ref.path if ref.task < 0 else self._output(ref.task, ref.path)

    def _output(self, task: int, path: str) -> Path:
        found = self._scratch / str(task) / path
        found.parent.mkdir(parents=True, exist_ok=True)
        return found


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    for name in ("nas", "scratch", "work"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return Workplace(tmp_path / "nas", tmp_path / "scratch")


# --- words -----------------------------------------------------------------------------------


def test_the_words_of_all_texts_are_counted(place: Workplace) -> None:
    (place.nas / "a.txt").write_text("one two\nthree")
    (place.nas / "b.txt").write_text("four")
    plan = place.run("wordcount.py", texts="a.txt,b.txt")
    assert (place.nas / "total.txt").read_text() == "4"
    assert [each.name for each in plan.classes] == ["Count", "Sum"]
    assert not (place.nas / "counts").exists(), "only results are published"


def test_the_readme_shows_the_example() -> None:
    def code(text: str) -> str:
        lines = [line.partition("#")[0].rstrip() for line in text.splitlines()]
        return "\n".join(line for line in lines if line and '"""' not in line)

    readme = (ROOT / "README.md").read_text().partition("```python")[2].partition("```")[0]
    example = (EXAMPLES / "wordcount.py").read_text()
    assert code(readme) == code(example.replace(") -> None:", "):").replace(") -> Sum:", "):"))


# --- films -----------------------------------------------------------------------------------

PICTURE = ("-f", "lavfi", "-i", "testsrc2=size=128x96:rate=25:duration=2")
SOUND = ("-f", "lavfi", "-i", "sine=duration=2")
X264 = ("-c:v", "libx264", "-preset", "veryfast")
GOP = ("-g", "10", "-bf", "3")
ALL_THREE = ("-map", "0", "-map", "1", "-map", "2")

FILMS: dict[str, tuple[str, ...]] = {
    "b-frames.mp4": (*PICTURE, *SOUND, *X264, *GOP),
    "it's 100% open.mp4": (*PICTURE, *SOUND, *X264, *GOP, "-x264-params", "open-gop=1"),
    "one-keyframe.mkv": (*PICTURE, *SOUND, *X264, "-g", "999"),
    "two-voices.mkv": (*PICTURE, *SOUND, *SOUND, *ALL_THREE, *X264, *GOP),
    "silent.mkv": (*PICTURE, *X264, *GOP),
    "varying.mkv": (
        *PICTURE,
        "-vf",
        "select=not(mod(n\\,3))+lt(n\\,30)",
        "-fps_mode",
        "vfr",
        *X264,
    ),
    "ntsc.mp4": ("-f", "lavfi", "-i", "testsrc2=size=128x96:rate=24000/1001:duration=2", *X264),
    "dvd.mpg": (*PICTURE, *SOUND, "-c:v", "mpeg2video", "-g", "12", "-bf", "2", "-c:a", "mp2"),
    "ten-bit.avi": (*PICTURE, *SOUND, "-c:v", "ffv1", "-pix_fmt", "yuv422p10le", "-c:a", "flac"),
}


def shown(film: Path) -> list[Fraction]:
    """When each frame is shown, decoded."""
    told = ffmpeg(
        *("-i", str(film), "-map", "0:V:0", "-fps_mode", "passthrough"),
        *("-enc_time_base", "1:90000", "-f", "framecrc", "-"),
    )
    lines = [line for line in told.splitlines() if not line.startswith("#")]
    return [Fraction(int(line.split(",")[2]), 90000) for line in lines]


def audio_streams(film: Path) -> int:
    told = ffmpeg(
        "-i", str(film), "-map", "0:a?", "-map", "0:v", "-c", "copy", *["-f", "framecrc", "-"]
    )
    return told.count("#media_type") - 1


def assert_whole(source: Path, result: Path) -> None:
    """Frame for frame at the same time, to the two roundings of a millisecond."""
    before, after = shown(source), shown(result)
    assert count_frames(result) == count_frames(source) == len(before) == len(after)
    assert max(abs(x - y) for x, y in zip(before, after, strict=True)) <= Fraction(2, 1000)
    assert audio_streams(result) == audio_streams(source)


def compress(place: Workplace, film: str, **params: str) -> Path:
    params = {"chunks": "4", "preset": "ultrafast", "video": f"films/{film}", **params}
    place.run("video_compression.py", **params)
    (result,) = place.nas.glob("*.mkv")
    assert result.name == f"{Path(film).stem}.compressed.mkv"
    return result


@pytest.fixture
def film(place: Workplace) -> Callable[[str], Path]:
    (place.nas / "films").mkdir()

    def make(name: str) -> Path:
        ffmpeg(*FILMS[name], str(place.nas / "films" / name))
        return place.nas / "films" / name

    return make


@needs_ffmpeg
@pytest.mark.slow
@pytest.mark.parametrize("name", FILMS)
def test_every_frame_of_any_film_is_in_the_result_once(
    place: Workplace, film: Callable[[str], Path], name: str
) -> None:
    source = film(name)
    assert_whole(source, compress(place, name))


@needs_ffmpeg
@pytest.mark.slow
@pytest.mark.parametrize(("chunks", "codec"), [("1", "libx264"), ("3", "libx265")])
def test_any_number_of_chunks_and_both_codecs(
    place: Workplace, film: Callable[[str], Path], chunks: str, codec: str
) -> None:
    source = film("b-frames.mp4")
    assert_whole(source, compress(place, source.name, chunks=chunks, codec=codec))


@needs_ffmpeg
@pytest.mark.slow
def test_a_chunk_may_be_a_single_frame(place: Workplace) -> None:
    (place.nas / "films").mkdir()
    source = place.nas / "films" / "short.mkv"
    ffmpeg(*PICTURE, *X264, "-frames:v", "6", str(source))
    assert_whole(source, compress(place, source.name, chunks="6"))


@needs_ffmpeg
@pytest.mark.slow
def test_a_film_with_good_keyframes_is_cut_without_a_copy(
    place: Workplace, capsys: pytest.CaptureFixture[str]
) -> None:
    (place.nas / "films").mkdir()
    source = place.nas / "films" / "film.mkv"
    make_film(source, None, 4.0)
    assert_whole(source, compress(place, "film.mkv"))
    assert "lossless" not in capsys.readouterr().out
    assert has_audio(place.nas / "film.compressed.mkv")


@needs_ffmpeg
@pytest.mark.slow
def test_a_picture_that_begins_after_the_sound_stays_in_step(
    place: Workplace, film: Callable[[str], Path]
) -> None:
    first = str(film("b-frames.mp4"))
    late = place.nas / "films" / "late.mkv"
    ffmpeg(
        *("-itsoffset", "0.5", "-i", first, "-i", first),
        *["-map", "0:v", "-map", "1:a", "-c", "copy"],
        str(late),
    )
    assert shown(late)[0] == Fraction(1, 2)
    assert_whole(late, compress(place, "late.mkv"))


@needs_ffmpeg
@pytest.mark.slow
def test_audio_that_the_container_cannot_hold_is_encoded(
    place: Workplace, capsys: pytest.CaptureFixture[str]
) -> None:
    (place.nas / "films").mkdir()
    source = place.nas / "films" / "amiga.mov"
    ffmpeg(*PICTURE, *SOUND, *X264, *GOP, "-c:a", "pcm_s8", str(source))
    result = compress(place, source.name)
    assert "it is encoded" in capsys.readouterr().out
    assert_whole(source, result)
    assert has_audio(result)


@needs_ffmpeg
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "chunks", "words"),
    [
        ("b-frames.mp4", "51", "has 50 frames, too few for 51 chunks: say --chunks 50 or less"),
        ("text.mp4", "2", "text.mp4 is no film with a picture that can be read: ffmpeg: "),
        ("sound.m4a", "2", "sound.m4a is no film with a picture that can be read: ffmpeg: "),
    ],
)
def test_what_cannot_be_cut_is_told_in_one_line(
    place: Workplace, film: Callable[[str], Path], name: str, chunks: str, words: str
) -> None:
    film("b-frames.mp4")
    (place.nas / "films" / "text.mp4").write_text("no film at all")
    ffmpeg(*SOUND, str(place.nas / "films" / "sound.m4a"))
    with pytest.raises(Exception, match=words) as caught:
        compress(place, name, chunks=chunks)
    assert type(caught.value).__name__ == "FilmError"
    assert "\n" not in str(caught.value)
    assert list(place.nas.glob("*.mkv")) == []


@needs_ffmpeg
@pytest.mark.slow
@pytest.mark.skipif(not BUNNY.exists(), reason=f"{BUNNY.name} is not here (say NANOBOOST_MEDIA)")
def test_a_real_film_is_compressed(place: Workplace) -> None:
    (place.nas / "films").mkdir()
    source = place.nas / "films" / "bunny.mp4"
    source.write_bytes(BUNNY.read_bytes())
    assert_whole(source, compress(place, "bunny.mp4", chunks="2"))


def test_the_plan_is_cut_compress_merge(place: Workplace) -> None:
    (place.nas / "film.mkv").touch()
    plan = place.freeze("video_compression.py", video="film.mkv", chunks="3", crf="30")
    names = [plan.name(TaskId(number)) for number in range(len(plan.tasks))]
    assert names == ["Cut-0000", "Compress-0000", "Compress-0001", "Compress-0002", "Merge-0000"]
    assert all(each.tools == ("ffmpeg",) for each in plan.classes)
    assert plan.tasks[4].outputs[0].paths == ("film.compressed.mkv",)
    assert plan.results == (4,)
