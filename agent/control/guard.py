"""The guard between any source of actions and the arm: finite, in range, in steps. Always on.

Pure: no clock, no arm, no state but the limits. What it lets through is finite, inside the joint
range less the margin, and at most ``max_step`` away from the action before.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robots.errors import ConfigError


@dataclass(frozen=True)
class Verdict:
    """What may be sent.

    Args:
        action: (A,) float32, safe.
        trips: Rule → names of the joints for which it changed the action; empty: untouched.
    """

    action: NDArray[np.float32]
    trips: dict[str, tuple[str, ...]]


class Guard:
    """Limits for the joints of one arm.

    Args:
        names: A action names.
        low, high: (A,) ends of the range in the robot's units; ±inf where a robot has none.
        max_step_percent: Largest change per tick, % of the range.
        margin_percent: Kept from each end, % of the range.

    Raises:
        ConfigError: an empty or reversed range.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        low: NDArray[np.float32],
        high: NDArray[np.float32],
        *,
        max_step_percent: float,
        margin_percent: float = 0.0,
    ) -> None:
        span = high - low
        for name, width in zip(names, span, strict=True):
            if not width > 0:
                raise ConfigError(
                    "the joint's range is empty",
                    field=name,
                    value=width,
                    remedy="Calibrate the arm again",
                )
        bounded = np.isfinite(span)
        margin = np.where(bounded, np.where(bounded, span, 0) * (margin_percent / 100), 0)
        self.names = names
        self.low = (low + margin).astype(np.float32)
        self.high = (high - margin).astype(np.float32)
        self.max_step = np.where(bounded, span * (max_step_percent / 100), np.inf).astype(
            np.float32
        )

    def check(self, action: NDArray[np.float32], previous: NDArray[np.float32]) -> Verdict:
        """Make ``action`` safe to send after ``previous`` (both (A,), the robot's units).

        A non-finite joint keeps its previous value; then range, then step. ``previous`` must be
        finite: it is what was last sent or observed.
        """
        trips: dict[str, tuple[str, ...]] = {}
        finite = np.isfinite(action)
        if not finite.all():
            trips["not finite"] = self._named(~finite)
            action = np.where(finite, action, previous)
        ranged = np.clip(action, self.low, self.high)
        if (outside := ranged != action).any():
            trips["out of range"] = self._named(outside)
        # The arm may be outside the range when it is switched on: the step limit wins, so that it
        # comes back slowly instead of in one jump.
        stepped = np.clip(ranged, previous - self.max_step, previous + self.max_step)
        if (jumped := stepped != ranged).any():
            trips["step too large"] = self._named(jumped)
        return Verdict(stepped.astype(np.float32), trips)

    def _named(self, mask: NDArray[np.bool_]) -> tuple[str, ...]:
        return tuple(name for name, hit in zip(self.names, mask, strict=True) if hit)
