"""A NAS that is claimed, and a clock."""

from pathlib import Path

import pytest

from nanoboost.nas.files import claim
from tests.nas.clock import SleepClock


@pytest.fixture
def clock() -> SleepClock:
    return SleepClock()


@pytest.fixture
def nas(tmp_path: Path) -> str:
    (tmp_path / "nas").mkdir()
    claim(str(tmp_path / "nas"), "0123456789abcdef")
    return str(tmp_path / "nas")
