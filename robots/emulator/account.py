"""The plant's own account: where the joints really were, how fast, and what they were told.

What a test believes when it asks whether an arm stayed in its range: not the driver's word.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class Account:
    """Extremes since the last ``clear``; ticks, and ticks per second."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.lowest = np.full(6, np.inf)
        self.highest = np.full(6, -np.inf)
        self.fastest = np.zeros(6)
        self.goal_lowest = np.full(6, np.inf)
        self.goal_highest = np.full(6, -np.inf)
        self.steps = 0
        self._now: NDArray[np.float64] = np.zeros(6)
        self._goal: NDArray[np.float64] = np.zeros(6)

    def note(
        self,
        position: NDArray[np.float64],
        velocity: NDArray[np.float64],
        goal: NDArray[np.float64],
        driven: NDArray[np.bool_],
    ) -> None:
        """One step of physics, (6,) each; speed and goal count where the servo pulls."""
        self.steps += 1
        self._now, self._goal = position.copy(), goal.copy()
        np.minimum(self.lowest, position, out=self.lowest)
        np.maximum(self.highest, position, out=self.highest)
        speed = np.where(driven, np.abs(velocity), 0.0)
        np.maximum(self.fastest, speed, out=self.fastest)
        np.minimum(self.goal_lowest, np.where(driven, goal, np.inf), out=self.goal_lowest)
        np.maximum(self.goal_highest, np.where(driven, goal, -np.inf), out=self.goal_highest)

    def to_json(self) -> dict[str, Any]:
        def numbers(values: NDArray[np.float64]) -> list[float | None]:
            return [round(float(v), 2) if np.isfinite(v) else None for v in values]

        return {
            "lowest": numbers(self.lowest),
            "highest": numbers(self.highest),
            "fastest": numbers(self.fastest),
            "goal_lowest": numbers(self.goal_lowest),
            "goal_highest": numbers(self.goal_highest),
            "position": numbers(self._now),
            "goal": numbers(self._goal),
            "steps": self.steps,
        }
