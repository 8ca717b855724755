"""The tiny model as the policy server has it, and a server that a remote worker asks."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.policy.remote.background import Background
from tests.server.policy.conftest import model, other_model

__all__ = ["folder", "model", "other_model", "server"]


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not pytest's folder: the path of a socket is limited to some hundred characters.
    with tempfile.TemporaryDirectory(prefix="armada-test-") as folder:
        yield Path(folder)


@pytest.fixture
def server() -> Iterator[Background]:
    server = Background()
    yield server
    server.end()
