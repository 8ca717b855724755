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


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """``../shared/data``: real recordings that are not part of the project."""
    data = SHARED / "data"
    if not data.is_dir():
        pytest.skip(f"real recordings are absent: {data} (set ARMADA_SHARED to their parent)")
    return data
