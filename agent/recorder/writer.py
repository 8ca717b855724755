"""Episodes into a LeRobot data set, one whole episode at a time."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from lerobot.configs import RGBEncoderConfig
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from numpy.typing import NDArray

from agent.data.lock import writing
from agent.ipc import FrameLayout
from agent.recorder import undo
from agent.recorder.config import RecordConfig
from agent.recorder.encoder import install
from agent.recorder.features import check_dataset, features
from robots.errors import ConfigError
from robots.replay.info import read_info

logger = logging.getLogger(__name__)


class EpisodeWriter:
    """Adds episodes to the data set at ``root``.

    Every episode is a LeRobot session of its own (create or resume, add frames, save, finalize), so
    that every saved episode's files are closed and complete. Until ``save``, nothing that LeRobot
    reads has changed.

    Args:
        root: The data set's folder; made when it isn't there.
        layout: The robot's features.
        fps: Frames per second.
        robot_type: For the metadata.
        config: How to encode.

    Raises:
        DataError: what is there has other features.
        ConfigError: an unknown codec.
    """

    def __init__(
        self, root: Path, layout: FrameLayout, fps: int, robot_type: str, config: RecordConfig
    ) -> None:
        self._root = root
        self._layout = layout
        self._fps = fps
        self._robot_type = robot_type
        self._config = config
        self._dataset: LeRobotDataset | None = None
        self._task = ""
        self.repaired = undo.recover(root)
        check_dataset(root, layout, fps, video=config.video)
        try:
            self._encoder = RGBEncoderConfig(
                vcodec=config.vcodec,
                crf=23 if config.vcodec == "h264" else 30,
                preset="ultrafast" if config.vcodec == "h264" else None,
            )
        except ValueError as error:
            raise ConfigError(str(error), field="--dataset.vcodec", value=config.vcodec) from error
        self.episodes, self.frames = self._count()

    def start(self, task: str) -> None:
        """Begin an episode; an open one is dropped."""
        self.discard()
        self._task = task
        if self.episodes:
            dataset = LeRobotDataset.resume(
                self._config.repo_id,
                root=self._root,
                rgb_encoder=self._encoder,
                encoder_threads=self._config.encoder_threads or None,
            )
        else:
            # A folder that holds no saved episode is none of LeRobot's yet.
            shutil.rmtree(self._root, ignore_errors=True)
            dataset = LeRobotDataset.create(
                self._config.repo_id,
                self._fps,
                features(self._layout, video=self._config.video),
                root=self._root,
                robot_type=self._robot_type,
                use_videos=self._config.video,
                rgb_encoder=self._encoder,
                encoder_threads=self._config.encoder_threads or None,
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
        """Put the open episode on disk for good."""
        dataset = self._dataset
        assert dataset is not None
        length = self.open_frames
        with writing(self._root):
            undo.begin(self._root)
            dataset.save_episode()
            dataset.finalize()
            undo.commit(self._root)
        self._dataset = None
        self.episodes += 1
        self.frames += length

    def discard(self) -> None:
        """Drop the open episode without a trace."""
        if self._dataset is None:
            return
        self._dataset.clear_episode_buffer()
        self._dataset.finalize()
        self._dataset = None
        if not self.episodes:
            shutil.rmtree(self._root, ignore_errors=True)

    def _count(self) -> tuple[int, int]:
        if not (self._root / "meta" / "info.json").is_file():
            return 0, 0
        info = read_info(self._root)
        return len(info.episodes), info.frames
