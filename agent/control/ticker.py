"""The clock of the control loop: when the next tick is due, and how late it was."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Tick:
    """One period of the control loop.

    Args:
        number: Index by time since the start: a tick that was slept through is skipped, not
            caught up.
        lateness_s: How long after its due time it began.
        skipped: Ticks that passed unnoticed before this one.
    """

    number: int
    lateness_s: float
    skipped: int


class Ticker:
    """Waits for ticks at a fixed rate on the monotonic clock.

    Args:
        fps: Rate in Hz.
    """

    def __init__(self, fps: float) -> None:
        self.period_s = 1.0 / fps
        self._start = time.monotonic()
        self._next = 0

    def wait(self) -> Tick:
        """Sleep until the next tick is due."""
        due = self._start + self._next * self.period_s
        delay = due - time.monotonic()
        if delay > 0:
            time.sleep(delay)
        now = time.monotonic()
        number = max(self._next, int((now - self._start) / self.period_s))
        skipped = number - self._next
        self._next = number + 1
        lateness = now - (self._start + number * self.period_s)
        return Tick(number, lateness, skipped)

    def restart(self) -> None:
        """Begin counting time again, after a pause in which no tick was meant to run; numbers go
        on."""
        self._start = time.monotonic() - self._next * self.period_s
