"""No jump where another takes the arm: what it was sent and what is proposed now differ by an
offset, which is blended out.

Pure: no clock, no arm.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agent.control.guard import Guard
from robots.arm.smooth import PEAK, minimum_jerk

_MARGIN = 1.2
"""The proposals move too while the offset goes."""

Vector = NDArray[np.float32]


class Blend:
    """The offset between two sources, and how much of it is left.

    Args:
        seconds: How long it takes to go; longer where the guard's speeds need it.
        guard: Knows how long a way takes.
    """

    def __init__(self, seconds: float, guard: Guard) -> None:
        self._least_s = seconds
        self._guard = guard
        self._waits = False
        self._offset: Vector | None = None
        self._began = 0.0
        self._seconds = 0.0

    @property
    def active(self) -> bool:
        """Whether an offset is left, or will be taken with the next proposal."""
        return self._waits or self._offset is not None

    def begin(self) -> None:
        """The next proposal is another's than the one before it."""
        self._waits = True
        self._offset = None

    def of(self, proposal: Vector, last: Vector, now_s: float) -> Vector:
        """(A,) the goal instead of ``proposal``: ``last`` when it begins, ``proposal`` at the end.

        Args:
            proposal: (A,) what the source wants; a number that is none stays for the guard.
            last: (A,) what was sent last.
            now_s: Any clock.
        """
        if not self.active:
            return proposal
        # What is far outside the range would take for ever, and the guard keeps it out anyhow.
        ranged = np.clip(proposal, self._guard.low, self._guard.high).astype(np.float32)
        if self._waits:
            self._waits = False
            difference = np.nan_to_num(last - ranged, nan=0.0, posinf=0.0, neginf=0.0)
            needs = PEAK * _MARGIN * self._guard.seconds(difference)
            self._offset, self._began = difference, now_s
            self._seconds = max(self._least_s, needs)
        if self._offset is None or now_s - self._began >= self._seconds:
            self._offset = None
            return proposal
        left = 1.0 - minimum_jerk((now_s - self._began) / self._seconds)
        return (ranged + left * self._offset).astype(np.float32)
