"""A real recording, and a copy of it to spoil."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real(shared_data: Path) -> Path:
    return shared_data / "so101_cloth_wrist_3ep"


@pytest.fixture
def copy(real: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(real, tmp_path / "copy"))
