"""Models and data that are built once a session and shared by the tests of several packages."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.datasets import make_dataset, make_policy


@pytest.fixture(scope="session")
def tiny_policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny SmolVLA folder, for the robots of ``small_dataset``; copy it before changing it."""
    return make_policy(tmp_path_factory.mktemp("policies") / "tiny")


@pytest.fixture(scope="session")
def other_policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another one, with other weights."""
    return make_policy(tmp_path_factory.mktemp("policies") / "other", seed=1)


@pytest.fixture(scope="session")
def small_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three short episodes with a camera; read only."""
    return make_dataset(tmp_path_factory.mktemp("datasets") / "small")
