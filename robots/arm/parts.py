"""Which arms with a servo bus a robot consists of."""

from __future__ import annotations

from typing import Any

from lerobot.robots import Robot

_TWO = (("left_", "left_arm"), ("right_", "right_arm"))
"""Prefix of the joints' names → attribute, as LeRobot's ``BiSOFollower`` has them."""


def followers(robot: Robot) -> list[tuple[str, Any]]:
    """The (prefix, follower) pairs of a robot; a follower has ``bus``, ``calibration``,
    ``calibration_fpath`` and ``is_calibrated``.

    One arm is itself, with the prefix ``""``; two arms are ``left_`` and ``right_``; a robot
    without a servo bus (a recording that is played) has none.
    """
    if _has_bus(robot):
        return [("", robot)]
    arms = [(prefix, getattr(robot, attribute, None)) for prefix, attribute in _TWO]
    return [(prefix, arm) for prefix, arm in arms if arm is not None and _has_bus(arm)]


def _has_bus(part: Any) -> bool:
    return hasattr(part, "bus") and hasattr(part, "calibration_fpath")
