"""`twistd nanoboost` exists after a normal and after an editable install."""

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.slow


def output_of(*command: str, cwd: Path) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=cwd).stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheel")
    output_of(
        *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"),
        *("--wheel-dir", str(directory), str(ROOT)),
        cwd=directory,
    )
    (path,) = directory.glob("*.whl")
    return path


def test_the_wheel_holds_the_plugin_and_no_plugin_cache(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "twisted/plugins/nanoboost_plugin.py" in names
    assert "simulations/fixture.py" in names, "the pytest fixture that the metadata names"
    assert "twisted/plugins/__init__.py" not in names
    assert not [name for name in names if "dropin.cache" in name]


def test_twistd_lists_it_after_a_normal_install(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=False)
    (packages,) = (tmp_path / "venv").glob("lib/python3*/site-packages")
    zipfile.ZipFile(wheel).extractall(packages)
    # The dependencies of this environment, but not what its own .pth files (editable) would add.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    python = str(tmp_path / "venv/bin/python")
    where = output_of(python, "-c", "import nanoboost; print(nanoboost.__file__)", cwd=tmp_path)
    assert where.startswith(str(packages))
    assert "nanoboost" in output_of(python, "-m", "twisted", "--help", cwd=tmp_path)


def test_twistd_lists_it_here_and_knows_its_options(tmp_path: Path) -> None:
    twistd = str(Path(sys.executable).parent / "twistd")
    assert "nanoboost" in output_of(twistd, "--help", cwd=tmp_path)
    options = output_of(twistd, "nanoboost", "--help", cwd=tmp_path)
    for option in ("state", "nas", "listen", "join", "profile", "label", "slots"):
        assert f"--{option}" in options
