"""What scripted experts have in common: teleoperators with no person and nothing to calibrate."""

from __future__ import annotations

from typing import Any

from lerobot.teleoperators import Teleoperator

from robots.emulator import joints
from robots.emulator.world import folder


class ScriptedExpert(Teleoperator):  # type: ignore[misc]
    """A LeRobot teleoperator for an emulated arm.

    Args:
        config: Has ``robot_id``: the arm's; empty: its own ``id``.
    """

    def __init__(self, config: Any) -> None:
        self.robot_id: str = config.robot_id or config.id or "default"
        config.calibration_dir = config.calibration_dir or folder(self.robot_id) / "calibration"
        super().__init__(config)

    @property
    def action_features(self) -> dict[str, type]:
        return {f"{name}.pos": float for name in joints.NAMES}

    @property
    def feedback_features(self) -> dict[str, type]:
        return {}

    @property
    def is_calibrated(self) -> bool:
        return True

    def calibrate(self) -> None:
        """A script needs none."""

    def configure(self) -> None:
        """A script needs none."""

    def send_feedback(self, feedback: dict[str, Any]) -> None:
        """A script feels nothing."""
