"""Shared by the tests of policies."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.ipc import FrameLayout, ImageSpec
from agent.policy.load import LoadedPolicy, load_policy
from tests.datasets import CAMERA, JOINTS, SIZE
from tests.fixtures import other_policy, small_dataset, tiny_policy

__all__ = ["other_policy", "small_dataset", "tiny_policy"]


@pytest.fixture(scope="session")
def loaded(tiny_policy: Path) -> LoadedPolicy:
    """The tiny policy in memory; tests leave its weights as they are."""
    return load_policy(str(tiny_policy))


@pytest.fixture
def layout() -> FrameLayout:
    """The robot that the tiny policy fits."""
    return FrameLayout(JOINTS, JOINTS, (ImageSpec(CAMERA, SIZE, SIZE),))
