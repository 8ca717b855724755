"""What the server's tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from server.base import Base, import_base
from tests.server.deployment import Deployment, deployed


@pytest.fixture(scope="session")
def base(tiny_policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Base:
    return import_base(str(tiny_policy), tmp_path_factory.mktemp("server") / "base")


@pytest.fixture(scope="module")
def deployment(tiny_policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """``armada server`` with TLS on loopback; no robot is registered yet."""
    with deployed(tmp_path_factory.mktemp("deployment"), tiny_policy) as whole:
        yield whole


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Flower's SuperLink and SuperExec alone, with TLS; no robot is registered yet."""
    with deployed(tmp_path_factory.mktemp("engine")) as alone:
        yield alone
