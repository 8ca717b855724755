"""Whether a reading of the joints can be true: a servo moves only so fast.

A position that came late, belongs to another register or comes from a failing sensor is no place to
start a motion from.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from robots.arm.ranges import JointRange

BELIEVE_AFTER = 3
"""An impossible position that is read this often in a row is one (a hand moved the arm while nobody
looked)."""

SLACK = 0.03
"""Share of the range that noise and a late tick may add to a joint's motion."""


class Motion:
    """Compares each reading with the one before.

    Args:
        ranges: Action name → range; other names are not looked at.
    """

    def __init__(self, ranges: Mapping[str, JointRange]) -> None:
        self._ranges = ranges
        self.share = 0.0
        """Of its range that the quickest joint went through, between the last two readings."""
        self.forget()

    @property
    def known(self) -> bool:
        """Whether enough readings agreed that one may be a place to start from."""
        return self._looks >= BELIEVE_AFTER

    def forget(self) -> None:
        """The arm was away: anything may have happened to it."""
        self._last: dict[str, float] = {}
        self._at = 0.0
        self._strange = self._looks = 0

    def impossible(self, values: Mapping[str, Any]) -> str:
        """The joint that can't have moved so far; empty when the reading can be true."""
        now = time.monotonic()
        elapsed = now - self._at
        fresh = {name: float(values[name]) for name in self._ranges if name in values}
        worst, share = "", 0.0
        for name, value in fresh.items() if self._last else ():
            joint = self._ranges[name]
            moved, span = abs(value - self._last[name]), joint.high - joint.low
            if not moved <= joint.top_speed * elapsed + SLACK * span:
                worst = name
            share = max(share, moved / span)
        if worst:
            self._strange += 1
            if self._strange < BELIEVE_AFTER:
                return worst
        self._looks += 1
        self._strange, self.share = 0, share
        self._last, self._at = fresh, now
        return ""
