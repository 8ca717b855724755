"""The units are what systemd understands: an unknown key is a line on stderr, not a status."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = sorted((Path(__file__).parents[2] / "deploy" / "systemd").glob("*.service"))


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_systemd_has_nothing_to_say(unit: Path, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze isn't here")
    # What the units start is installed elsewhere; systemd wants to see an executable.
    text = unit.read_text().replace("/opt/armada/.venv/bin/armada", "/bin/true")
    copy = tmp_path / unit.name.replace("@.", "@left.")
    copy.write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_stopping_waits_longer_than_a_shutdown_takes(unit: Path) -> None:
    from agent.supervisor.supervisor import SHUTDOWN_LIMIT_S

    lines = unit.read_text().splitlines()
    (stop_s,) = (int(x.split("=")[1]) for x in lines if x.startswith("TimeoutStopSec="))
    if "armada@" in unit.name:
        assert stop_s > SHUTDOWN_LIMIT_S
    assert "KillMode=mixed" in lines
