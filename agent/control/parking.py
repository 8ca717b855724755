"""The way back to the pose at start."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_LIMIT = 2.5
"""Times the planned duration: then it is over, wherever the arm is (something is in its way)."""

Vector = NDArray[np.float32]


class Parking:
    """A straight way in joint space.

    Args:
        seconds: How long it takes; far joints take longer, as the guard allows.
        period_s: Of the control loop.
    """

    def __init__(self, seconds: float, period_s: float) -> None:
        self._seconds = seconds
        self._period_s = period_s
        self._began: float | None = None

    @property
    def active(self) -> bool:
        return self._began is not None

    def begin(self, now_s: float) -> None:
        if self._began is None:
            self._began = now_s

    def end(self) -> None:
        self._began = None

    def action(self, last: Vector, target: Vector, now_s: float) -> Vector:
        """(A,) the next goal after ``last`` on the way to ``target``."""
        elapsed = now_s - (self._began if self._began is not None else now_s)
        steps = max(1.0, (self._seconds - elapsed) / self._period_s)
        return (last + (target - last) / steps).astype(np.float32)

    def done(self, last: Vector | None, target: Vector | None, now_s: float) -> bool:
        """Whether it is over, since it has arrived or can't."""
        if self._began is None or last is None or target is None:
            return False
        elapsed = now_s - self._began
        there = bool(np.allclose(last, target, atol=1e-3))
        return there or elapsed >= self._seconds * _LIMIT
