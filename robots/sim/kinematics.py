"""Joint angles that bring the gripper around something: damped least squares on MuJoCo's model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from robots.emulator import mujoco_model as model
from robots.emulator.mujoco_model import mujoco

_CLEARANCE_M = 0.005
_TOOL: NDArray[np.float64] = np.array([-0.0081 + model.CUBE_HALF_M + _CLEARANCE_M, 0.0, -0.095])
"""In the gripper's frame: where a cube's centre should be, so that the fixed jaw passes it."""

_ITERATIONS = 60
_DAMPING = 1e-3
_CONVERGED = 1e-4
"""rad: steps below this change nothing that the servos can do."""

_STEP = 0.25
"""rad: the largest change of a joint per iteration."""

_UPRIGHT_M = (0.1, 0.01)
"""What one radian of tilt or turn is worth, first and at the end: far away the fingers can't point
straight down, and the place matters more than the angle."""


class Kinematics:
    """The arm's geometry, with a state of its own."""

    def __init__(self) -> None:
        self._model: Any = model.build()
        self._data: Any = mujoco.MjData(self._model)
        self._gripper = self._model.body("gripper").id
        self._low, self._high = self._model.jnt_range[:5].T

    def tool(self, joints: NDArray[np.float64]) -> NDArray[np.float64]:
        """(3,) m: where the tool point is with joints (6,) rad."""
        self._forward(joints[:5])
        return self._point()

    def solve(
        self, position: NDArray[np.float64], turn: float, start: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], float]:
        """Fingers down at a place.

        Args:
            position: (3,) m, of the tool point.
            turn: Direction in which the jaws close, rad from x, about the vertical.
            start: (5,) or (6,) rad, where the search begins.

        Returns:
            (5,) joint angles in rad, and how far from the place they are, m.
        """
        q = np.clip(start[:5], self._low, self._high)
        across = np.array([np.cos(turn), np.sin(turn), 0.0])
        up = np.array([0.0, 0.0, 1.0])
        wanted = np.column_stack([across, np.cross(up, across), up])
        jacobian = np.zeros((6, self._model.nv))
        weight = _UPRIGHT_M[0]
        for iteration in range(_ITERATIONS):
            if iteration == _ITERATIONS // 2:
                weight = _UPRIGHT_M[1]
            self._forward(q)
            point = self._point()
            is_ = self._data.xmat[self._gripper].reshape(3, 3)
            turned = 0.5 * np.cross(is_, wanted, axis=0).sum(axis=1)
            error = np.concatenate([position - point, weight * turned])
            mujoco.mj_jac(self._model, self._data, jacobian[:3], jacobian[3:], point, self._gripper)
            j = np.vstack([jacobian[:3, :5], weight * jacobian[3:, :5]])
            step = _least_squares(j, error)
            # A joint at its stop can't help: the others must do without it.
            stuck = ((q <= self._low) & (step < 0)) | ((q >= self._high) & (step > 0))
            if stuck.any():
                j[:, stuck] = 0.0
                step = _least_squares(j, error)
            q = np.clip(q + np.clip(step, -_STEP, _STEP), self._low, self._high)
            if np.max(np.abs(step)) < _CONVERGED:
                # Then with less regard for the angles; then it is done.
                if weight == _UPRIGHT_M[1]:
                    break
                weight = _UPRIGHT_M[1]
        self._forward(q)
        return q, float(np.linalg.norm(position - self._point()))

    def _forward(self, q: NDArray[np.float64]) -> None:
        self._data.qpos[:5] = q
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_comPos(self._model, self._data)

    def _point(self) -> NDArray[np.float64]:
        frame = self._data.xmat[self._gripper].reshape(3, 3)
        return np.asarray(self._data.xpos[self._gripper] + frame @ _TOOL)


def _least_squares(j: NDArray[np.float64], error: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(j.T @ np.linalg.solve(j @ j.T + _DAMPING**2 * np.eye(6), error))
