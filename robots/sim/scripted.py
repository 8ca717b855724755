"""The scripted expert: reaches whatever goal an emulated arm is shown, by a smooth motion.

A LeRobot teleoperator, so ``lerobot-record`` and ``armada run`` record its demonstrations as they
would a person's.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from lerobot.teleoperators import Teleoperator
from numpy.typing import NDArray

from robots.emulator import joints
from robots.emulator.world import WorldFile, folder
from robots.sim.config import ScriptedReachConfig


class ScriptedReach(Teleoperator):  # type: ignore[misc]
    """Minimum-jerk motions from where the arm was sent to where the goal is.

    Args:
        config: See ScriptedReachConfig.
    """

    config_class = ScriptedReachConfig
    name = "scripted_reach"

    def __init__(self, config: ScriptedReachConfig) -> None:
        self._robot_id = config.robot_id or config.id or "default"
        config.calibration_dir = config.calibration_dir or folder(self._robot_id) / "calibration"
        super().__init__(config)
        self._config = config
        self._world: WorldFile | None = None
        self._goal: NDArray[np.float64] | None = None
        self._start: NDArray[np.float64] = np.zeros(len(joints.NAMES))
        self._command: NDArray[np.float64] = self._start
        self._began = 0.0

    @property
    def action_features(self) -> dict[str, type]:
        return {f"{name}.pos": float for name in joints.NAMES}

    @property
    def feedback_features(self) -> dict[str, type]:
        return {}

    @property
    def is_connected(self) -> bool:
        return self._world is not None

    def connect(self, calibrate: bool = True) -> None:
        """Look at the arm; it must have been started.

        Raises:
            DeviceError: there is no emulated arm of that id.
        """
        self._world = WorldFile(folder(self._robot_id) / "world")
        self._command = self._world.read().position

    @property
    def is_calibrated(self) -> bool:
        return True

    def calibrate(self) -> None:
        """A script needs none."""

    def configure(self) -> None:
        """A script needs none."""

    def get_action(self) -> dict[str, float]:
        """Where the arm should be now, in the robot's units."""
        if self._world is None:
            raise ConnectionError("the scripted expert isn't connected")
        goal = self._world.read().goal
        now = time.monotonic()
        if self._goal is None or not np.array_equal(goal, self._goal):
            self._goal, self._start, self._began = goal, self._command, now
        share = min(1.0, (now - self._began) / self._config.reach_s)
        # Minimum jerk (Flash and Hogan, 1985): rest to rest.
        smooth = share**3 * (10 - 15 * share + 6 * share**2)
        self._command = self._start + (goal - self._start) * smooth
        return joints.to_robot_units(self._command, degrees=self._config.use_degrees)

    def send_feedback(self, feedback: dict[str, Any]) -> None:
        """A script feels nothing."""

    def disconnect(self) -> None:
        if self._world is not None:
            self._world.close()
        self._world = self._goal = None
