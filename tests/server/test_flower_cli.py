"""Who knows Flower uses Flower: its own commands against the SuperLink that Armada starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from server.flower_cli import write_connection
from tests.helpers import wait_until
from tests.server.deployment import Deployment
from tests.server.hostile import hostile_bundle


def flwr(deployment: Deployment, *words: str) -> str:
    """`flwr …` with the entry that the server wrote."""
    done = subprocess.run(
        [str(Path(sys.executable).parent / "flwr"), *words],
        env={**os.environ, "FLWR_HOME": str(deployment.config.state.flower)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_flwr_list_shows_the_runs(engine: Deployment, tmp_path: Path) -> None:
    write_connection(engine.config)
    run = engine.control.start_run(hostile_bundle(tmp_path / "trace", tmp_path / "said"), {})

    listed = json.loads(flwr(engine, "list", "armada", "--format=json"))

    assert [str(entry["run-id"]) for entry in listed["runs"]] == [str(run)]
    wait_until(lambda: engine.control.status(run))
