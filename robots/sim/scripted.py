"""The scripted expert: reaches whatever goal an emulated arm is shown, by a smooth motion.

A LeRobot teleoperator, so ``lerobot-record`` and ``armada run`` record its demonstrations as they
would a person's.
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from robots.arm.smooth import minimum_jerk
from robots.emulator import joints
from robots.emulator.world import WorldFile, folder
from robots.sim.config import ScriptedReachConfig
from robots.sim.expert import ScriptedExpert


class ScriptedReach(ScriptedExpert):
    """Minimum-jerk motions from where the arm was sent to where the goal is.

    Args:
        config: See ScriptedReachConfig.
    """

    config_class = ScriptedReachConfig
    name = "scripted_reach"

    def __init__(self, config: ScriptedReachConfig) -> None:
        super().__init__(config)
        self._config = config
        self._world: WorldFile | None = None
        self._goal: NDArray[np.float64] | None = None
        self._start: NDArray[np.float64] = np.zeros(len(joints.NAMES))
        self._command: NDArray[np.float64] = self._start
        self._began = 0.0

    @property
    def is_connected(self) -> bool:
        return self._world is not None

    def connect(self, calibrate: bool = True) -> None:
        """Look at the arm; it must have been started.

        Raises:
            DeviceError: there is no emulated arm of that id.
        """
        self._world = WorldFile(folder(self.robot_id) / "world")
        self._command = self._world.read().position

    def get_action(self) -> dict[str, float]:
        """Where the arm should be now, in the robot's units."""
        if self._world is None:
            raise ConnectionError("the scripted expert isn't connected")
        goal = self._world.read().goal
        now = time.monotonic()
        if self._goal is None or not np.array_equal(goal, self._goal):
            self._goal, self._start, self._began = goal, self._command, now
        share = min(1.0, (now - self._began) / self._config.reach_s)
        smooth = minimum_jerk(share)
        self._command = self._start + (goal - self._start) * smooth
        return joints.to_robot_units(self._command, degrees=self._config.use_degrees)

    def disconnect(self) -> None:
        if self._world is not None:
            self._world.close()
        self._world = self._goal = None
