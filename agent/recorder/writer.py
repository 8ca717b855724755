"""Episodes into a LeRobot data set, one whole episode at a time."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import av
import numpy as np
from lerobot.configs import RGBEncoderConfig
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from numpy.typing import NDArray

from agent.ipc import FrameLayout
from agent.recorder.config import RecordConfig
from agent.recorder.encoder import install
from agent.recorder.features import check_dataset, check_sizes, features
from agent.recorder.repair import set_strays_aside
from agent.recorder.staging import Staging
from robots.errors import ConfigError, DataError
from robots.replay.info import read_info

logger = logging.getLogger(__name__)


class EpisodeWriter:
    """Adds episodes to the data set at ``root``.

    Every episode is a LeRobot session of its own (create or resume, add frames, save, finalize) in
    a folder beside the data set, and moved into it when its files are closed and complete.

    Args:
        root: The data set's folder; made with the first episode.
        layout: The robot's features.
        fps: Frames per second.
        robot_type: For the metadata.
        config: How to encode.

    Raises:
        DataError: what is there is no data set, is damaged, or has other features.
        ConfigError: an unknown codec.
    """

    def __init__(
        self, root: Path, layout: FrameLayout, fps: int, robot_type: str, config: RecordConfig
    ) -> None:
        # A link to a folder on another disk: what is staged must lie on that disk too.
        self._root = root.resolve()
        self._layout = layout
        self._fps = fps
        self._robot_type = robot_type
        self._config = config
        self._dataset: LeRobotDataset | None = None
        self._task = ""
        # Before anything is touched: a wrong path must cost nothing.
        check_sizes(layout, video=config.video)
        check_dataset(root, layout, fps, video=config.video)
        try:
            self._encoder = RGBEncoderConfig(
                vcodec=config.vcodec,
                crf=23 if config.vcodec == "h264" else 30,
                preset="ultrafast" if config.vcodec == "h264" else None,
            )
        except ValueError as error:
            raise ConfigError(str(error), field="--dataset.vcodec", value=config.vcodec) from error
        self._staging = Staging(self._root)
        done = (self._staging.recover(), set_strays_aside(self._root))
        self.repaired = [said for said in done if said]
        self.episodes, self.frames = self._count()

    def start(self, task: str) -> None:
        """Begin an episode; an open one is dropped."""
        self.discard()
        self._task = task
        options = {
            "root": self._staging.episode,
            "rgb_encoder": self._encoder,
            "encoder_threads": self._config.encoder_threads or None,
        }
        if self._staging.prepare():
            dataset = LeRobotDataset.resume(self._config.repo_id, **options)
        else:
            dataset = LeRobotDataset.create(
                self._config.repo_id,
                self._fps,
                features(self._layout, video=self._config.video),
                robot_type=self._robot_type,
                use_videos=self._config.video,
                **options,
            )
        install(dataset, self._encoder, self._config.encoder_threads)
        self._dataset = dataset

    def add(
        self,
        state: NDArray[np.float32],
        action: NDArray[np.float32],
        images: Mapping[str, NDArray[np.uint8]],
    ) -> None:
        """One frame; waits for the encoder when that is behind. The arrays are not copied."""
        assert self._dataset is not None
        frame: dict[str, Any] = {"observation.state": state, "action": action, "task": self._task}
        for key, image in images.items():
            frame[f"observation.images.{key}"] = image
        self._dataset.add_frame(frame)

    @property
    def open_frames(self) -> int:
        """Frames of the open episode."""
        if self._dataset is None:
            return 0
        return int(self._dataset.writer.episode_buffer["size"])

    def save(self) -> None:
        """Put the open episode on disk for good.

        Raises:
            DataError: rows and pictures differ in number.
            OSError: the disk is full, among others; the data set is as it was.
        """
        dataset = self._dataset
        assert dataset is not None
        length = self.open_frames
        dataset.save_episode()
        dataset.finalize()
        for path in self._staging.episode.rglob("*.mp4"):
            with av.open(str(path)) as video:
                pictures = video.streams.video[0].frames
            if pictures != length:
                raise DataError(f"{length} rows and {pictures} pictures", field=path.parts[-3])
        self._staging.commit()
        self._dataset = None
        self.episodes += 1
        self.frames += length

    def discard(self) -> None:
        """Drop the open episode without a trace."""
        dataset, self._dataset = self._dataset, None
        if dataset is None:
            return
        dataset.writer.cancel_pending_videos()
        # What it closes is thrown away; after a failed save it may not even close.
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            dataset.finalize()
        self._staging.clear()

    def _count(self) -> tuple[int, int]:
        if not (self._root / "meta" / "info.json").is_file():
            return 0, 0
        info = read_info(self._root)
        return len(info.episodes), info.frames
