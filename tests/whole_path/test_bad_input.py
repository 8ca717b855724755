"""What is wrong is refused before anything moves: one clear line, a status, no traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from lerobot.robots.so_follower import SO101Follower, SO101FollowerConfig

from agent.cli import main
from agent.policy.init import build_policy
from agent.supervisor.locks import take_port
from robots.emulator import joints

NAMES = [f"{name}.pos" for name in joints.NAMES]


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad") / "policy"
    return build_policy(folder, size="tiny", cameras={"front": (96, 96)}, action_names=NAMES)


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A real port with six servos behind it, and nobody who drives them."""
    folder = tmp_path_factory.mktemp("arm")
    command = [sys.executable, "-m", "robots.emulator.bus", f"--folder={folder}"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline()
    yield folder / "port"
    process.stdin.close()
    process.stdout.close()
    process.wait()


@pytest.fixture
def calibrated(tmp_path: Path) -> list[str]:
    (tmp_path / "calibration").mkdir()
    path = tmp_path / "calibration" / "bad.json"
    path.write_text(json.dumps(joints.calibration()))
    return ["--robot.id=bad", f"--robot.calibration_dir={path.parent}"]


def arm(port: Path, tmp_path: Path, *more: str) -> list[str]:
    return [
        "run",
        "--robot.type=so101_follower",
        f"--robot.port={port}",
        f"--state_dir={tmp_path / 'state'}",
        "--task=pick up the cube",
        *more,
    ]


def refused(capsys: pytest.CaptureFixture[str], argv: list[str], *words: str) -> None:
    assert main(argv) == 2
    said = capsys.readouterr()
    line = said.err.strip()
    assert "\n" not in line
    assert "Traceback" not in said.err + said.out
    for word in words:
        assert word in line, line


def untouched(port: Path) -> None:
    """No servo was ever given torque, and the port is free."""
    robot = SO101Follower(SO101FollowerConfig(port=str(port), id="look"))
    # Retried: on a loaded host this process may itself be too late for an answer.
    robot.bus.connect(handshake=False)
    torque = robot.bus.sync_read("Torque_Enable", normalize=False, num_retry=20)
    assert not any(torque.values())
    robot.bus.disconnect(disable_torque=False)


def test_a_port_that_is_not_there(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, policy: Path
) -> None:
    argv = arm(tmp_path / "ttyACM9", tmp_path, f"--policy.path={policy}")
    refused(capsys, argv, "--robot.port=", "there is no such port", "lerobot-find-port")


def test_a_second_agent_on_the_same_port(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, policy: Path, port: Path
) -> None:
    lock = take_port("--robot.port", str(port))
    try:
        argv = arm(port, tmp_path, f"--policy.path={policy}")
        refused(capsys, argv, "in use by another agent", str(os.getpid()))
    finally:
        os.close(lock)
    untouched(port)


def test_a_camera_that_the_policy_needs_and_the_robot_lacks(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, policy: Path, port: Path
) -> None:
    argv = arm(port, tmp_path, f"--policy.path={policy}")
    refused(capsys, argv, "observation.images.front")
    untouched(port)


def test_a_camera_under_another_name_is_told_how_to_map_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, policy: Path
) -> None:
    argv = [
        "run",
        "--robot.type=so101_sim",
        "--robot.id=bad",
        "--robot.cameras={side: {type: so101_scene}}",
        f"--policy.path={policy}",
        "--task=t",
        f"--state_dir={tmp_path / 's'}",
    ]
    refused(capsys, argv, "--rename_map", "observation.images.side", "observation.images.front")


def test_a_policy_for_other_joints(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, port: Path
) -> None:
    wrong = [*NAMES[:-1], "claw.pos"]
    other = build_policy(tmp_path / "other", size="tiny", cameras={}, action_names=wrong)
    refused(capsys, arm(port, tmp_path, f"--policy.path={other}"), "claw.pos", "gripper.pos")
    untouched(port)


def test_a_policy_that_is_not_there(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, port: Path
) -> None:
    refused(capsys, arm(port, tmp_path, f"--policy.path={tmp_path / 'none'}"), "--policy.path=")


def test_an_arm_without_a_calibration_is_not_moved(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, port: Path
) -> None:
    """Only control finds this out, on the bus; its words come through."""
    policy = build_policy(tmp_path / "blind", size="tiny", cameras={}, action_names=NAMES)
    argv = arm(
        port,
        tmp_path,
        f"--policy.path={policy}",
        f"--robot.calibration_dir={tmp_path}",
        "--robot.id=none",
    )
    refused(capsys, argv, "calibration", "armada calibrate")
    untouched(port)


def test_a_calibrated_arm_runs_and_is_released(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, port: Path, calibrated: list[str]
) -> None:
    """The same flags without a mistake: LeRobot's own robot type on a serial port."""
    policy = build_policy(tmp_path / "blind", size="tiny", cameras={}, action_names=NAMES)
    argv = arm(port, tmp_path, f"--policy.path={policy}", "--duration=3", *calibrated)
    assert main(argv) == 0
    assert "the duration is over" in capsys.readouterr().out
    untouched(port)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("robot: [", "isn't valid YAML"),
        ("robot: {type: so102}", "so102"),
        ("robot: {type: so101_sim}\nfsp: 3", "fsp"),
    ],
)
def test_a_bad_configuration_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, words: str
) -> None:
    path = tmp_path / "arm.yaml"
    path.write_text(text)
    refused(capsys, ["run", f"--config_path={path}"], words)


def test_a_configuration_file_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, ["run", "--config_path=/none.yaml"], "--config_path=/none.yaml")


def test_a_data_set_without_its_videos(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, shared_data: Path, policy: Path
) -> None:
    source = shared_data / "so101_cloth_wrist_3ep"
    for path in source.rglob("*.parquet"), source.rglob("*.json"):
        for file in path:
            target = tmp_path / "cut" / file.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    argv = ["replay", str(tmp_path / "cut"), f"--policy.path={policy}"]
    refused(capsys, argv, "a video file is missing", "file-000.mp4")


def test_a_policy_for_another_camera_is_not_replayed(
    capsys: pytest.CaptureFixture[str], shared_data: Path, policy: Path
) -> None:
    argv = ["replay", str(shared_data / "so101_cloth_wrist_3ep"), f"--policy.path={policy}"]
    refused(capsys, argv, "observation.images.front", "observation.images.wrist")


def test_nothing_that_drives(capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, ["run", "--robot.type=so101_sim"], "nothing drives the arm")


def test_from_a_shell_it_is_one_line_and_status_2(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "agent.cli", "run", "--robot.type=so102_follower"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "so102_follower" in done.stderr
