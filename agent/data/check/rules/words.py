"""The task in words, and the cameras' names: what a policy that reads them expects."""

from __future__ import annotations

from collections.abc import Sequence

from agent.data.check.finding import Finding, Weight

RECOMMENDED = 30
"""Characters: what the community's data sets of SO-100 and SO-101 keep to."""

_OWN = ("camera1", "camera2", "camera3")
CAMERAS = (*_OWN, "front", "side", "top", "up", "wrist", "laptop", "phone")
"""Usual names of SO-101 cameras; the first three are SmolVLA's own."""


def check_task(tasks: Sequence[str]) -> list[Finding]:
    """Of one episode."""
    words = [task.strip() for task in tasks if task.strip()]
    if not words:
        detail = "no task in words: a policy that is told what to do learns nothing of it"
        return [Finding(rule="task", weight=Weight.BAD, detail=detail)]
    return [
        Finding(
            rule="task",
            weight=Weight.NOTE,
            detail=f"{len(task)} characters, {RECOMMENDED} are recommended: {task!r}",
        )
        for task in words
        if len(task) > RECOMMENDED
    ]


def check_cameras(names: Sequence[str]) -> list[Finding]:
    """Of a data set; short names, without ``observation.images.``."""
    return [
        Finding(
            rule="camera",
            weight=Weight.NOTE,
            feature=name,
            detail=f"an unusual name, --rename_map may be needed; usual: {', '.join(CAMERAS)}",
        )
        for name in names
        if name.rpartition("_")[2] not in CAMERAS and name not in CAMERAS
    ]
