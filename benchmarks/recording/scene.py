"""What is recorded: numbers that say which row they are, and pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.ipc import FrameLayout, ImageSpec
from benchmarks.inference.pictures import CAMERAS, make_pictures

FPS = 30
TASK = "Pick up the cube"
JOINTS = tuple(f"joint_{i}.pos" for i in range(6))


@dataclass
class Scene:
    """Two cameras and six joints.

    Args:
        height, width: Of the pictures.
    """

    height: int
    width: int
    shows: str = ""
    _pictures: dict[str, list[NDArray[np.uint8]]] = field(default_factory=dict)

    def load(self, folder: Path) -> None:
        """Make the pictures, once."""
        self.shows = make_pictures(folder)
        for camera in CAMERAS:
            self._pictures[camera] = [
                cv2.cvtColor(
                    cv2.resize(cv2.imread(str(path)), (self.width, self.height)),
                    cv2.COLOR_BGR2RGB,
                ).astype(np.uint8)
                for path in sorted((folder / camera).glob("*.jpg"))
            ]

    @property
    def layout(self) -> FrameLayout:
        images = tuple(ImageSpec(camera, self.height, self.width) for camera in CAMERAS)
        return FrameLayout(JOINTS, JOINTS, images)

    def state(self, episode: int, i: int) -> NDArray[np.float32]:
        """(6,) which episode, which row."""
        return np.array([episode, i, 0, 0, 0, 0], np.float32)

    def images(self, i: int) -> dict[str, NDArray[np.uint8]]:
        """Of row ``i``."""
        return {camera: p[i % len(p)] for camera, p in self._pictures.items()}
