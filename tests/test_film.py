"""Films are made, and looked at by decoding them."""

from pathlib import Path

import pytest

from nanoboost import tools
from nanoboost.cli.film import count_frames, duration, ffmpeg, has_audio, make_film
from nanoboost.errors import UserError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(tools.find("ffmpeg") is None, reason="there is no ffmpeg"),
]


def test_a_generated_film_has_frames_and_sound(tmp_path: Path) -> None:
    make_film(tmp_path / "film.mkv", None, 2.0)
    assert count_frames(tmp_path / "film.mkv") == 50
    assert has_audio(tmp_path / "film.mkv")


def test_a_film_is_looped_to_at_least_the_wanted_length(tmp_path: Path) -> None:
    make_film(tmp_path / "once.mkv", None, 1.0)
    make_film(tmp_path / "looped.mkv", tmp_path / "once.mkv", 2.5)
    assert duration(tmp_path / "looped.mkv") >= 2.5
    assert count_frames(tmp_path / "looped.mkv") == 75
    make_film(tmp_path / "as-it-is.mkv", tmp_path / "looped.mkv", 1.0)
    assert count_frames(tmp_path / "as-it-is.mkv") == 75


def test_frames_are_counted_and_not_believed(tmp_path: Path) -> None:
    make_film(tmp_path / "film.mkv", None, 2.0)
    whole = (tmp_path / "film.mkv").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) // 2])
    assert 0 < count_frames(tmp_path / "cut.mkv") < 50
    assert duration(tmp_path / "cut.mkv") == duration(tmp_path / "film.mkv"), "what it says itself"


def test_a_silent_film_has_no_audio(tmp_path: Path) -> None:
    make_film(tmp_path / "film.mkv", None, 1.0)
    ffmpeg("-i", str(tmp_path / "film.mkv"), "-an", "-c", "copy", str(tmp_path / "silent.mkv"))
    assert not has_audio(tmp_path / "silent.mkv")
    assert count_frames(tmp_path / "silent.mkv") == 25


def test_what_is_no_film_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.mkv").write_text("no film")
    for look in (count_frames, duration):
        with pytest.raises(UserError) as caught:
            look(tmp_path / "text.mkv")
        assert "\n" not in str(caught.value)
    assert not has_audio(tmp_path / "text.mkv")


def test_no_ffmpeg_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "find", lambda name: None)
    with pytest.raises(UserError, match="apt install ffmpeg"):
        count_frames(Path("film.mkv"))
