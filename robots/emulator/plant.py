"""How emulated joints move: first-order dynamics with a speed limit.

A torqued joint follows its goal with a time constant and at most at the servo's top speed; a free
one stays where it is (nothing weighs here; gravity is for the MuJoCo plant). Positions are in
ticks, as the servo's own sensor sees them, less the homing offset.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

TIME_CONSTANT_S = 0.06
TOP_SPEED_TICKS_S = 3400.0
"""An STS3215 at 7.4 V turns 60° in 0.2 s without load: 50 rpm, 3,413 ticks/s."""


class FirstOrderPlant:
    """Six joints.

    Args:
        position: (6,) ticks at the start.
    """

    def __init__(self, position: NDArray[np.float64]) -> None:
        self.position = position.astype(float).copy()
        self.velocity = np.zeros_like(self.position)

    def step(self, goal: NDArray[np.float64], torque: NDArray[np.bool_], dt_s: float) -> None:
        """Advance by ``dt_s``: goal (6,) ticks, torque (6,) whether each servo holds."""
        share = 1.0 - math.exp(-dt_s / TIME_CONSTANT_S)
        reach = TOP_SPEED_TICKS_S * dt_s
        move = np.clip((goal - self.position) * share, -reach, reach)
        move = np.where(torque, move, 0.0)
        self.position += move
        self.velocity = move / dt_s if dt_s > 0 else np.zeros_like(move)
