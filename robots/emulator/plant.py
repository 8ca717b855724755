"""How emulated joints move: the interface of a plant, and first-order dynamics with a speed limit.

A torqued joint follows its goal with a time constant and at most at the servo's top speed; a free
one stays where it is (nothing weighs here; gravity is for the MuJoCo plant). Positions are in
ticks, as the servo's own sensor sees them, less the homing offset.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

TIME_CONSTANT_S = 0.06
TOP_SPEED_TICKS_S = 3400.0
"""An STS3215 at 7.4 V turns 60° in 0.2 s without load: 50 rpm, 3,413 ticks/s."""

FULL_AT_TICKS = 250.0
"""A servo at LeRobot's gains pulls with all its torque at 22° from its goal."""

_MOVES_AT = 0.25
"""Share of its torque that takes a joint along; one that an overload has weakened stays."""

_LOAD_OF_MOTION = 0.2


class Plant(Protocol):
    """Six joints and whatever they are part of."""

    position: NDArray[np.float64]
    """(6,) ticks."""

    velocity: NDArray[np.float64]
    """(6,) ticks/s."""

    load: NDArray[np.float64]
    """(6,) share of its torque that each servo uses, 0..1."""

    full_at: NDArray[np.float64]
    """(6,) distance from its goal at which a servo pulls with all its torque, ticks."""

    def step(
        self,
        goal: NDArray[np.float64],
        torque: NDArray[np.bool_],
        dt_s: float,
        free: NDArray[np.bool_],
        strength: NDArray[np.float64],
    ) -> None:
        """Advance by ``dt_s``: goal (6,) ticks, torque (6,) whether each servo pulls, free (6,)
        whether nothing blocks the joint, strength (6,) share of its torque that it may use."""

    def place(self, joint: int, position: float) -> None:
        """A hand puts a joint (0..5) at a position in ticks."""

    def close(self) -> None:
        """The arm is switched off."""


class FirstOrderPlant:
    """Six joints that weigh nothing.

    Args:
        position: (6,) ticks at the start.
    """

    def __init__(self, position: NDArray[np.float64]) -> None:
        self.position = position.astype(float).copy()
        self.velocity = np.zeros_like(self.position)
        self.load = np.zeros_like(self.position)
        self.full_at = np.full_like(self.position, FULL_AT_TICKS)

    def step(
        self,
        goal: NDArray[np.float64],
        torque: NDArray[np.bool_],
        dt_s: float,
        free: NDArray[np.bool_] | None = None,
        strength: NDArray[np.float64] | None = None,
    ) -> None:
        share = 1.0 - math.exp(-dt_s / TIME_CONSTANT_S)
        reach = TOP_SPEED_TICKS_S * dt_s
        move = np.clip((goal - self.position) * share, -reach, reach)
        most = np.ones_like(self.position) if strength is None else strength
        moves = most >= _MOVES_AT if free is None else free & (most >= _MOVES_AT)
        move = np.where(torque & moves, move, 0.0)
        wants = np.abs(goal - self.position) / self.full_at
        used = np.minimum(wants, np.where(moves, _LOAD_OF_MOTION, most))
        self.load = np.where(torque, np.minimum(used, most), 0.0)
        self.position += move
        self.velocity = move / dt_s if dt_s > 0 else np.zeros_like(move)

    def place(self, joint: int, position: float) -> None:
        self.position[joint] = position

    def close(self) -> None:
        """Nothing is open."""


def make_plant(name: str, folder: Path, position: NDArray[np.float64], seed: int) -> Plant:
    """A plant by name.

    Args:
        name: ``first_order`` or ``mujoco``.
        folder: Where the MuJoCo plant shows its scene.
        position: (6,) ticks at the start; MuJoCo's scene has a pose of its own.
        seed: Of what lies on MuJoCo's table.

    Raises:
        ArmadaError: the MuJoCo packages are not installed.
    """
    if name == "mujoco":
        from robots.emulator.mujoco_plant import MujocoPlant

        return MujocoPlant(folder=folder, seed=seed)
    return FirstOrderPlant(position)
