"""LeRobot's streaming encoder, but one that waits instead of dropping.

LeRobot 0.6.1 drops a picture when its encoder's queue is full and keeps the row, which shifts every
later picture (60 rows, 24 frames were seen). Here the one who feeds it, a thread of the recorder's
own, waits. This file is the only one that touches the encoder's private parts.
"""

from __future__ import annotations

import queue
from typing import Any

import numpy as np
from lerobot.configs import RGBEncoderConfig
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from lerobot.datasets.video_utils import StreamingVideoEncoder
from numpy.typing import NDArray

from robots.errors import DataError

_CHECK_S = 1.0
_QUEUE = 8


class WaitingVideoEncoder(StreamingVideoEncoder):  # type: ignore[misc]
    """Back-pressure instead of lost frames: rows and pictures are equal in number."""

    def feed_frame(self, video_key: str, image: NDArray[np.uint8]) -> None:
        """Hand over one picture, waiting for room.

        Raises:
            DataError: the encoder's thread has died.
        """
        frames: queue.Queue[Any] = self._frame_queues[video_key]
        while True:
            if not self._threads[video_key].is_alive():
                raise DataError("the video encoder has failed", field="camera", value=video_key)
            try:
                frames.put(image, timeout=_CHECK_S)
            except queue.Full:
                continue
            return


def install(dataset: LeRobotDataset, encoder: RGBEncoderConfig, threads: int) -> None:
    """Let ``dataset`` encode while it records, through a WaitingVideoEncoder."""
    if not dataset.meta.video_keys:
        return
    dataset.writer._streaming_encoder = WaitingVideoEncoder(
        fps=dataset.fps,
        rgb_encoder=encoder,
        queue_maxsize=_QUEUE,
        encoder_threads=threads or None,
    )
