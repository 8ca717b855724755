"""What the benchmarks' cameras show: frames of a real recording, brought to 640×480.

JPEG bytes depend on what is seen. Where the recording is absent (``ARMADA_SHARED``, by default
``../shared``), a drawn table with sensor noise takes its place, and the tables say so.
"""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from robots.replay.frames import EpisodeFrames
from robots.replay.info import read_info

SIZE = (480, 640)
"""Height and width, pixels."""

CAMERAS = ("front", "wrist")
_QUALITY = 95
"""Of what the camera itself sends."""

_FRAMES = 90
_RECORDING = "data/so101_cloth_wrist_3ep"
_NOISE = 4.0
"""Standard deviation of a cheap sensor's noise, 0..255."""


def make_pictures(folder: Path, *, frames: int = _FRAMES) -> str:
    """Write ``<folder>/<camera>/*.jpg`` for both cameras; in words, what they show."""
    shared = Path(os.environ.get("ARMADA_SHARED", Path(__file__).parents[3] / "shared"))
    root = shared / _RECORDING
    recorded = root.is_dir()
    pictures = _recorded(root, frames) if recorded else _drawn(frames)
    for shift, camera in enumerate(CAMERAS):
        (folder / camera).mkdir(parents=True)
        for i in range(frames):
            # The same scene from the second camera, at another moment.
            picture = pictures[(i + shift * frames // 2) % len(pictures)]
            path = folder / camera / f"{i:04}.jpg"
            cv2.imwrite(
                str(path),
                cv2.cvtColor(picture, cv2.COLOR_RGB2BGR),
                [cv2.IMWRITE_JPEG_QUALITY, _QUALITY],
            )
    return f"frames of {root.name}, enlarged to 640×480" if recorded else "a drawn scene with noise"


def _recorded(root: Path, number: int) -> list[NDArray[np.uint8]]:
    info = read_info(root)
    key = next(iter(info.cameras))
    frames = EpisodeFrames(info, info.episodes[0].index, (key,))
    try:
        return [
            cv2.resize(frames.images(i)[key], SIZE[::-1], interpolation=cv2.INTER_CUBIC)
            for i in range(min(number, len(frames)))
        ]
    finally:
        frames.close()


def _drawn(number: int) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    down, across = np.mgrid[: SIZE[0], : SIZE[1]]
    table = 120 + 40 * across / SIZE[1] + 20 * np.sin(down / 9) * np.sin(across / 13)
    pictures = []
    for i in range(number):
        picture = np.repeat(table[..., None], 3, axis=2).astype(np.uint8)
        at = (int(320 + 200 * np.sin(i / 12)), int(240 + 120 * np.cos(i / 17)))
        cv2.circle(picture, at, 40, (210, 60, 40), -1)
        cv2.rectangle(picture, (at[1], 300), (at[1] + 80, 420), (40, 90, 180), -1)
        noisy = picture + rng.normal(0, _NOISE, picture.shape)
        pictures.append(np.clip(noisy, 0, 255).astype(np.uint8))
    return pictures
