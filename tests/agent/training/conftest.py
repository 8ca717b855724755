"""A robot's state folder with a tiny policy and a few episodes."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def policy(tiny_policy: Path) -> Path:
    return tiny_policy


@pytest.fixture(scope="session")
def dataset(small_dataset: Path) -> Path:
    return small_dataset
