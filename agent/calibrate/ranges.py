"""The ranges of motion while a person moves the joints, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from robots.arm.calibration import FULL_TURN, MAX_RANGE_TICKS, MIN_RANGE_TICKS

LAST_TICK = 4095


@dataclass
class Range:
    """One joint's, in ticks.

    Args:
        low, high: The extremes so far.
        now: Where it is.
    """

    low: int
    high: int
    now: int

    @property
    def width(self) -> int:
        return self.high - self.low

    def include(self, position: int) -> bool:
        """Take a position in; whether it is a new extreme."""
        self.now = position
        wider = not self.low <= position <= self.high
        self.low, self.high = min(self.low, position), max(self.high, position)
        return wider


@dataclass
class Ranges:
    """All joints' since the middle pose."""

    of: dict[str, Range] = field(default_factory=dict)

    def include(self, positions: Mapping[str, float]) -> set[str]:
        """Take positions in, ticks; the joints whose range grew."""
        grew = set()
        for motor, value in positions.items():
            position = int(value)
            if motor not in self.of:
                self.of[motor] = Range(position, position, position)
            elif self.of[motor].include(position):
                grew.add(motor)
        return grew

    def too_small(self) -> dict[str, str]:
        """Joint → complaint, for those that were hardly moved."""
        return {
            motor: f"{motor} moved only {r.width} ticks: is it stuck?"
            for motor, r in self.of.items()
            if r.width < MIN_RANGE_TICKS
        }

    def wrapped(self) -> dict[str, str]:
        """Joint → complaint, for those that went past the end of their encoder: the middle pose
        was not in the middle."""
        return {
            motor: f"{motor} went past the end of its encoder ({r.low}..{r.high}): "
            "its middle was not in the middle"
            for motor, r in self.of.items()
            if motor != FULL_TURN and (r.width > MAX_RANGE_TICKS or r.low < 0 or r.high > LAST_TICK)
        }

    def calibrated(self, motor: str) -> tuple[int, int]:
        """What goes into the calibration: LeRobot gives ``wrist_roll`` the whole turn."""
        if motor == FULL_TURN:
            return 0, LAST_TICK
        return self.of[motor].low, self.of[motor].high
