"""What is kept of an episode beside what a policy learns from: marks and true times.

Per frame they are LeRobot features of names that no policy takes for an input (LeRobot takes
``observation.*`` and ``action*``), so LeRobot's own tools carry them along when they merge, split
or delete. Its names where it has them: ``next.success``, ``complementary_info.is_intervention``.

Per episode they are a file of their own, ``meta/marks/episode-000012.json``: LeRobot's tools drop
what they don't know of ``meta/episodes``, and its readers refuse a set where some episodes have a
column and others not. LeRobot does not read the file and its tools do not carry it along. Its
``began_us`` is the first frame's ``complementary_info.time_us``, so that it can be found again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.ipc import FrameLayout
from agent.policy import atomic
from agent.recorder.row import REPEATED, Row

MARKS = Path("meta") / "marks"
"""Where in a data set the files of its episodes lie."""

SUCCESS = "next.success"
INTERVENTION = "complementary_info.is_intervention"
FAULT = "complementary_info.is_fault"
TIME = "complementary_info.time_us"
PICTURE_TIME = "complementary_info.picture_time_us"
PICTURE_QUALITY = "complementary_info.picture_quality"


def mark_features(layout: FrameLayout) -> dict[str, dict[str, Any]]:
    """LeRobot's description of what is kept of each frame beside what a policy learns from."""
    flag = {"dtype": "bool", "shape": (1,), "names": None}
    described: dict[str, dict[str, Any]] = {
        SUCCESS: dict(flag),
        INTERVENTION: dict(flag),
        FAULT: dict(flag),
        # LeRobot makes a float32 of every other number: as one, seconds since 1970 are minutes off.
        TIME: {"dtype": "int64", "shape": (1,), "names": None},
    }
    if layout.images:
        names = [image.key for image in layout.images]
        shape = (len(names),)
        described[PICTURE_TIME] = {"dtype": "int64", "shape": shape, "names": names}
        described[PICTURE_QUALITY] = {"dtype": "float32", "shape": shape, "names": names}
    return described


def mark_columns(rows: list[Row], marks: dict[str, Any]) -> dict[str, list[NDArray[Any]]]:
    """Their values, one for each row."""
    success = [np.array([False]) for _ in rows]
    # As in LeRobot's evaluations: the frame in which the task is done.
    success[-1] = np.array([marks.get("success") is True])
    return {
        SUCCESS: success,
        INTERVENTION: [np.array([row.intervention]) for row in rows],
        FAULT: [np.array([row.fault]) for row in rows],
        TIME: [_us((row.time_s,)) for row in rows],
        PICTURE_TIME: [_us(row.taken_s) for row in rows],
        PICTURE_QUALITY: [np.array(row.quality, np.float32) for row in rows],
    }


def episode_marks(
    rows: list[Row], layout: FrameLayout, marks: dict[str, Any], **more: Any
) -> dict[str, Any]:
    """All that is kept of an episode.

    Args:
        rows: Of it.
        layout: Names the cameras.
        marks: What control said.
        more: What the recorder knows.
    """
    cameras = {}
    for i, image in enumerate(layout.images):
        quality = [row.quality[i] for row in rows]
        cameras[image.key] = {
            "repeated": sum(q == REPEATED for q in quality),
            "reduced": sum(REPEATED < q < 1.0 for q in quality),
        }
    return (
        {"success": None, "intervention": False, "fault": "", "trigger": ""}
        | marks
        | {
            "intervention": bool(marks.get("intervention")) or any(r.intervention for r in rows),
            "began_us": int(_us((rows[0].time_s,))[0]),
            "ended_us": int(_us((rows[-1].time_s,))[0]),
            "frames": len(rows),
            "faulty_frames": sum(row.fault for row in rows),
            "cameras": cameras,
        }
        | more
    )


def _us(times_s: tuple[float, ...]) -> NDArray[np.int64]:
    return np.round(np.array(times_s, np.float64) * 1e6).astype(np.int64)


def marks_path(root: Path, episode: int) -> Path:
    return root / MARKS / f"episode-{episode:06d}.json"


def write_marks(root: Path, episode: int, marks: dict[str, Any]) -> None:
    """Write an episode's file; there is the old one or the new one, also after a power cut."""
    path = marks_path(root, episode)
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_text(path, json.dumps(marks, indent=1) + "\n")


def read_marks(root: Path, episode: int) -> dict[str, Any]:
    """An episode's marks; empty where there are none.

    Raises:
        OSError, ValueError: they can't be read.
    """
    path = marks_path(root, episode)
    if not path.is_file():
        return {}
    marks: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return marks
