"""What is counted of chunks: how many, how long by stage, how many bytes, how they join."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.control.timeline import Planned

_RECENT = 256
_MOST_STAGES = 24


class ChunkStats:
    """Counters since the start, and windows of recent values for quantiles."""

    def __init__(self) -> None:
        self.chunks = 0
        self.stale = 0
        self.bytes_up = 0
        self.bytes_down = 0
        self.seams = Seams()
        self._latency: deque[float] = deque(maxlen=_RECENT)
        self._stages: dict[str, deque[float]] = {}

    def note(
        self, latency_s: float, timings: Mapping[str, Any], inside: Mapping[str, Any] | None = None
    ) -> None:
        """One answer.

        Args:
            latency_s: From the observation to its arrival.
            timings: Stage (``infer_s``) → s, as the worker says; what is no number is passed over.
            inside: Part of the inference (``vision_s``) → s, the same.
        """
        self._latency.append(latency_s)
        known = _numbers(timings)
        # What no stage accounts for: the way there and back, and waiting for the next tick.
        waiting = known.pop("wait_s", 0.0)
        known["transfer_s"] = max(0.0, latency_s - sum(known.values()))
        known["idle_s"] = waiting
        known |= {f"infer/{name}": s for name, s in _numbers(inside or {}).items()}
        for name, seconds in known.items():
            if name in self._stages or len(self._stages) < _MOST_STAGES:
                self._stages.setdefault(name, deque(maxlen=_RECENT)).append(seconds)

    def to_json(self) -> dict[str, Any]:
        latency = _ms(self._latency)
        return {
            "chunks": self.chunks,
            "stale_chunks": self.stale,
            "chunk_latency_ms_p50": latency["p50"],
            "chunk_latency_ms_p95": latency["p95"],
            "chunk_stages_ms": {
                name.removesuffix("_s"): _ms(values) for name, values in self._stages.items()
            },
            "chunk_bytes_up": self.bytes_up,
            "chunk_bytes_down": self.bytes_down,
            **self.seams.to_json(),
        }


class Seams:
    """How far actions jump where one chunk ends and another begins, beside how far they move
    within one; in the robot's units per tick, as planned, before the guard."""

    def __init__(self) -> None:
        self._last: tuple[int, Planned] | None = None
        self._seam = _Jumps()
        self._inner = _Jumps()

    def note(self, tick: int, planned: Planned | None) -> None:
        """The plan that a tick acts on; ``None``: starved, and nothing to compare the next with."""
        last, self._last = self._last, None if planned is None else (tick, planned)
        if planned is None or last is None or last[0] != tick - 1:
            return
        before = last[1]
        if before.epoch != planned.epoch or before.action.shape != planned.action.shape:
            return
        jumps = self._inner if before.request == planned.request else self._seam
        jumps.note(np.abs(planned.action.astype(np.float64) - before.action))

    def to_json(self) -> dict[str, Any]:
        return {"seams": self._seam.to_json(), "within_chunks": self._inner.to_json()}


class _Jumps:
    def __init__(self) -> None:
        self._count = 0
        self._squares: NDArray[np.float64] = np.zeros(0)
        self._most: NDArray[np.float64] = np.zeros(0)

    def note(self, size: NDArray[np.float64]) -> None:
        if not self._count:
            self._squares, self._most = np.zeros_like(size), np.zeros_like(size)
        self._count += 1
        self._squares += size**2
        self._most = np.maximum(self._most, size)

    def to_json(self) -> dict[str, Any]:
        """By joint, in the layout's order. Probation subtracts one report from another, of counts
        that may go back hours: it needs the digits."""
        rms = np.sqrt(self._squares / self._count) if self._count else self._squares
        return {
            "count": self._count,
            "rms": rms.round(9).tolist(),
            "max": self._most.round(4).tolist(),
        }


def _numbers(said: Mapping[str, Any]) -> dict[str, float]:
    return {
        name: float(s)
        for name, s in said.items()
        if isinstance(s, int | float) and not isinstance(s, bool) and 0 <= s < 1e6
    }


def _ms(values: deque[float]) -> dict[str, float | None]:
    """Median and 95 % quantile; by sorting, which costs a tick less than numpy's interpolation."""
    if not values:
        return {"p50": None, "p95": None}
    ordered = sorted(values)
    last = len(ordered) - 1
    return {
        name: round(1e3 * ordered[round(q * last)], 3) for name, q in (("p50", 0.5), ("p95", 0.95))
    }
