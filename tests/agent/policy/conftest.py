"""Shared by the tests of policies."""

from __future__ import annotations

import pytest

from agent.ipc import FrameLayout, ImageSpec
from tests.datasets import CAMERA, JOINTS, SIZE


@pytest.fixture
def layout() -> FrameLayout:
    """The robot that the tiny policy fits."""
    return FrameLayout(JOINTS, JOINTS, (ImageSpec(CAMERA, SIZE, SIZE),))
