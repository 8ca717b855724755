"""Reports of a control loop, as telemetry carries them."""

from __future__ import annotations

from typing import Any

JOINTS = 2


class Arm:
    """Counts as a control loop does, and reports."""

    def __init__(self, digest: str, *, pid: int = 1) -> None:
        self.digest = digest
        self.source = "policy"
        self._pid = pid
        self._time = 1000.0
        self._counts = {"driven": 0, "starved": 0, "trips": 0}
        self._seams: list[float] = []
        self._within: list[float] = []

    def drives(
        self,
        seconds: float = 0.5,
        *,
        trips: int = 0,
        starved: int = 0,
        step: float = 1.0,
        jump: float = 2.0,
        joins: int = 1,
    ) -> dict[str, Any]:
        """The report after so many seconds at 30 Hz."""
        ticks = round(seconds * 30) - starved
        self._time += seconds
        self._counts["driven"] += ticks
        self._counts["starved"] += starved
        self._counts["trips"] += trips
        self._seams += [jump] * joins
        self._within += [step] * max(0, ticks - joins)
        return self.report()

    def report(self) -> dict[str, Any]:
        return {
            "time": self._time,
            "pid": self._pid,
            "source": self.source,
            "digest": self.digest,
            "driven_ticks": self._counts["driven"],
            "starved_ticks": self._counts["starved"],
            "guard_trips": {"step too large": self._counts["trips"]},
            "seams": _steps(self._seams),
            "within_chunks": _steps(self._within),
        }


def _steps(sizes: list[float]) -> dict[str, Any]:
    count = len(sizes)
    rms = (sum(s * s for s in sizes) / count) ** 0.5 if count else 0.0
    return {"count": count, "rms": [rms] * JOINTS if count else [], "max": []}
