"""The emulated arm with weight: MuJoCo's SO-101 on a table, and a cube to pick up.

A servo is the model's position actuator, as soft as a real one, whose set point runs to the goal at
the servo's top speed at most. Without torque its gain is nothing and gravity has the arm; limits of
its torque are limits of its force. Physics follows the wall clock in steps of 4 ms.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from robots.emulator import mujoco_model as model
from robots.emulator.mujoco_model import mujoco
from robots.emulator.plant import TOP_SPEED_TICKS_S
from robots.emulator.scene_file import Scene, SceneFile

LIFT_M = 0.05
HOLD_S = 0.25
"""A success: the cube is so much above where it lay, for so long."""

_CATCH_UP_S = 0.5
"""A process that stood still for longer has lost that time; the arm has not moved meanwhile."""

_OUT_OF_REACH_M = 0.36
_LOST_S = 3.0
"""A cube that lies out of reach for so long is put back."""

_BLOCKED_DAMPING = 1e4
"""N·m·s/rad: what holds a blocked joint, against a servo of 3 N·m."""


class MujocoPlant:
    """Six joints, a table and a cube.

    Args:
        folder: Where the scene is shown: ``<folder>/scene``.
        seed: Of the cube's starts.

    Raises:
        DeviceError: the MuJoCo packages are not installed.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self._model = model.build()
        self._data = mujoco.MjData(self._model)
        self._gain = self._model.actuator_gainprm.copy()
        self._bias = self._model.actuator_biasprm.copy()
        self._force = self._model.actuator_forcerange.copy()
        self._damping = self._model.dof_damping[:6].copy()
        self._range = self._model.jnt_range[:6].copy()
        self._file = SceneFile(folder, create=True)
        self._setpoint = model.REST.copy()
        self._torque: NDArray[np.bool_] = np.zeros(6, bool)
        self._owed_s = 0.0
        self._steps = 0
        self._resets = 0
        self._successes = 0
        self._up_s = self._lost_s = 0.0
        self._counted = False
        self.position: NDArray[np.float64] = np.zeros(6)
        self.velocity: NDArray[np.float64] = np.zeros(6)
        self.load: NDArray[np.float64] = np.zeros(6)
        self.full_at = self._force[:, 1] / self._gain[:, 0] / model.RADIANS_PER_TICK
        self._data.qpos[:6] = model.REST
        self._apply(self._torque, np.ones(6, bool), np.ones(6))
        self.reset(seed)

    def limits_ticks(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(6,) lowest and highest sensor position before the joints' stops."""
        low, high = self._range.T
        return model.to_ticks(low, sensor=True), model.to_ticks(high, sensor=True)

    def reset(self, seed: int) -> None:
        """Put the cube at a random start within reach; the arm stays where it is."""
        self._random = np.random.default_rng(seed)
        self._put_back()
        self._show()

    def step(
        self,
        goal: NDArray[np.float64],
        torque: NDArray[np.bool_],
        dt_s: float,
        free: NDArray[np.bool_] | None = None,
        strength: NDArray[np.float64] | None = None,
    ) -> None:
        """Advance by ``dt_s``: goal (6,) ticks, torque (6,) whether each servo pulls, free (6,)
        whether nothing blocks the joint, strength (6,) share of its torque that it may use."""
        self._apply(
            torque,
            np.ones(6, bool) if free is None else free,
            np.ones(6) if strength is None else strength,
        )
        wanted = np.clip(model.to_radians(goal, sensor=True), *self._range.T)
        reach = TOP_SPEED_TICKS_S * model.RADIANS_PER_TICK * model.TIMESTEP_S
        self._owed_s = min(self._owed_s + dt_s, _CATCH_UP_S)
        while self._owed_s >= model.TIMESTEP_S:
            self._owed_s -= model.TIMESTEP_S
            self._setpoint += np.clip(wanted - self._setpoint, -reach, reach)
            self._data.ctrl[:] = self._setpoint
            mujoco.mj_step(self._model, self._data)
            self._steps += 1
            self._judge()
        self._show()

    def place(self, joint: int, position: float) -> None:
        """A hand puts a joint (0..5) at a position in ticks."""
        ticks = self.position.copy()
        ticks[joint] = position
        angle = model.to_radians(ticks, sensor=True)[joint]
        self._data.qpos[joint] = np.clip(angle, *self._range[joint])
        self._data.qvel[joint] = 0.0
        self._setpoint[joint] = self._data.qpos[joint]
        self._show()

    def close(self) -> None:
        """The scene is gone; who still looks sees its last moment."""
        self._file.path.unlink(missing_ok=True)
        self._file.close()

    def _apply(
        self, torque: NDArray[np.bool_], free: NDArray[np.bool_], strength: NDArray[np.float64]
    ) -> None:
        # A servo that begins to pull starts from where it is.
        began = torque & ~self._torque
        self._setpoint[began] = self._data.qpos[:6][began]
        self._torque = torque.copy()
        self._model.actuator_gainprm[:] = np.where(torque[:, None], self._gain, 0.0)
        self._model.actuator_biasprm[:] = np.where(torque[:, None], self._bias, 0.0)
        self._model.actuator_forcerange[:] = self._force * strength[:, None]
        self._model.dof_damping[:6] = np.where(free, self._damping, _BLOCKED_DAMPING)

    def _judge(self) -> None:
        """Count lifts, and see to a cube that was lost."""
        x, y, z = self._data.qpos[6:9]
        above = z - model.CUBE_HALF_M
        self._up_s = self._up_s + model.TIMESTEP_S if above > LIFT_M else 0.0
        if self._up_s >= HOLD_S and not self._counted:
            self._successes += 1
            self._counted = True
        elif above < LIFT_M / 5:
            self._counted = False
        away = float(np.hypot(x - model.PAN_AXIS_M[0], y - model.PAN_AXIS_M[1]))
        lost = away > _OUT_OF_REACH_M and above < LIFT_M
        self._lost_s = self._lost_s + model.TIMESTEP_S if lost else 0.0
        if self._lost_s >= _LOST_S:
            self._put_back()

    def _put_back(self) -> None:
        self._data.qpos[6:] = model.start_of_cube(self._random)
        self._data.qvel[6:] = 0.0
        self._resets += 1
        self._up_s = self._lost_s = 0.0
        self._counted = False
        mujoco.mj_forward(self._model, self._data)

    def _show(self) -> None:
        self.position = model.to_ticks(self._data.qpos[:6], sensor=True)
        self.velocity = self._data.qvel[:6] / model.RADIANS_PER_TICK
        self.load = np.abs(self._data.actuator_force[:6]) / self._force[:, 1]
        self._file.write(
            Scene(
                qpos=self._data.qpos,
                steps=self._steps,
                resets=self._resets,
                successes=self._successes,
                lifted=self._up_s > 0,
                time_s=time.monotonic(),
            )
        )
