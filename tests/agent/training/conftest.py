"""A robot's state folder with a tiny policy and a few episodes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.datasets import make_dataset, make_policy


@pytest.fixture(scope="session")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_policy(tmp_path_factory.mktemp("policy") / "tiny")


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("data") / "reach", episodes=3, frames=24)
