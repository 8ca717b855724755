"""The private parts of Flower that are used, and the release they were read in."""

from __future__ import annotations

import hashlib
import io
import zipfile
from importlib.metadata import version

import pytest

from robots.errors import FederationError
from server.bundle import build_bundle
from server.flower_control import WRITTEN_FOR, FlowerControl
from tests.helpers import free_port


def test_flower_is_the_release_that_this_was_written_for() -> None:
    assert version("flwr") == WRITTEN_FOR == "1.39.0"


def test_the_bundle_holds_references_and_no_code() -> None:
    bundle = build_bundle()

    assert bundle == build_bundle()
    assert hashlib.sha256(bundle.content).hexdigest() == bundle.sha256
    assert len(bundle.content) < 2000
    with zipfile.ZipFile(io.BytesIO(bundle.content)) as archive:
        assert sorted(archive.namelist()) == [".info/CONTENT", "pyproject.toml"]


def test_a_superlink_that_is_not_there_is_named() -> None:
    address = f"127.0.0.1:{free_port()}"
    with FlowerControl(address) as control:
        assert not control.reachable()
        with pytest.raises(FederationError, match=f"superlink={address}: .*does not answer"):
            control.start_run(build_bundle(), {"round-id": 1})
        with pytest.raises(FederationError, match="does not answer"):
            control.status(1)
