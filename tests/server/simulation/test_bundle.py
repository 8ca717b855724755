"""What Flower bundles: of a clone its packages, of ``armada simulate`` nothing but defaults."""

from __future__ import annotations

import io
import subprocess
import tomllib
import zipfile
from pathlib import Path

import pytest
from flwr.cli.build import build_fab_from_files
from flwr.common.config import flatten_dict

from agent.federation.simulation.config import SimulationConfig
from server.simulation.bundle import CLIENT_APP, SERVER_APP, build_simulation_bundle

CLONE = Path(__file__).parents[3]
LIMIT = 10 * 2**20


def listed(content: bytes) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(content))


def app(bundle: zipfile.ZipFile) -> dict[str, object]:
    return dict(tomllib.loads(bundle.read("pyproject.toml").decode())["tool"]["flwr"]["app"])


def test_a_clones_bundle_is_small_and_holds_no_data() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=CLONE, capture_output=True, text=True, check=False
    )
    if tracked.returncode:
        pytest.skip("not a git checkout")
    names = [name for name in tracked.stdout.split("\0") if (CLONE / name).is_file()]
    content, _ = build_fab_from_files({name: CLONE / name for name in names if name})

    assert len(content) < LIMIT
    bundle = listed(content)
    assert {Path(name).suffix for name in bundle.namelist()} <= {".py", ".yaml", ".toml", ""}
    assert {name.split("/")[0] for name in bundle.namelist()} == {
        "agent",
        "robots",
        "server",
        "pyproject.toml",
        ".info",
    }
    for reference in (SERVER_APP, CLIENT_APP):
        assert reference.split(":")[0].replace(".", "/") + ".py" in bundle.namelist()
    assert app(bundle)["components"] == {"serverapp": SERVER_APP, "clientapp": CLIENT_APP}


def test_the_commands_bundle_holds_no_code() -> None:
    bundle = listed(build_simulation_bundle().content)

    assert bundle.namelist() == ["pyproject.toml", ".info/CONTENT"]
    assert flatten_dict(app(bundle)["config"]) == SimulationConfig().to_run_config()
    assert build_simulation_bundle() == build_simulation_bundle()
