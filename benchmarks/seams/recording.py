"""Recorded episodes in memory: numbers, and pictures at the size that the tiny policy sees."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from robots.replay.frames import EpisodeFrames
from robots.replay.info import DatasetInfo, read_info

SIZE = 64


@dataclass(frozen=True)
class Episode:
    """One episode.

    Args:
        state, action: (N, A) float32 in the robot's units.
        pictures: Camera → (N, 64, 64, 3) uint8.
        task: In words.
    """

    state: NDArray[np.float32]
    action: NDArray[np.float32]
    pictures: dict[str, NDArray[np.uint8]]
    task: str


def read(root: Path) -> tuple[DatasetInfo, list[Episode]]:
    """All episodes of a data set whose robot has a camera."""
    info = read_info(root)
    if not info.cameras:
        raise SystemExit(f"{root} has no camera, and SmolVLA needs one")
    return info, [_episode(info, i) for i in range(len(info.episodes))]


def _episode(info: DatasetInfo, index: int) -> Episode:
    frames = EpisodeFrames(info, index)
    try:
        images = [frames.images(i) for i in range(len(frames))]
    finally:
        frames.close()
    pictures = {name: _shrunk(np.stack([i[name] for i in images])) for name in info.cameras}
    return Episode(frames.state, frames.action, pictures, frames.task)


def _shrunk(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    tensor = torch.from_numpy(pictures).permute(0, 3, 1, 2).float()
    small = interpolate(tensor, (SIZE, SIZE), mode="area").round().byte()
    result: NDArray[np.uint8] = small.permute(0, 2, 3, 1).contiguous().numpy()
    return result
