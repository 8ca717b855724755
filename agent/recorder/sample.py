"""Pictures that stand for all of a camera's in one episode: LeRobot keeps statistics of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from lerobot.datasets.compute_stats import RunningQuantileStats, auto_downsample_height_width
from numpy.typing import NDArray

_MOST = 200
"""LeRobot looks at 100 pictures of 500 frames and at 300 of 2,000."""


class PictureSample:
    """Keeps small copies of up to ``_MOST`` pictures that are evenly spaced over the episode, whose
    length nobody knows yet. Looking at every picture, as LeRobot's streaming encoder does, costs as
    much as encoding them."""

    def __init__(self) -> None:
        self._kept: list[NDArray[np.uint8]] = []
        self._every = 1
        self.seen = 0

    def add(self, picture: NDArray[np.uint8]) -> None:
        """(H, W, 3), RGB."""
        if self.seen % self._every == 0:
            self._kept.append(auto_downsample_height_width(picture.transpose(2, 0, 1)).copy())
            if len(self._kept) > _MOST:
                del self._kept[1::2]
                self._every *= 2
        self.seen += 1

    def skip(self) -> None:
        """A picture that is the one before again."""
        self.seen += 1

    def statistics(self) -> dict[str, NDArray[Any]] | None:
        """As LeRobot's streaming encoder gives them: of pixels in 0..255, by channel; ``None``
        without a picture. One is enough: LeRobot reads the columns of all episodes as those of the
        first, and can't open a data set in which a later one has more."""
        if not self._kept:
            return None
        tracker = RunningQuantileStats()
        pixels = np.stack(self._kept).transpose(0, 2, 3, 1).reshape(-1, 3)
        tracker.update(pixels)
        statistics: dict[str, NDArray[Any]] = tracker.get_statistics()
        # LeRobot weighs episodes by it: as if every picture had been looked at.
        statistics["count"] = np.array([len(pixels) // len(self._kept) * self.seen])
        return statistics
