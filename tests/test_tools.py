"""Programs are found on PATH, and in the wheel that brings one; nothing is run to find out."""

from pathlib import Path

import pytest

from nanoboost import tools


def program(directory: Path, name: str, *, mode: int) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    path.write_text("#!/bin/sh\nexit 1\n")
    path.chmod(mode)
    return path


def wheel(root: Path) -> Path:
    (root / "imageio_ffmpeg").mkdir(parents=True)
    (root / "imageio_ffmpeg" / "__init__.py").write_text("raise RuntimeError('never imported')\n")
    return root / "imageio_ffmpeg" / "binaries"


@pytest.fixture(autouse=True)
def empty_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


def test_a_program_on_the_path_is_found(tmp_path: Path) -> None:
    path = program(tmp_path / "bin", "encoder", mode=0o755)
    assert tools.find("encoder") == str(path)


def test_a_program_that_cannot_be_executed_is_not_found(tmp_path: Path) -> None:
    program(tmp_path / "bin", "encoder", mode=0o644)
    assert tools.find("encoder") is None


def test_ffmpeg_is_found_in_the_wheel_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = program(wheel(tmp_path / "site"), "ffmpeg-linux-x86_64-v7.0", mode=0o755)
    program(path.parent, "ffmpeg-a-text", mode=0o644)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert tools.find("ffmpeg") == str(path)


def test_the_systems_own_ffmpeg_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(wheel(tmp_path / "site"), "ffmpeg-linux-x86_64-v7.0", mode=0o755)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    path = program(tmp_path / "bin", "ffmpeg", mode=0o755)
    assert tools.find("ffmpeg") == str(path)


def test_no_other_program_is_looked_for_in_the_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(wheel(tmp_path / "site"), "ffprobe-linux", mode=0o755)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert tools.find("ffprobe") is None
    assert tools.find("ffmpeg") is None
