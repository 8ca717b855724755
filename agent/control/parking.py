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
        seconds: How long it takes at the least.
        period_s: Of the control loop.
    """

    def __init__(self, seconds: float, period_s: float) -> None:
        self._least_s = seconds
        self._seconds = seconds
        self._period_s = period_s
        self._began: float | None = None

    @property
    def active(self) -> bool:
        return self._began is not None

    def begin(self, now_s: float, needs_s: float = 0.0) -> None:
        """Set out, if it is not under way.

        Args:
            now_s: Any clock.
            needs_s: How long the guard needs for the way.
        """
        if self._began is None:
            self._began = now_s
            self._seconds = max(self._least_s, 1.2 * needs_s)

    def end(self) -> None:
        self._began = None

    def action(self, last: Vector, target: Vector, now_s: float) -> Vector:
        """(A,) the next goal after ``last`` on the way to ``target``."""
        elapsed = now_s - (self._began if self._began is not None else now_s)
        steps = max(1.0, (self._seconds - elapsed) / self._period_s)
        return (last + (target - last) / steps).astype(np.float32)

    @property
    def limit_s(self) -> float:
        """The longest that it may take, s."""
        return self._seconds * _LIMIT

    def overdue(self, now_s: float) -> bool:
        """Whether it took so long that it never will arrive."""
        return self._began is not None and now_s - self._began >= self.limit_s

    def done(self, last: Vector | None, target: Vector | None, now_s: float) -> bool:
        """Whether it is over, since it has arrived or can't."""
        if self._began is None or last is None or target is None:
            return False
        return bool(np.allclose(last, target, atol=1e-3)) or self.overdue(now_s)
