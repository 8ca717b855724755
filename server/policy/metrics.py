"""What the server counts."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Mapping

import numpy as np

_RECENT = 512


class Metrics:
    """Counters since the start, and a window of recent values for quantiles. One thread's."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self.counts: Counter[str] = Counter()
        self.batches: Counter[int] = Counter()
        self._stages: dict[str, deque[float]] = {}

    @property
    def uptime_s(self) -> float:
        return time.monotonic() - self._began

    def stages(self, seconds: Mapping[str, float]) -> None:
        """One chunk: seconds by stage."""
        for name, value in seconds.items():
            self._stages.setdefault(name, deque(maxlen=_RECENT)).append(value)

    def quantiles(self) -> dict[str, tuple[float, float]]:
        """Stage → (p50, p95) in seconds."""
        return {
            name: (float(np.quantile(values, 0.5)), float(np.quantile(values, 0.95)))
            for name, values in self._stages.items()
        }
