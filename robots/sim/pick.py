"""The scripted expert of the MuJoCo arm: looks where the cube is, picks it up, lifts it.

A LeRobot teleoperator: what it says goes through LeRobot's driver, the servos and the physics, as a
person's leader arm would. It knows the cube's pose from the scene, which no camera has to find.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from robots.arm.smooth import PEAK, minimum_jerk
from robots.emulator import joints
from robots.emulator.scene_file import Scene, SceneFile
from robots.emulator.world import folder
from robots.sim.expert import ScriptedExpert
from robots.sim.physics_config import ScriptedPickConfig

if TYPE_CHECKING:
    from robots.sim.kinematics import Kinematics

_HOVER_M = 0.08
_LIFT_M = 0.11
_OPEN, _CLOSED = 0.85, 0.12
"""rad, of the jaw: wide around the cube; a little past where it touches, which grips with all the
servo has and is not yet what it calls an overload."""

_RAISED = np.radians([0.0, -70.0, 45.0, 80.0, 0.0])
"""Between the folded arm and the table, so that nothing is swept away; the pan stays."""

_SETTLE_S = 0.35
_GRIP_S = 0.5
_HOLD_S = 0.6


@dataclass(frozen=True)
class Leg:
    """A motion, rest to rest.

    Args:
        target: (6,) rad.
        seconds: How long it takes.
    """

    target: NDArray[np.float64]
    seconds: float


class ScriptedPick(ScriptedExpert):
    """Picks the cube up by smooth joint motions between a few poses.

    Args:
        config: See ScriptedPickConfig.
    """

    config_class = ScriptedPickConfig
    name = "scripted_pick"

    def __init__(self, config: ScriptedPickConfig) -> None:
        super().__init__(config)
        self._config = config
        self._random = np.random.default_rng(config.seed)
        self._scene: SceneFile | None = None
        self._kinematics: Kinematics | None = None
        self._legs: list[Leg] = []
        self._start: NDArray[np.float64] = np.zeros(6)
        self._command: NDArray[np.float64] = np.zeros(6)
        self._began = 0.0
        self._tries = 0
        self._successes = 0
        self._resets = -1
        self.finished = False
        self.success = False

    @property
    def is_connected(self) -> bool:
        return self._scene is not None

    def connect(self, calibrate: bool = True) -> None:
        """Look at the table; the arm must have been started.

        Raises:
            DeviceError: there is no MuJoCo arm of that id, or MuJoCo is not installed.
        """
        from robots.sim.kinematics import Kinematics

        self._scene = SceneFile(folder(self.robot_id))
        self._kinematics = Kinematics()
        self._command = self._scene.read().joints.copy()
        self._resets = -1

    def get_action(self) -> dict[str, float]:
        """Where the arm should be now, in the robot's units."""
        if self._scene is None:
            raise ConnectionError("the scripted expert isn't connected")
        scene, now = self._scene.read(), time.monotonic()
        if scene.resets != self._resets:
            # Somebody put the cube elsewhere: whatever was under way is void.
            self._resets, self._tries = scene.resets, 0
            self._begin(scene, now)
        while self._legs and now >= self._began + self._legs[0].seconds:
            leg = self._legs.pop(0)
            self._start, self._began = leg.target, self._began + leg.seconds
            if not self._legs:
                self._ended(scene, now)
        if self._legs:
            leg = self._legs[0]
            share = (now - self._began) / leg.seconds
            smooth = minimum_jerk(share)
            self._command = self._start + (leg.target - self._start) * smooth
        else:
            self._command = self._start
        return self._in_robot_units(self._command)

    def disconnect(self) -> None:
        if self._scene is not None:
            self._scene.close()
        self._scene = self._kinematics = None
        self._legs = []

    def _begin(self, scene: Scene, now: float) -> None:
        self._tries += 1
        self._successes = scene.successes
        self.finished = self.success = False
        self._start, self._began = self._command.copy(), now
        self._legs = []
        self._pick(scene.cube)

    def _ended(self, scene: Scene, now: float) -> None:
        """The last leg is over: what became of it?"""
        self.success = scene.successes > self._successes
        if self.success and self._config.repeat and scene.lifted:
            self._put_down()
        elif not self.success and self._tries < self._config.attempts:
            self._begin(scene, now)
        elif self._config.repeat:
            self._tries = 0
            self._begin(scene, now)
        else:
            self.finished = True

    def _pick(self, cube: NDArray[np.float64]) -> None:
        place, turn = cube[:3], _closing_direction(cube)
        self._go(np.concatenate([self._start[:1], _RAISED[1:]]), _OPEN)
        above, at, up = (self._solve(place, turn, by) for by in (_HOVER_M, 0.0, _LIFT_M))
        self._go(above, _OPEN)
        self._go(self._solve(place, turn, _HOVER_M / 3), _OPEN)
        self._go(at, _OPEN, least_s=_SETTLE_S)
        self._wait(_SETTLE_S)
        self._go(at, _CLOSED, least_s=_GRIP_S)
        self._wait(_SETTLE_S)
        self._go(up, _CLOSED)
        self._wait(_HOLD_S)

    def _put_down(self) -> None:
        from robots.emulator.mujoco_model import start_of_cube

        cube = start_of_cube(self._random)
        place, turn = cube[:3], _closing_direction(cube)
        self._go(self._solve(place, turn, _LIFT_M), _CLOSED)
        self._go(self._solve(place, turn, 0.002), _CLOSED)
        self._wait(_SETTLE_S)
        self._go(self._solve(place, turn, 0.002), _OPEN, least_s=_GRIP_S)
        self._go(self._solve(place, turn, _HOVER_M), _OPEN)
        self._successes = self._scene.read().successes if self._scene else 0

    def _solve(self, place: NDArray[np.float64], turn: float, above: float) -> NDArray[np.float64]:
        assert self._kinematics is not None
        pan = math.atan2(place[1], place[0])
        guess = np.concatenate([[-pan], _RAISED[1:]])
        return self._kinematics.solve(place + np.array([0, 0, above]), turn, guess)[0]

    def _go(self, body: NDArray[np.float64], jaw: float, least_s: float = 0.25) -> None:
        target = np.concatenate([body, [jaw]])
        before = self._legs[-1].target if self._legs else self._start
        far = float(np.max(np.abs(target - before)))
        self._legs.append(Leg(target, max(least_s, PEAK * far / math.radians(self._config.speed))))

    def _wait(self, seconds: float) -> None:
        self._legs.append(Leg(self._legs[-1].target, seconds))

    def _in_robot_units(self, radians: NDArray[np.float64]) -> dict[str, float]:
        from robots.emulator.mujoco_model import to_ticks

        ticks = to_ticks(radians, sensor=False)
        return joints.to_robot_units(ticks, degrees=self._config.use_degrees)


def _closing_direction(cube: NDArray[np.float64]) -> float:
    """Across a pair of the cube's faces, rad: the pair nearest to straight away from the arm."""
    w, x, y, z = cube[3:]
    yaw = math.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
    away = math.atan2(cube[1], cube[0])
    return away + (yaw - away + math.pi / 4) % (math.pi / 2) - math.pi / 4
