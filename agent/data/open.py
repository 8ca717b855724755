"""Opens a data set through LeRobot, after checking what LeRobot would trip over."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from lerobot.datasets.lerobot_dataset import LeRobotDataset

from agent.data.lock import reading
from robots.errors import DataError
from robots.replay.info import DatasetInfo, read_info
from robots.replay.locate import locate


def open_info(dataset: str | Path) -> DatasetInfo:
    """The metadata of a data set, read while no recorder changes it.

    Raises:
        DataError: it can't be used; says why.
    """
    root = locate(str(dataset))
    with reading(root):
        return read_info(root)


@functools.cache
def video_decoder() -> str:
    """What LeRobot decodes videos by: its own choice, torchcodec where FFmpeg's libraries are
    there. LeRobot logs a page of tracebacks for each data set where they aren't."""
    try:
        importlib.import_module("torchcodec")
    except (ImportError, OSError, RuntimeError):
        return "pyav"
    return "torchcodec"


def open_dataset(
    dataset: str | Path,
    *,
    episodes: Sequence[int] | None = None,
    delta_timestamps: Mapping[str, list[float]] | None = None,
) -> LeRobotDataset:
    """LeRobot's data set of a folder, or of a hub id that is on this machine.

    Args:
        dataset: Folder or hub id.
        episodes: Which; ``None``: all.
        delta_timestamps: As LeRobot's, s.

    Raises:
        DataError: it can't be used; says why.
    """
    root = locate(str(dataset))
    with reading(root):
        read_info(root)
        try:
            return LeRobotDataset(
                f"local/{root.name}",
                root=root,
                episodes=None if episodes is None else list(episodes),
                delta_timestamps=None if delta_timestamps is None else dict(delta_timestamps),
                video_backend=video_decoder(),
            )
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise DataError(
                f"LeRobot can't open it: {' '.join(str(error).split())[:300]}",
                field="dataset",
                value=root,
            ) from error
