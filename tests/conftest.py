"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Tiny models on two cores: more threads only fight each other. Children inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
os.environ.setdefault("FLWR_DISABLE_UPDATE_CHECK", "1")

SHARED = Path(os.environ.get("ARMADA_SHARED", Path(__file__).parents[2] / "shared"))


LONGEST_FIRST = (
    "tests/server/test_whole_path.py",
    "tests/whole_path/",
    "tests/robots/arm/test_matrix.py",
    "tests/agent/calibrate/",
    "tests/agent/policy/",
    "tests/agent/demo/",
    "tests/robots/test_mujoco.py",
    "tests/agent/link/",
)
"""Whole files go to one worker each: a long one that begins last keeps the other worker idle."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first; within a file the order stays."""

    def rank(item: pytest.Item) -> int:
        return next((i for i, p in enumerate(LONGEST_FIRST) if item.nodeid.startswith(p)), 99)

    items.sort(key=rank)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """``../shared/data``: real recordings that are not part of the project."""
    data = SHARED / "data"
    if not data.is_dir():
        pytest.skip(f"real recordings are absent: {data} (set ARMADA_SHARED to their parent)")
    return data
