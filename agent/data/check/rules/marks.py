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
        # Once is no harm and can't be helped: of a camera that runs as fast as control does, each
        # by its own clock, many a picture comes just after a tick, and the next one just before.
        old = again & np.append(False, again[:-1])
        detail = (
            f"of {len(quality)} pictures {again.sum()} are the one before again, {old.sum()} of "
            f"them not for the first time, and {reduced.sum()} are reduced"
        )
        found += _weighed("repeated", name, detail, again | reduced, bad=old | reduced)
    detail = f"control missed or doubts {fault.sum()} of {len(fault)} ticks"
    return found + _weighed("fault", "", detail, fault, bad=fault)


def _weighed(
    rule: str, camera: str, detail: str, which: NDArray[np.bool_], *, bad: NDArray[np.bool_]
) -> list[Finding]:
    at = np.flatnonzero(which)
    if not len(at):
        return []
    weight = Weight.BAD if bad.sum() >= _SHARE * len(bad) else Weight.NOTE
    frames = int(at[0]), int(at[-1])
    return [Finding(rule=rule, weight=weight, detail=detail, feature=camera, frames=frames)]
