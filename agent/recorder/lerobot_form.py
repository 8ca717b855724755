"""A finished episode in LeRobot's form, written by LeRobot itself.

LeRobot's writer encodes while frames are added, or afterwards from pictures on the disk; ours are
encoded already. So its place for an encoder is taken by one that hands over finished files, and its
buffer is filled at once. This file is the only one that touches the writer's private parts; they
are those of LeRobot ``RELEASE``.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lerobot.configs import RGBEncoderConfig
from lerobot.datasets.lerobot_dataset import LeRobotDataset

from agent.recorder.features import IMAGES, features
from agent.recorder.marks import mark_columns
from agent.recorder.pictures import picture_path
from agent.recorder.salvage import Salvaged, Statistics
from agent.recorder.video import to_plain

RELEASE = "0.6.1"


class FinishedVideos:
    """Stands where LeRobot's streaming encoder stands.

    Args:
        videos: Feature → its file, alone in a folder that LeRobot removes, and its statistics.
    """

    def __init__(self, videos: Mapping[str, tuple[Path, Statistics | None]]) -> None:
        self._videos = dict(videos)

    def finish_episode(self) -> dict[str, tuple[Path, Statistics | None]]:
        """What LeRobot asks for when it saves."""
        return self._videos

    def cancel_episode(self) -> None:
        """The files go with their folder."""

    def close(self) -> None:
        """Nothing is open."""


def write_episode(
    root: Path,
    episode: Salvaged,
    marks: Mapping[str, Any],
    *,
    resume: bool,
    repo_id: str,
    encoder: RGBEncoderConfig,
) -> int:
    """Write an episode to the data set at ``root`` and close its files.

    Args:
        root: Holds as much metadata as LeRobot needs to go on, or nothing.
        episode: What is written.
        marks: Of it.
        resume: Whether there is metadata.
        repo_id: Name of the data set.
        encoder: For the metadata.

    Returns:
        The episode's number.

    Raises:
        DataError: a video has fewer pictures than there are rows.
        OSError: the disk is full, among others.
    """
    header = episode.header
    if resume:
        dataset = LeRobotDataset.resume(repo_id, root=root, rgb_encoder=encoder)
    else:
        dataset = LeRobotDataset.create(
            repo_id,
            header.fps,
            features(header.layout, video=header.video),
            root=root,
            robot_type=header.robot_type,
            use_videos=header.video,
            rgb_encoder=encoder,
        )
    number = int(dataset.meta.total_episodes)
    writer = dataset.writer
    if header.video and header.layout.images:
        writer._streaming_encoder = FinishedVideos(_videos(root, episode))
    writer.episode_buffer = _buffer(episode, dict(marks), dataset.meta.features, number)
    try:
        dataset.save_episode()
        dataset.finalize()
    except BaseException:
        # It finalizes itself again when it is collected, maybe beside the next episode.
        dataset.meta._metadata_buffer.clear()
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            dataset.finalize()
        raise
    return number


def _videos(root: Path, episode: Salvaged) -> dict[str, tuple[Path, Statistics | None]]:
    videos = {}
    for spec in episode.header.layout.images:
        folder = Path(tempfile.mkdtemp(dir=root))
        path = folder / f"{spec.key}.mp4"
        to_plain(episode.folder / path.name, path, len(episode.rows), episode.header.fps)
        videos[IMAGES + spec.key] = (path, episode.statistics[spec.key])
    return videos


def _buffer(
    episode: Salvaged, marks: dict[str, Any], wanted: Mapping[str, Any], number: int
) -> dict[str, Any]:
    """As LeRobot's ``add_frame`` would have filled it."""
    header, rows = episode.header, episode.rows
    length = len(rows)
    buffer: dict[str, Any] = {
        "size": length,
        "task": [header.task] * length,
        "episode_index": number,
        "frame_index": list(range(length)),
        "timestamp": [i / header.fps for i in range(length)],
        "index": [],
        "task_index": [],
        "observation.state": [row.state for row in rows],
        "action": [row.action for row in rows],
        **{k: v for k, v in mark_columns(rows, marks).items() if k in wanted},
    }
    for spec in header.layout.images:
        if header.video:
            buffer[IMAGES + spec.key] = [None] * length
        else:
            folder = episode.folder / spec.key
            buffer[IMAGES + spec.key] = [str(picture_path(folder, i)) for i in range(length)]
    assert set(buffer) - {"size", "task"} == set(wanted), "check_dataset lets no other set pass"
    return buffer
