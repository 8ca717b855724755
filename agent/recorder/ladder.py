"""What an encoder that lags behind costs: first resolution, then pictures, never rows or ticks."""

from __future__ import annotations

from agent.recorder.row import REPEATED

_STEPS = ((0.25, 0.5), (0.5, 0.25), (1.0, REPEATED))
"""Share of the memory for waiting pictures that is in use → quality. A quarter of the memory is two
seconds of two 640×480 cameras; pictures at half their resolution take a quarter of the room, at a
quarter a sixteenth, so each step also makes the rest last longer."""

_BACK = 0.5
"""A step is taken back when half of what led to it is in use, or quality would flicker."""


class Ladder:
    """Quality by how full the queue is.

    Args:
        limit_b: Memory for pictures that wait, in bytes.
    """

    def __init__(self, limit_b: int) -> None:
        self._limit_b = limit_b
        self._step = 0
        self.steps_down = 0

    def quality(self, waiting_b: int) -> float:
        """Of the next pictures, with so many bytes waiting."""
        fill = waiting_b / self._limit_b
        while self._step < len(_STEPS) and fill >= _STEPS[self._step][0]:
            self._step += 1
            self.steps_down += 1
        while self._step and fill < _STEPS[self._step - 1][0] * _BACK:
            self._step -= 1
        return _STEPS[self._step - 1][1] if self._step else 1.0
