"""How an arm behaves under a model, by the counters that telemetry carries twice a second.

Nothing is measured for it: the control loop counts its ticks, the guard's trips, the ticks without
a plan and the steps of its actions anyway. The difference of two reports is the behaviour between
them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_ALLOWANCE = 3.0
"""Standard deviations of a count: what chance alone may add to the previous model's rate."""

STILL = 0.5
"""Degrees or percent a tick: steps smaller than this are no measure for others."""


@dataclass(frozen=True)
class Steps:
    """The steps of planned actions, by joint: how many, and the sums of their squares."""

    count: int
    squares: tuple[float, ...]

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Steps:
        count = int(said["count"])
        return cls(count, tuple(float(rms) ** 2 * count for rms in said["rms"]))

    def since(self, before: Steps) -> Steps:
        if not before.squares:
            return self
        pairs = zip(self.squares, before.squares, strict=True)
        return Steps(self.count - before.count, tuple(max(0.0, a - b) for a, b in pairs))

    @property
    def rms(self) -> tuple[float, ...]:
        return tuple(math.sqrt(s / self.count) for s in self.squares) if self.count > 0 else ()


@dataclass(frozen=True)
class Counts:
    """What control had counted when it reported.

    Args:
        time: Seconds since the epoch.
        pid: Of control: another one counts from 0.
        digest: The model that is asked for chunks.
        ticks, starved, trips: Driven by the policy, without a plan, and changed by the guard.
        seams, within: Steps where chunks join, and within them.
    """

    time: float
    pid: int
    digest: str
    ticks: int
    starved: int
    trips: int
    seams: Steps
    within: Steps

    @classmethod
    def of(cls, telemetry: Mapping[str, Any]) -> Counts | None:
        """``None`` while no policy drives."""
        if telemetry.get("source") != "policy" or not telemetry.get("digest"):
            return None
        return cls(
            time=float(telemetry["time"]),
            pid=int(telemetry["pid"]),
            digest=str(telemetry["digest"]),
            ticks=int(telemetry["driven_ticks"]),
            starved=int(telemetry["starved_ticks"]),
            trips=sum(telemetry["guard_trips"].values()),
            seams=Steps.of(telemetry["seams"]),
            within=Steps.of(telemetry["within_chunks"]),
        )

    def goes_on_from(self, before: Counts) -> bool:
        """Whether the two can be told apart by subtraction."""
        return (self.pid, self.digest) == (before.pid, before.digest)


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """Between two reports.

    Args:
        ticks, starved, trips: Counts.
        seams, within: Root mean squares of the steps by joint; empty: there were none.
        joins: How many seams there were.
    """

    ticks: int = 0
    starved: int = 0
    trips: int = 0
    seams: tuple[float, ...] = ()
    within: tuple[float, ...] = ()
    joins: int = 0

    @classmethod
    def between(cls, first: Counts, last: Counts, *, joined: Counts | None = None) -> Behaviour:
        """From ``first`` to ``last``; seams are counted from ``joined`` on, if it is given."""
        seams = last.seams.since((joined or first).seams)
        return cls(
            ticks=last.ticks - first.ticks,
            starved=last.starved - first.starved,
            trips=last.trips - first.trips,
            seams=seams.rms,
            within=last.within.since(first.within).rms,
            joins=seams.count,
        )

    @property
    def movement(self) -> float:
        """Steps within chunks of the joint that moves most; 0: there were none."""
        return max(self.within, default=0.0)

    def to_json(self) -> dict[str, Any]:
        return {
            "ticks": self.ticks,
            "starved": self.starved,
            "trips": self.trips,
            "seams": [round(v, 4) for v in self.seams],
            "within": [round(v, 4) for v in self.within],
            "joins": self.joins,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Behaviour:
        return cls(
            ticks=int(values["ticks"]),
            starved=int(values["starved"]),
            trips=int(values["trips"]),
            seams=tuple(values["seams"]),
            within=tuple(values["within"]),
            joins=int(values["joins"]),
        )


def excess(seen: int, ticks: int, usual: int, usual_ticks: int) -> float:
    """By how much a count is above what the usual rate and chance account for.

    Args:
        seen: What was counted in ``ticks``.
        ticks: How many there were, those without a plan included.
        usual, usual_ticks: What was counted before, and in how many.
    """
    expected = ticks * usual / usual_ticks if usual_ticks > 0 else 0.0
    return seen - expected - _ALLOWANCE * math.sqrt(expected)


def growth(now: tuple[float, ...], before: tuple[float, ...]) -> float:
    """The largest ratio of a joint's steps to what they were; 0: nothing to compare."""
    if len(now) != len(before):
        return 0.0
    return max((n / max(b, STILL) for n, b in zip(now, before, strict=True)), default=0.0)
