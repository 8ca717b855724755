"""A run's flags and its file serve the doctor and the calibration, too."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.calibrate.config import CalibrateConfig
from agent.commands.part import parse_part
from agent.config import DoctorConfig
from robots.errors import ConfigError
from robots.registry import register_all

FILE = """
robot: {type: so101_sim, id: arm}
teleop: {type: scripted_reach, id: arm}
task: Pick up
dataset: {num_episodes: 2}
state_dir: /tmp/x
"""


@pytest.fixture(autouse=True)
def registered() -> None:
    register_all()


@pytest.mark.parametrize("joined", [True, False])
def test_a_file_of_a_run(tmp_path: Path, joined: bool) -> None:
    path = tmp_path / "arm.yaml"
    path.write_text(FILE)
    words = [f"--config_path={path}"] if joined else ["--config_path", str(path)]
    doctor = parse_part(DoctorConfig, [*words, "--json"], prog="x")
    assert doctor.robot is not None
    assert (doctor.robot.id, doctor.state_dir, doctor.dataset) == ("arm", "/tmp/x", "")
    assert doctor.json
    assert parse_part(CalibrateConfig, [*words, "--check"], prog="x").robot.id == "arm"


def test_flags_of_a_run() -> None:
    words = ["--robot.type=so101_sim", "--task", "Pick up", "--fps=30", "--robot.id", "arm"]
    words += ["--dataset.num_episodes=3", "--teleop.type=scripted_reach", "--dataset=here"]
    doctor = parse_part(DoctorConfig, words, prog="x")
    assert doctor.robot is not None
    assert (doctor.robot.id, doctor.dataset) == ("arm", "here")


def test_what_no_run_knows_is_refused_still(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--robt"):
        parse_part(DoctorConfig, ["--robt.type=so101_sim"], prog="x")
    path = tmp_path / "arm.yaml"
    path.write_text("robt: {type: so101_sim}\ntask: x\n")
    with pytest.raises(ConfigError, match="robt"):
        parse_part(DoctorConfig, [f"--config_path={path}"], prog="x")
    with pytest.raises(ConfigError, match=r"none\.yaml"):
        parse_part(DoctorConfig, [f"--config_path={tmp_path / 'none.yaml'}"], prog="x")
