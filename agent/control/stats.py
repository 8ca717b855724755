"""What the control loop counts: rate, late and starved ticks; measured, not assumed."""

from __future__ import annotations

import time
from collections import Counter, deque
from typing import Any

import numpy as np

from agent.control.ticker import Tick


class LoopStats:
    """Counters since the start, and windows of recent values for quantiles.

    Args:
        period_s: The nominal period; a tick is *late* when it begins more than half of it after
            its due time, and every skipped tick counts as late.
    """

    def __init__(self, period_s: float) -> None:
        self.period_s = period_s
        self.ticks = 0
        self.late = 0
        self.skipped = 0
        self.starved = 0
        self.driven = 0
        self.trips: Counter[str] = Counter()
        self._began: float | None = None
        self._ended = 0.0
        self._work: deque[float] = deque(maxlen=512)

    def tick(self, tick: Tick) -> None:
        now = time.monotonic()
        if self._began is None:
            self._began = now
        self._ended = now
        self.ticks += 1
        self.skipped += tick.skipped
        self.late += tick.skipped + (tick.lateness_s > self.period_s / 2)

    def work(self, seconds: float) -> None:
        """How long observing, guarding, acting and tapping took in one tick."""
        self._work.append(seconds)

    @property
    def rate_hz(self) -> float:
        """Ticks per second since the first tick."""
        if self._began is None or self._ended <= self._began:
            return 0.0
        return (self.ticks - 1) / (self._ended - self._began)

    def to_json(self) -> dict[str, Any]:
        def ms(values: deque[float], q: float) -> float | None:
            return round(1e3 * float(np.quantile(values, q)), 3) if values else None

        return {
            "rate_hz": round(self.rate_hz, 3),
            "ticks": self.ticks,
            "late_ticks": self.late,
            "skipped_ticks": self.skipped,
            "driven_ticks": self.driven,
            "starved_ticks": self.starved,
            "work_ms_p50": ms(self._work, 0.5),
            "work_ms_p99": ms(self._work, 0.99),
            "guard_trips": dict(self.trips),
        }
