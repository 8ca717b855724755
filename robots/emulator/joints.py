"""The six joints of an emulated SO-101: ids, calibration, and what they look like in a scene."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

NAMES: Final = (
    "shoulder_pan",
    "shoulder_lift",
    "elbow_flex",
    "wrist_flex",
    "wrist_roll",
    "gripper",
)
RESOLUTION: Final = 4096
CENTRE: Final = 2047

_RANGES: Final = {
    "shoulder_pan": (750, 3450),
    "shoulder_lift": (850, 3250),
    "elbow_flex": (850, 3080),
    "wrist_flex": (830, 3180),
    "wrist_roll": (0, 4095),
    "gripper": (1990, 3460),
}
"""Ticks; about what six real arms were calibrated to."""

_OFFSETS: Final = (-110, 37, 880, -243, 1214, -62)
"""Homing offsets differ from arm to arm; any will do, but none should be zero by chance."""

GOAL_SPAN: Final = np.array([0.55, 0.4, 0.4, 0.4, 0.3, 0.6])
"""Share of each joint's range in which goals lie, around its middle."""


def calibration() -> dict[str, dict[str, int]]:
    """What the emulated servos are calibrated to: the fields of LeRobot's calibration files."""
    return {
        name: {
            "id": i + 1,
            "drive_mode": 0,
            "homing_offset": _OFFSETS[i],
            "range_min": _RANGES[name][0],
            "range_max": _RANGES[name][1],
        }
        for i, name in enumerate(NAMES)
    }


def limits() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(6,) lowest and highest position in ticks."""
    ranges = np.array([_RANGES[name] for name in NAMES], float)
    return ranges[:, 0], ranges[:, 1]


def unit(ticks: NDArray[np.float64]) -> NDArray[np.float64]:
    """(6,) ticks to the share of the range, 0..1."""
    low, high = limits()
    return np.asarray((ticks - low) / (high - low), float)


def to_robot_units(ticks: NDArray[np.float64], *, degrees: bool) -> dict[str, float]:
    """Ticks to LeRobot's units: degrees from the middle (or −100..100), gripper 0..100."""
    low, high = limits()
    share = unit(ticks)
    body = (ticks - (low + high) / 2) * 360 / (RESOLUTION - 1) if degrees else share * 200 - 100
    values = {f"{name}.pos": float(v) for name, v in zip(NAMES, body, strict=True)}
    values["gripper.pos"] = float(share[-1] * 100)
    return values
