"""Who may drive: decided every tick from the stop, what the servos demand, and where the arm is.

Pure: no clock, no arm.

========  ==========================================================================================
DRIVE     the source's actions pass the guard to the arm
HOLD      the goals stay as they are, torque on: a stop, or servos that ask for it
YIELD     the goals of joints that press come to where they are, torque on; also under a stop
PARK      back to the pose at start: before a rest, or before the end
REST      torque off, in the pose at start: too hot
========  ==========================================================================================

A latched stop comes before everything: nothing moves, not even to park; what presses on something
gives way. A rest that has begun stays one until the servos are cool and the stop is cleared.
"""

from __future__ import annotations

from collections import deque
from enum import Enum

from robots.arm.care import Demand

WINDOW_S = 60.0


class Mode(Enum):
    """What the arm is allowed to do in a tick."""

    DRIVE = "running"
    HOLD = "holding"
    YIELD = "yielding"
    PARK = "parking"
    REST = "resting"


class Watch:
    """Decides the mode.

    Args:
        max_yields: So many times within ``WINDOW_S`` the arm may press on something and yield; then
            it wants a stop.
    """

    def __init__(self, max_yields: int) -> None:
        self._max_yields = max_yields
        self._yields: deque[float] = deque()
        self._pressed = False
        self.mode = Mode.DRIVE
        self.cause = ""

    def decide(
        self,
        now_s: float,
        *,
        stop: str | None,
        demand: Demand | None,
        resting: bool,
        parked: bool,
    ) -> Mode:
        """The mode of this tick.

        Args:
            now_s: Any clock.
            stop: Why the arm is stopped; ``None``: it isn't.
            demand: Of the servos.
            resting: Whether torque is off by a rest.
            parked: Whether the arm is at the pose at start.
        """
        if stop is not None:
            mode, self.cause = Mode.REST if resting else Mode.HOLD, stop
            if demand is not None and demand.kind == "yield" and not resting:
                mode = Mode.YIELD
        elif demand is None:
            mode, self.cause = Mode.DRIVE, ""
        else:
            self.cause = demand.cause
            if demand.kind == "rest":
                mode = Mode.REST if parked or resting else Mode.PARK
            else:
                mode = Mode.YIELD if demand.kind == "yield" else Mode.HOLD
        presses = demand is not None and demand.presses
        if mode is Mode.YIELD and presses and not self._pressed:
            self._yields.append(now_s)
        self._pressed = mode is Mode.YIELD and presses
        self.mode = mode
        return mode

    def forget(self) -> None:
        """The operator has looked at the arm: count anew."""
        self._yields.clear()

    def wants_stop(self, now_s: float) -> str | None:
        """Why the arm should be stopped for good: it yields again and again."""
        while self._yields and now_s - self._yields[0] > WINDOW_S:
            self._yields.popleft()
        if len(self._yields) < self._max_yields:
            return None
        self.forget()
        return f"yielded {self._max_yields} times within {WINDOW_S:.0f} s ({self.cause})"
