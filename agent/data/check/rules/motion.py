"""What the joints did: numbers that are none, beyond any range, too fast, or not at all.

Units are the robot's: −100..100 of a calibrated range (grippers 0..100) or degrees; the limits are
wide enough for either.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from agent.data.check.finding import Finding, Weight

BEYOND = 400.0
"""No joint gets here: a full turn and a little in degrees."""

PER_S = 1200.0
"""Twice what an unloaded STS3215 does at 12 V (about 60 turns a minute): what jumps faster was not
measured but misread."""

ASKED = 5.0
_SHARE = 0.25
"""A joint that was asked to move by ``ASKED`` at least and did less than this share is stuck."""

_STILL = 0.05
"""Of the ranges of all joints: an arm that does nothing all the while teaches nothing."""


def check_motion(
    state: NDArray[np.float32],
    action: NDArray[np.float32],
    *,
    state_names: Sequence[str],
    action_names: Sequence[str],
    fps: float,
) -> list[Finding]:
    """Of one episode.

    Args:
        state: (N, S).
        action: (N, A).
        state_names, action_names: Of their columns.
        fps: Nominal.
    """
    found = _numbers(state, state_names, "state") + _numbers(action, action_names, "action")
    if found or not len(state):
        return found
    found += _beyond(state, state_names, "state") + _beyond(action, action_names, "action")
    found += _jumps(state, state_names, fps)
    found += _stuck(state, action, state_names, action_names)
    if np.ptp(action, axis=0).max(initial=0.0) < _STILL:
        detail = "no joint was asked to move"
        found.append(Finding(rule="still", weight=Weight.BAD, detail=detail))
    return found


def _numbers(values: NDArray[np.float32], names: Sequence[str], what: str) -> list[Finding]:
    wrong = ~np.isfinite(values)
    return [
        _bad("number", names[j], f"the {what} is no number in {at.sum()} frames", at)
        for j, at in _wrong(wrong)
    ]


def _beyond(values: NDArray[np.float32], names: Sequence[str], what: str) -> list[Finding]:
    far = np.abs(values) > BEYOND
    worst = values[np.abs(values).argmax(axis=0), np.arange(values.shape[1])]
    return [
        _bad("range", names[j], f"the {what} gets to {worst[j]:.1f}", at) for j, at in _wrong(far)
    ]


def _jumps(state: NDArray[np.float32], names: Sequence[str], fps: float) -> list[Finding]:
    steps = np.abs(np.diff(state, axis=0))
    fast = steps > PER_S / fps
    return [
        _bad(
            "jump",
            names[j],
            f"{steps[:, j].max():.1f} within a frame, {at.sum()} such jumps",
            np.append(at, False),
        )
        for j, at in _wrong(fast)
    ]


def _stuck(
    state: NDArray[np.float32],
    action: NDArray[np.float32],
    state_names: Sequence[str],
    action_names: Sequence[str],
) -> list[Finding]:
    found = []
    for a, name in enumerate(action_names):
        if name not in state_names:
            continue
        s = list(state_names).index(name)
        asked, moved = float(np.ptp(action[:, a])), float(np.ptp(state[:, s]))
        if asked >= ASKED and moved < _SHARE * asked:
            off = float(np.abs(action[:, a] - state[:, s]).mean())
            detail = (
                f"asked to move by {asked:.1f}, it moved by {moved:.1f} ({off:.1f} off on average)"
            )
            found.append(Finding(rule="stuck", weight=Weight.BAD, feature=name, detail=detail))
    return found


def _wrong(which: NDArray[np.bool_]) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """The columns that have any, and where."""
    for j in np.flatnonzero(which.any(axis=0)):
        yield int(j), which[:, j]


def _bad(rule: str, joint: str, detail: str, which: NDArray[np.bool_]) -> Finding:
    at = np.flatnonzero(which)
    frames = int(at[0]), int(at[-1])
    return Finding(rule=rule, weight=Weight.BAD, detail=detail, feature=joint, frames=frames)
