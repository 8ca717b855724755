"""How far and how fast the joints of a robot go, in the robot's units."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lerobot.robots import Robot

from robots.arm.parts import followers

TOP_SPEED_TICKS_S = 5100.0
"""An STS3215 turns 3,400 ticks/s without load at 7.4 V, and half as much again at 12 V."""


@dataclass(frozen=True)
class JointRange:
    """One joint.

    Args:
        low, high: Ends of its range in the robot's units, as calibrated.
        top_speed: What its servo can do at most, units/s.
    """

    low: float
    high: float
    top_speed: float


def joint_ranges(robot: Robot) -> dict[str, JointRange]:
    """Action name (``left_gripper.pos``) → range, for what the robot states.

    SO-100/SO-101 state it by their calibration: −100..100 (or 0..100 for the gripper) by
    definition, or half the calibrated span to either side in degrees.
    """
    return {
        f"{prefix}{name}.pos": joint
        for prefix, follower in followers(robot)
        if getattr(follower.bus, "calibration", None)
        for name, joint in _of_bus(follower.bus)
    }


def _of_bus(bus: Any) -> Iterator[tuple[str, JointRange]]:
    for name, motor in bus.motors.items():
        calibration = bus.calibration.get(name)
        if calibration is None:
            continue
        mode = motor.norm_mode.value
        ticks = calibration.range_max - calibration.range_min
        if mode == "range_0_100":
            low, high = 0.0, 100.0
        elif mode == "range_m100_100":
            low, high = -100.0, 100.0
        else:
            top = bus.model_resolution_table[motor.model] - 1
            high = ticks / 2 * 360 / top
            low = -high
        yield name, JointRange(low, high, TOP_SPEED_TICKS_S * (high - low) / max(ticks, 1))
