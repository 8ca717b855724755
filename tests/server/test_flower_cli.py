"""Who knows Flower uses Flower: its own commands against the SuperLink that Armada starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from server.flower_cli import write_connection
from tests.helpers import wait_until
from tests.server.deployment import Deployment

pytestmark = pytest.mark.timeout(900)

_PYPROJECT = """\
[project]
name = "own"
version = "1.0.0"
license = "Apache-2.0"
dependencies = []

[tool.flwr.app]
publisher = "somebody"

[tool.flwr.app.components]
serverapp = "own:server"
clientapp = "own:client"
"""

_APP = """\
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp

client = ClientApp()
server = ServerApp()


@server.main()
def main(grid, context):
    print("robots online:", len(list(grid.get_node_ids())))
"""


def flwr(deployment: Deployment, *words: str) -> str:
    """`flwr …` with the entry that the server wrote."""
    done = subprocess.run(
        [str(Path(sys.executable).parent / "flwr"), *words],
        env={**os.environ, "FLWR_HOME": str(deployment.config.state.flower)},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_an_app_of_ones_own_is_run_listed_and_its_log_read(
    engine: Deployment, tmp_path: Path
) -> None:
    write_connection(engine.config)
    (tmp_path / "pyproject.toml").write_text(_PYPROJECT)
    (tmp_path / "own.py").write_text(_APP)

    flwr(engine, "run", str(tmp_path), "armada")

    (listed,) = json.loads(flwr(engine, "list", "armada", "--format=json"))["runs"]
    run = int(listed["run-id"])
    wait_until(lambda: engine.control.status(run).over, timeout_s=200)  # type: ignore[union-attr]
    assert "robots online: 0" in flwr(engine, "log", str(run), "armada", "--show")
    ended = engine.control.status(run)
    assert ended is not None
    assert ended.sub_status == "completed"
