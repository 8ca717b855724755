"""Pictures: as many as rows, not black, and not the same while the arm moves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.data.check.finding import Finding, Weight

DARK = 16.0
"""Mean of a picture, 0..255: video's black is 16 where nobody expanded it."""

_SHARE = 0.1
"""Of an episode's frames: fewer dark or frozen ones are noted, more are too many to learn from."""

FROZEN_S = 1.0
SAME = 0.5
"""The most that any block of a picture may change, in 0..255, for it to be the same: an encoder
repeats a frozen picture exactly, and a sensor's noise is more."""

MOVED = 5.0
"""Units of a joint: an arm that rests may well show the camera the same twice."""


@dataclass(frozen=True)
class Seen:
    """What was seen of one camera in one episode.

    Args:
        brightness: (N,) mean of each picture, 0..255; shorter than the rows where pictures are
            missing.
        change: (N,) the most that a block of it differs from the picture before, 0..255; 0 for the
            first.
        error: Why decoding ended early; empty: it didn't.
    """

    brightness: NDArray[np.float32]
    change: NDArray[np.float32]
    error: str = ""


def check_pictures(
    camera: str, seen: Seen, state: NDArray[np.float32], *, fps: float
) -> list[Finding]:
    """Of one camera in one episode.

    Args:
        camera: Its name.
        seen: Its pictures.
        state: (N, S) of all rows.
        fps: Nominal.
    """
    have, rows = len(seen.brightness), len(state)
    if have < rows:
        cause = f": {seen.error}" if seen.error else ""
        detail = f"{rows - have} of {rows} pictures are missing{cause}"
        return [_bad("missing", camera, detail, (have, rows - 1))]
    return _dark(camera, seen) + _frozen(camera, seen, state, fps)


def _dark(camera: str, seen: Seen) -> list[Finding]:
    dark = seen.brightness < DARK
    if not dark.any():
        return []
    detail = f"{dark.sum()} of {len(dark)} pictures are black"
    return [_weighed("black", camera, detail, dark)]


def _frozen(camera: str, seen: Seen, state: NDArray[np.float32], fps: float) -> list[Finding]:
    frozen = np.zeros(len(seen.change), bool)
    # A black picture has a name of its own.
    same = (seen.change < SAME) & (seen.brightness >= DARK)
    for first, last in _runs(same[: len(state)]):
        # The picture before the first that equals it is one of them.
        first = max(0, first - 1)
        lasts_s = (last - first) / fps
        moved = np.ptp(state[first : last + 1], axis=0).max(initial=0.0)
        if lasts_s >= FROZEN_S and moved >= MOVED:
            frozen[first : last + 1] = True
    if not frozen.any():
        return []
    detail = f"{frozen.sum()} of {len(frozen)} pictures repeat the one before while the arm moves"
    return [_weighed("frozen", camera, detail, frozen)]


def _runs(which: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last of each run of ``True``."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], which, [False]]).astype(np.int8)))
    return [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _weighed(rule: str, camera: str, detail: str, which: NDArray[np.bool_]) -> Finding:
    at = np.flatnonzero(which)
    few = len(at) <= _SHARE * len(which)
    finding = _bad(rule, camera, detail, (int(at[0]), int(at[-1])))
    if not few:
        return finding
    return Finding(
        rule=rule, weight=Weight.NOTE, detail=detail, feature=camera, frames=finding.frames
    )


def _bad(rule: str, camera: str, detail: str, frames: tuple[int, int]) -> Finding:
    return Finding(rule=rule, weight=Weight.BAD, detail=detail, feature=camera, frames=frames)
