"""The arm never asks, comes back when it is plugged in again, and is let go whatever is broken."""

from __future__ import annotations

import contextlib
import os
import termios
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from lerobot.motors import MotorCalibration

from agent.control.arm import LOST_AFTER, Arm, joint_ranges
from agent.ipc import FrameLayout
from robots.errors import DeviceError
from robots.sim import SO101Sim, SO101SimConfig
from tests.helpers import wait_until


def sim(**fields: object) -> SO101Sim:
    return SO101Sim(SO101SimConfig(id=f"arm{os.getpid()}", num_read_retries=0, **fields))  # type: ignore[arg-type]


def layout(robot: SO101Sim) -> FrameLayout:
    return FrameLayout.from_features(robot.observation_features, robot.action_features)


@pytest.fixture
def robot() -> Iterator[SO101Sim]:
    robot = sim()
    yield robot
    with contextlib.suppress(OSError, termios.error, RuntimeError):
        robot.disconnect()


@pytest.fixture
def arm(robot: SO101Sim) -> Arm:
    arm = Arm(robot, layout(robot))
    arm.connect()
    return arm


def test_what_is_sent_is_reached_and_seen(arm: Arm) -> None:
    first = arm.observe()
    assert first is not None
    assert first.images["front"].shape == (96, 96, 3)
    goal = first.state + 5
    assert arm.act(goal)

    def there() -> bool:
        seen = arm.observe()
        return seen is not None and bool(np.allclose(seen.state, goal, atol=0.5))

    wait_until(there)


def test_a_calibration_that_differs_is_refused_without_a_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(prompt: str = "") -> str:
        raise AssertionError(f"asked: {prompt}")

    monkeypatch.setattr("builtins.input", ask)
    robot = sim(calibration_dir=tmp_path)
    calibration = robot.calibration["gripper"]
    robot.calibration["gripper"] = MotorCalibration(
        id=6, drive_mode=0, homing_offset=calibration.homing_offset + 9, range_min=1, range_max=2
    )
    with pytest.raises(DeviceError, match="calibration in the servos differs"):
        Arm(robot, layout(robot)).connect()
    assert not robot.bus.is_connected


def test_unplugged_it_is_lost_and_plugged_in_again_it_is_back(arm: Arm, robot: SO101Sim) -> None:
    robot.command(do="unplug")
    wait_until(lambda: not Path(robot.bus.port).exists())
    for _ in range(LOST_AFTER):
        assert not arm.is_lost()
        assert arm.observe() is None
    assert arm.is_lost()
    # The emulator ends with the release and starts again with the connection, as a power cycle.
    wait_until(arm.reconnect, timeout_s=30, what="the arm is back")
    assert not arm.is_lost()
    assert arm.observe() is not None


def test_one_dead_servo_costs_readings_and_not_the_port(arm: Arm, robot: SO101Sim) -> None:
    robot.command(do="dead", id=4, dead=True)
    wait_until(lambda: arm.observe() is None)
    arm.release()
    assert not robot.bus.is_connected


def test_ranges_are_the_calibrated_ones(arm: Arm, robot: SO101Sim) -> None:
    ranges = joint_ranges(robot)
    low, high = ranges["shoulder_pan.pos"]
    assert (low, high) == pytest.approx((-118.7, 118.7), abs=0.2)
    assert ranges["gripper.pos"] == (0.0, 100.0)
    lows, highs = arm.limits()
    assert lows[0] == np.float32(low)
    assert (lows < highs).all()


def test_in_percent_a_range_is_what_it_is_by_definition() -> None:
    assert joint_ranges(sim(use_degrees=False))["elbow_flex.pos"] == (-100.0, 100.0)


def test_a_robot_that_states_no_range_has_none() -> None:
    assert joint_ranges(object()) == {}  # type: ignore[arg-type]
