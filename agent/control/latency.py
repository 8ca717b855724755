"""How long the next chunk will take: a quantile of recent chunks in which old ones fade."""

from __future__ import annotations

from collections import deque

import numpy as np

_KEPT = 128
_HALF_LIFE = 16
"""Chunks until one counts half: a machine that got hot is noticed within seconds, one slow chunk
neither governs the plan for minutes nor is forgotten at once."""


class Latency:
    """Estimates from measured latencies. The first one of a worker is kept apart: a cold start
    (pages, kernels, a connection) says nothing of those that follow, and counts only as long as
    nothing else is known. What the worker expects a chunk to take is better than that, and holds
    until a second one was measured.

    Args:
        quantile: Share of chunks that should not take longer.
    """

    def __init__(self, quantile: float = 0.95) -> None:
        self._quantile = quantile
        self._expected: float | None = None
        self._cold: float | None = None
        self._seconds: deque[float] = deque(maxlen=_KEPT)

    def expect(self, seconds: float) -> None:
        """What a worker says a chunk will take, before any was asked for."""
        self._expected = seconds

    def note(self, seconds: float) -> None:
        """One chunk, from the observation to its arrival."""
        if self._cold is None:
            self._cold = seconds
        else:
            self._seconds.append(seconds)

    @property
    def seconds(self) -> float | None:
        """The estimate in s; ``None`` while nothing is known."""
        if not self._seconds:
            return self._cold if self._expected is None else self._expected
        values = np.array(self._seconds)
        weights = 0.5 ** (np.arange(len(values))[::-1] / _HALF_LIFE)
        order = np.argsort(values)
        reached = np.cumsum(weights[order]) / weights.sum()
        return float(
            values[order][np.searchsorted(reached, self._quantile).clip(0, len(order) - 1)]
        )
