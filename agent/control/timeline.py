"""Planned actions by tick.

A chunk computed from the observation of tick t0 answers for ticks t0, t0+1, …; it says nothing
about when it arrives. What has passed by then is dropped, what overlaps older plans replaces them
(*newest wins*). The timeline knows no policy, no clock and no arm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Planned:
    """One planned action and where it came from.

    Args:
        action: (A,) float32 in the robot's units.
        observed: The tick of the observation that it was computed from.
        generation: The policy worker that computed it.
    """

    action: NDArray[np.float32]
    observed: int
    generation: int


class Timeline:
    """Maps ticks to planned actions."""

    def __init__(self) -> None:
        self._planned: dict[int, Planned] = {}

    def add(self, chunk: NDArray[np.float32], *, observed: int, generation: int, now: int) -> int:
        """Plan a chunk.

        Args:
            chunk: (N, A) actions for ticks ``observed`` … ``observed + N - 1``.
            observed: Tick of the observation.
            generation: Generation of the policy worker.
            now: The next tick that will be acted on; earlier ones are dropped.

        Returns:
            How many of the N actions were still in time.
        """
        useful = 0
        for i, action in enumerate(chunk):
            tick = observed + i
            if tick >= now:
                self._planned[tick] = Planned(action, observed, generation)
                useful += 1
        return useful

    def take(self, tick: int) -> Planned | None:
        """The plan for ``tick``, or ``None`` (starvation); plans up to ``tick`` are forgotten."""
        planned = self._planned.pop(tick, None)
        for passed in [t for t in self._planned if t < tick]:
            del self._planned[passed]
        return planned

    def remaining(self, tick: int) -> int:
        """How many ticks from ``tick`` on are planned without a gap."""
        n = 0
        while tick + n in self._planned:
            n += 1
        return n

    def clear(self) -> None:
        self._planned.clear()

    def __len__(self) -> int:
        return len(self._planned)
