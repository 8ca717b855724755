"""What the server's tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.base import Base, import_base


@pytest.fixture(scope="session")
def base(tiny_policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Base:
    return import_base(str(tiny_policy), tmp_path_factory.mktemp("server") / "base")
