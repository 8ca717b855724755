"""Rows: as many as are claimed, in order, each once, a period apart.

LeRobot trusts its timestamps (it looks pictures up by them) and no longer checks them; a data set
whose conversion wrote every row twice (LeRobot issue 1875) trains without a word.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agent.data.check.finding import Finding, Weight

TOLERANCE_S = 1e-4
"""LeRobot's own, from when it checked: of the difference between neighbours and 1/fps."""

_SHOWN = 3


def check_rows(
    frame_index: NDArray[np.int64],
    time_s: NDArray[np.float64],
    *,
    claimed: int,
    fps: float,
    same: NDArray[np.bool_] | None = None,
) -> list[Finding]:
    """Of one episode, in the order of the file.

    Args:
        frame_index, time_s: (N,).
        claimed: Frames, as the metadata says.
        fps: Nominal.
        same: (N,) whether a row equals the first row with its frame index in all that was recorded;
            ``None``: not known.
    """
    if len(frame_index) == 0:
        return [Finding(rule="rows", weight=Weight.BAD, detail=f"no rows, {claimed} are claimed")]
    found = _doubled(frame_index, same)
    if found:
        return found
    n = len(frame_index)
    if n != claimed:
        detail = f"{n} rows, {claimed} are claimed"
        found.append(Finding(rule="rows", weight=Weight.BAD, detail=detail))
    wrong = np.flatnonzero(frame_index != np.arange(n))
    if len(wrong):
        at = int(wrong[0])
        detail = f"frame {at} calls itself {frame_index[at]}"
        found.append(_at(at, at, rule="order", weight=Weight.BAD, detail=detail))
    return found + _steps(time_s, fps)


def _doubled(frame_index: NDArray[np.int64], same: NDArray[np.bool_] | None) -> list[Finding]:
    """Every frame twice, one copy after the other or one pass after the other."""
    numbers, counts = np.unique(frame_index, return_counts=True)
    if counts.max() < 2:
        return []
    times = int(counts.max())
    whole = (counts == times).all() and np.array_equal(numbers, np.arange(len(numbers)))
    if not whole:
        some = [int(n) for n in numbers[counts > 1][:_SHOWN]]
        detail = f"{(counts > 1).sum()} frames are there more than once ({some} …), others aren't"
        return [Finding(rule="doubled", weight=Weight.BAD, detail=detail)]
    detail = f"each of its {len(numbers)} frames is there {times} times"
    if same is not None and not same.all():
        detail += ", and the copies differ"
        return [Finding(rule="doubled", weight=Weight.BAD, detail=detail)]
    return [Finding(rule="doubled", weight=Weight.MENDABLE, detail=detail)]


def _steps(time_s: NDArray[np.float64], fps: float) -> list[Finding]:
    # A float32 of some minutes is no better than this, and LeRobot keeps them so.
    rounding = np.spacing(np.abs(time_s).astype(np.float32)).max(initial=0.0)
    steps = np.diff(time_s)
    off = np.abs(steps - 1.0 / fps)
    wrong = np.flatnonzero(~(off <= TOLERANCE_S + rounding))
    if not len(wrong):
        return []
    if len(wrong) > len(steps) / 2:
        rate = 1.0 / float(np.median(steps)) if np.median(steps) > 0 else float("nan")
        detail = f"frames are {1000 * np.median(steps):.1f} ms apart ({rate:.2f} Hz), not 1/{fps} s"
        return [Finding(rule="fps", weight=Weight.BAD, detail=detail)]
    at = int(wrong[np.argmax(off[wrong])])
    detail = (
        f"{len(wrong)} of {len(steps)} steps aren't 1/{fps:g} s; the worst, after frame {at}, "
        f"is {1000 * steps[at]:.1f} ms"
    )
    return [_at(int(wrong[0]), int(wrong[-1]) + 1, rule="gap", weight=Weight.BAD, detail=detail)]


def _at(first: int, last: int, **fields: object) -> Finding:
    return Finding(frames=(first, last), **fields)  # type: ignore[arg-type]
