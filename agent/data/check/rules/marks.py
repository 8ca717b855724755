"""What the recorder marked in an episode's frames: pictures that weren't to be had, and ticks that
control missed or doubts. Data sets of others have no such columns, and nothing is said of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agent.data.check.finding import Finding, Weight

_SHARE = 0.1
"""Of an episode's frames: fewer marked ones are noted, from here on it is rejected."""


def check_marks(
    quality: NDArray[np.float32], cameras: Sequence[str], fault: NDArray[np.bool_]
) -> list[Finding]:
    """Of one episode.

    Args:
        quality: (N, C) of each camera's picture: 1 whole, less reduced, 0 the one before again.
        cameras: Names of its columns.
        fault: (N,) whether a frame is not to be learned from; empty: not known.
    """
    found = []
    for c, name in enumerate(cameras):
        again, reduced = quality[:, c] <= 0.0, (quality[:, c] > 0.0) & (quality[:, c] < 1.0)
        detail = (
            f"of {len(quality)} pictures {again.sum()} are the one before again and "
            f"{reduced.sum()} are reduced: the camera is slower than --fps, or the host too busy"
        )
        found += _weighed("repeated", name, detail, again | reduced)
    detail = f"control missed or doubts {fault.sum()} of {len(fault)} ticks"
    return found + _weighed("fault", "", detail, fault)


def _weighed(rule: str, camera: str, detail: str, which: NDArray[np.bool_]) -> list[Finding]:
    at = np.flatnonzero(which)
    if not len(at):
        return []
    weight = Weight.BAD if len(at) >= _SHARE * len(which) else Weight.NOTE
    frames = int(at[0]), int(at[-1])
    return [Finding(rule=rule, weight=weight, detail=detail, feature=camera, frames=frames)]
