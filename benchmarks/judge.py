"""Judges an arm by the plant's own account: where its joints were, how fast, what they were told.

What counts, per joint and between two looks:

* *position* and *goal* while the servo pulls: inside the guard's range, ``SLACK_TICKS`` for
  rounding (degrees to ticks in the driver, the position register). A joint that a hand or its
  weight took outside while it was limp has to come back by steps: it is excused until it was inside
  again.
* *speed* while the servo pulls: the guard lets goals move by v × period per tick, so they move at
  v. The joint runs after a staircase, not a ramp: behind a step its speed is
  v × (T/τ) / (1 − e^(−T/τ)), T the period, τ the plant's time constant: 1.30 v at 30 Hz. A goal
  that reaches the servo ``JITTER_S`` late meets the next one too soon, which adds
  v × (T/τ) / (e^(T/τ) − 1) × (e^(jitter/τ) − 1).
* A joint that was held by an obstacle (or whose sensor lied) springs to its goal when that ends,
  as fast as the servo can: no goal moves then. The guard bounds how far (``lead_percent``), nothing
  bounds how fast. Such moments are counted apart, as *springs*.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.control.limits import GuardConfig
from robots.emulator import joints
from robots.emulator.plant import TIME_CONSTANT_S

SLACK_TICKS = 2.0
JITTER_S = 0.02
_MAX_KEPT = 50

Ticks = NDArray[np.float64]


@dataclass(frozen=True)
class Bounds:
    """What is allowed, (6,) each: ticks, and ticks/s."""

    low: Ticks
    high: Ticks
    nominal: Ticks
    fastest: Ticks


def bounds(guard: GuardConfig, fps: float, jitter_s: float = JITTER_S) -> Bounds:
    """The guard's limits on the emulated arm in ticks, and the speed that they can come to."""
    low, high = joints.limits()
    limits = [guard.of(f"{name}.pos") for name in joints.NAMES]
    share = (high - low) / 100
    margin = np.array([limit.margin_percent for limit in limits]) * share
    nominal = np.array([limit.speed_percent for limit in limits]) * share
    beat = 1 / fps / TIME_CONSTANT_S
    stairs = beat / (1 - math.exp(-beat))
    late = beat / (math.exp(beat) - 1) * (math.exp(jitter_s / TIME_CONSTANT_S) - 1)
    rounding = 1 / TIME_CONSTANT_S
    return Bounds(low + margin, high - margin, nominal, nominal * (stairs + late) + rounding)


@dataclass
class Judge:
    """Looks at one account after the other.

    Args:
        bounds: What is allowed.
    """

    bounds: Bounds
    violations: list[str] = field(default_factory=list)
    count: int = 0
    springs: int = 0

    def __post_init__(self) -> None:
        self.lowest: Ticks = np.full(6, np.inf)
        self.highest: Ticks = np.full(6, -np.inf)
        self.goal_lowest: Ticks = np.full(6, np.inf)
        self.goal_highest: Ticks = np.full(6, -np.inf)
        self.fastest: Ticks = np.zeros(6)
        self.spring: Ticks = np.zeros(6)
        self.outside: NDArray[np.bool_] = np.zeros(6, bool)
        self._free: NDArray[np.bool_] = np.ones(6, bool)

    def accuse(self, what: str) -> None:
        """A violation."""
        self.count += 1
        if len(self.violations) < _MAX_KEPT:
            self.violations.append(what)

    def look(
        self, account: dict[str, Any], loose: NDArray[np.bool_], taut: NDArray[np.bool_]
    ) -> None:
        """What the plant saw since the last look.

        Args:
            account: ``robots.emulator.account``'s, cleared at the last look.
            loose: (6,) whether a joint was limp at some moment, as far as the script knows.
            taut: (6,) whether it was held (or its sensor lied), so that it may spring.
        """
        allowed = self.bounds
        low, high = _numbers(account["lowest"], np.inf), _numbers(account["highest"], -np.inf)
        limp = ~np.array([*account["torque"].values()], bool)
        free = limp | self._free | loose
        self._free = limp
        off = (low < allowed.low - SLACK_TICKS) | (high > allowed.high + SLACK_TICKS)
        excused = self.outside | free
        self._judge("position", off & ~excused, low, high)
        # Only what was inside all the time, and held, is under the rule again.
        self.outside = off & excused
        kept = ~off
        self.lowest = np.where(kept, np.minimum(self.lowest, low), self.lowest)
        self.highest = np.where(kept, np.maximum(self.highest, high), self.highest)

        low, high = (
            _numbers(account["goal_lowest"], np.inf),
            _numbers(account["goal_highest"], -np.inf),
        )
        off = (low < allowed.low - SLACK_TICKS) | (high > allowed.high + SLACK_TICKS)
        self._judge("goal", off & ~excused, low, high)
        self.outside |= off & excused
        kept = ~off
        self.goal_lowest = np.where(kept, np.minimum(self.goal_lowest, low), self.goal_lowest)
        self.goal_highest = np.where(kept, np.maximum(self.goal_highest, high), self.goal_highest)

        speed = _numbers(account["fastest"], 0.0)
        fast = speed > allowed.fastest
        self.springs += int((fast & taut).any())
        self.spring = np.where(taut, np.maximum(self.spring, speed), self.spring)
        self.fastest = np.where(taut, self.fastest, np.maximum(self.fastest, speed))
        self._judge("speed", fast & ~taut, speed, speed)

    def _judge(self, what: str, broken: NDArray[np.bool_], low: Ticks, high: Ticks) -> None:
        for i in np.flatnonzero(broken):
            seen = f"{low[i]:.0f}" if low[i] == high[i] else f"{low[i]:.0f} to {high[i]:.0f}"
            self.accuse(f"{what} of {joints.NAMES[i]}: {seen}")

    def table(self) -> str:
        """Worst position, goal and speed against what is allowed, as Markdown."""
        lines = [
            "| joint | allowed | positions | goals | limit, ticks/s | with the servo's lag "
            "| fastest | in springs |",
            "|---|---|---|---|---|---|---|---|",
        ]
        b = self.bounds
        for i, name in enumerate(joints.NAMES):
            lines.append(
                f"| {name} | {b.low[i]:.0f} to {b.high[i]:.0f} "
                f"| {self.lowest[i]:.0f} to {self.highest[i]:.0f} "
                f"| {self.goal_lowest[i]:.0f} to {self.goal_highest[i]:.0f} "
                f"| {b.nominal[i]:.0f} | {b.fastest[i]:.0f} | {self.fastest[i]:.0f} "
                f"| {self.spring[i]:.0f} |"
            )
        return "\n".join(lines)


def _numbers(values: list[float | None], missing: float) -> Ticks:
    return np.array([missing if value is None else value for value in values], float)
