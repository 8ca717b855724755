"""From what reached the bus, and what a contender told, to figures.

An *action* is a goal that reached the bus and differs from the one before: holding is none. A tick
is *late* by what the bus saw: where more than one and a half periods passed between two goals, as
many as are missing, less those that had no planned action (they are *starved*, another figure). It
is *late in the loop* by the same rule, applied to when the passes of the loop began: what a pass
does before its goal goes out is not in it. A *seam* is a step between two actions of different
chunks.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from benchmarks.inference.contender import Run
from benchmarks.inference.job import FPS


@dataclass(frozen=True)
class Figures:
    """Of one run, or of several one after the other.

    Args:
        seconds: Measured.
        actions: That reached the bus.
        gaps_ms: Between one and the next.
        late: Ticks, by what the bus saw.
        loop_late: Ticks, by when the passes of the loop began.
        starved: Ticks.
        chunks: That arrived.
        seams, steps: Largest change of a joint from one action to the next, at seams and elsewhere,
            in the robot's units.
        stale: Actions that were no longer to be carried out.
        died: What ended a loop before its time, and after how long; what is measured ends with it.
    """

    seconds: float
    actions: int
    gaps_ms: NDArray[np.float64]
    late: int
    loop_late: int
    starved: int
    chunks: int
    seams: NDArray[np.float64]
    steps: NDArray[np.float64]
    stale: int
    died: tuple[str, ...] = ()

    def __add__(self, other: Figures) -> Figures:
        return Figures(
            self.seconds + other.seconds,
            self.actions + other.actions,
            np.concatenate([self.gaps_ms, other.gaps_ms]),
            self.late + other.late,
            self.loop_late + other.loop_late,
            self.starved + other.starved,
            self.chunks + other.chunks,
            np.concatenate([self.seams, other.seams]),
            np.concatenate([self.steps, other.steps]),
            self.stale + other.stale,
            self.died + other.died,
        )

    @property
    def ticks(self) -> int:
        """That there should have been."""
        return round(self.seconds * FPS)

    @property
    def rate_hz(self) -> float:
        return self.actions / self.seconds


def figures(run: Run, begin: float | None = None, end: float | None = None) -> Figures:
    """Of what was measured, or of a part of it (``time.monotonic``, s)."""
    log = run.log
    begin, end = begin or log.begin, end or log.end

    def within(moments: list[float]) -> NDArray[np.float64]:
        array = np.array(moments, float)
        return array[(array >= begin) & (array < end)]

    inside = (run.times >= begin) & (run.times < end)
    times, goals = run.times[inside], run.goals[inside]
    starved = within(log.starved)
    new = np.ones(len(times), bool)
    new[1:] = (goals[1:] != goals[:-1]).any(axis=1)
    seams, steps = _jumps([s for s in log.sent if begin <= s[0] < end])
    return Figures(
        seconds=end - begin,
        actions=int(new.sum()),
        gaps_ms=np.diff(times[new]) * 1e3,
        late=_late(times, starved, begin, end),
        loop_late=_late(within(log.ticks), np.empty(0), begin, end),
        starved=len(starved),
        chunks=len(within(log.chunks)),
        seams=seams,
        steps=steps,
        stale=log.stale,
        died=(f"{log.died} (after {log.end - log.chunks[0]:.0f} s)",) if log.died else (),
    )


def recovery_s(run: Run, since: float, *, actions: int = FPS) -> float | None:
    """From a moment (``time.monotonic``) until so many actions have reached the bus at full rate;
    ``None`` when that never was."""
    new = np.ones(len(run.times), bool)
    new[1:] = (run.goals[1:] != run.goals[:-1]).any(axis=1)
    times = run.times[new & (run.times >= since)]
    for i in range(len(times) - actions):
        if times[i + actions] - times[i] <= 1.1 * actions / FPS:
            return float(times[i] - since)
    return None


def _late(
    times: NDArray[np.float64], starved: NDArray[np.float64], begin: float, end: float
) -> int:
    edges = np.concatenate([[begin], times, [end]])
    late = 0
    for before, after in pairwise(edges):
        missing = round((after - before) * FPS) - 1
        if missing > 0:
            excused = int(((starved > before) & (starved < after)).sum())
            late += max(0, missing - excused)
    return late


def _jumps(
    sent: list[tuple[float, int, list[float]]],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    seams: list[float] = []
    steps: list[float] = []
    for (before_s, before, old), (after_s, after, new) in pairwise(sent):
        if after_s - before_s < 1.5 / FPS:
            jump = float(np.abs(np.subtract(new, old)).max())
            (seams if after != before else steps).append(jump)
    return np.array(seams), np.array(steps)
