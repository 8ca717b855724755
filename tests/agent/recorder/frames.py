"""Rows and pictures that say which they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.ipc import FrameLayout, ImageSpec
from agent.recorder.config import RecordConfig
from agent.recorder.episode import OpenEpisode
from agent.recorder.row import Row
from agent.recorder.writer import EpisodeWriter

JOINTS = ("a.pos", "b.pos")
LAYOUT = FrameLayout(JOINTS, JOINTS, (ImageSpec("front", 48, 64), ImageSpec("top", 48, 64)))
LENGTH = 8
FPS = 30
TASK = "Pick up the cube"


def writer(root: Path, **config: Any) -> EpisodeWriter:
    return EpisodeWriter(root, LAYOUT, FPS, "so101_sim", RecordConfig(vcodec="h264", **config))


def row(i: int, *, mark: int = 0, **fields: Any) -> Row:
    """The state carries the episode's mark and the frame's number."""
    time_s = 1_700_000_000 + i / FPS
    given: dict[str, Any] = {"taken_s": (time_s,) * 2, "quality": (1.0,) * 2} | fields
    return Row(
        i, time_s, np.array([mark, i], np.float32), np.array([mark, i + 1], np.float32), **given
    )


def shade(i: int) -> int:
    return 40 + 20 * (i % 10)


def picture(i: int) -> NDArray[np.uint8]:
    """Its brightness follows the frame."""
    return np.full((48, 64, 3), shade(i), np.uint8)


def pictures(i: int) -> dict[str, Any]:
    return {spec.key: picture(i) for spec in LAYOUT.images}


def add_frames(to: OpenEpisode, mark: int, frames: int = LENGTH) -> None:
    for i in range(frames):
        to.add(row(i, mark=mark), pictures(i))


def record(to: EpisodeWriter, mark: int, frames: int = LENGTH, **marks: Any) -> None:
    """One episode, saved."""
    episode = to.begin(TASK)
    add_frames(episode, mark, frames)
    episode.end(marks)
    to.save(episode)
