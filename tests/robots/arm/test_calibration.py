"""File and servos, on LeRobot's driver and emulated servos."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lerobot.robots.bi_so_follower import BiSOFollowerConfig
from lerobot.robots.so_follower import SO101Follower, SO101FollowerConfig, SOFollowerConfig

from agent.control.build import make_robot
from robots.arm import calibration, registers
from robots.arm.calibration import Difference
from robots.arm.parts import followers
from robots.arm.users import users
from robots.errors import ConfigError, DeviceError
from robots.sim import SO101Sim, SO101SimConfig


@pytest.fixture
def sim() -> Iterator[SO101Sim]:
    robot, _ = make_robot(SO101SimConfig(id=f"calibration{os.getpid()}"))
    assert isinstance(robot, SO101Sim)
    with robot.powered():
        robot.bus.connect(handshake=False)
        yield robot
        registers.close(robot.bus)


def changed(robot: Any, motor: str, **fields: int) -> calibration.Calibration:
    """The robot's calibration with something else in it."""
    whole = dict(robot.calibration)
    whole[motor] = dataclasses.replace(whole[motor], **fields)
    return whole


def test_a_robot_is_one_arm_two_or_none(tmp_path: Path, sim: SO101Sim) -> None:
    assert followers(sim) == [("", sim)]
    arm = SOFollowerConfig(port="/dev/none")
    two, _ = make_robot(
        BiSOFollowerConfig(
            id="x", calibration_dir=tmp_path, left_arm_config=arm, right_arm_config=arm
        )
    )
    assert [prefix for prefix, _ in followers(two)] == ["left_", "right_"]
    assert all(part.calibration_fpath.parent == tmp_path for _, part in followers(two))


def test_equal_and_different(sim: SO101Sim) -> None:
    assert calibration.differences(sim.bus, sim.calibration) == []
    range_max = sim.calibration["gripper"].range_max
    other = changed(sim, "gripper", range_max=range_max - 7, homing_offset=-900)
    assert calibration.differences(sim.bus, other) == [
        Difference("gripper", "homing_offset", -900, sim.calibration["gripper"].homing_offset),
        Difference("gripper", "range_max", range_max - 7, range_max),
    ]


def test_a_joint_that_only_one_side_has(sim: SO101Sim) -> None:
    whole = dict(sim.calibration)
    whole["tail"] = whole.pop("gripper")
    found = calibration.differences(sim.bus, whole)
    assert [str(d) for d in found] == [
        "gripper isn't in the file",
        "tail is in the file but not on the arm",
    ]
    with pytest.raises(ConfigError, match="other joints"):
        calibration.write(sim.bus, whole)


def test_differences_are_seen_through_an_alarm(sim: SO101Sim) -> None:
    sim.command(do="set", id=3, register="Present_Temperature", value=90)
    assert calibration.differences(sim.bus, sim.calibration) == []


def test_a_silent_servo_is_named(sim: SO101Sim) -> None:
    sim.command(do="dead", id=3, dead=True)
    with pytest.raises(DeviceError, match=r"elbow_flex doesn't answer \(id 3"):
        calibration.differences(sim.bus, sim.calibration)


def test_writing_is_read_back_and_survives_a_power_cut(sim: SO101Sim) -> None:
    other = changed(sim, "wrist_flex", range_min=900, homing_offset=-2047)
    calibration.write(sim.bus, other)
    assert calibration.differences(sim.bus, other) == []
    sim.command(do="reset", id=4)
    assert calibration.differences(sim.bus, other) == []


def test_nothing_is_written_under_torque(sim: SO101Sim) -> None:
    sim.bus.enable_torque("elbow_flex")
    other = changed(sim, "gripper", range_max=3000)
    with pytest.raises(DeviceError, match="elbow_flex has torque"):
        calibration.write(sim.bus, other)
    assert calibration.differences(sim.bus, sim.calibration) == []
    registers.torque_off(sim.bus)
    calibration.write(sim.bus, other)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"range_min": 2000, "range_max": 2100}, "elbow_flex.range.*only 100 ticks"),
        ({"range_min": 2100, "range_max": 2000}, "elbow_flex.range.*range_min < range_max"),
        ({"range_max": 4096}, "elbow_flex.range"),
        ({"homing_offset": 2048}, "elbow_flex.homing_offset=2048"),
        ({"id": 1}, "elbow_flex.id=1: is the id of shoulder_pan"),
    ],
)
def test_an_implausible_calibration_names_the_joint(
    sim: SO101Sim, tmp_path: Path, fields: dict[str, int], said: str
) -> None:
    wrong = changed(sim, "elbow_flex", **fields)
    with pytest.raises(ConfigError, match=said):
        calibration.write(sim.bus, wrong)
    path = tmp_path / "a.json"
    calibration.save_file(path, wrong)
    with pytest.raises(ConfigError, match=said):
        calibration.load_file(path)
    assert calibration.differences(sim.bus, sim.calibration) == []


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"gripper": {"id": 6}}', '{"gripper": 1}', "\x00"]
)
def test_a_file_that_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"a\.json"):
        calibration.load_file(path)


def test_a_number_that_is_none(sim: SO101Sim, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    data = json.loads(sim.calibration_fpath.read_text())
    data["gripper"]["range_min"] = 12.5
    path.write_text(json.dumps(data))
    with pytest.raises(ConfigError, match=r"gripper\.range_min=12\.5"):
        calibration.load_file(path)
    with pytest.raises(ConfigError, match="no such calibration file"):
        calibration.load_file(tmp_path / "b.json")


def test_what_is_saved_is_what_lerobot_reads(sim: SO101Sim, tmp_path: Path) -> None:
    path = tmp_path / "arm.json"
    assert calibration.save_file(path, sim.calibration) is None
    fresh = SO101Follower(SO101FollowerConfig(id="arm", port="/dev/none", calibration_dir=tmp_path))
    assert fresh.calibration == sim.calibration == calibration.load_file(path)
    assert path.read_text() == sim.calibration_fpath.read_text(), "byte for byte as LeRobot's"
    kept = calibration.save_file(path, changed(sim, "gripper", range_max=3000))
    assert kept is not None
    assert calibration.load_file(kept) == sim.calibration
    assert kept.name.startswith("arm.json.")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["arm.json", kept.name]


@pytest.mark.shared_data
def test_real_calibrations_are_plausible(shared_data: Path) -> None:
    files = sorted((shared_data / "so101_calibrations").glob("*.json"))
    assert len(files) == 6
    for path in files:
        assert len(calibration.load_file(path)) == 6


def test_who_has_a_port_open(sim: SO101Sim) -> None:
    """This process and the emulator have it open: neither is anybody else."""
    assert users(sim.bus.port) == []
